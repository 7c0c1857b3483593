"""Every tool that changes something says so twice: what it is about to do, and what came of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from ledger.intents import intending
from tools.registry import Office
from topology.canonical import sha256
from topology.principal import Principal


@contextmanager
def audited(
    office: Office,
    caller: Principal,
    *,
    action: str,
    target: str,
    args: Mapping[str, Any],
    reason: str = "",
) -> Iterator[None]:
    """Write the intent before the block and the result after it.

    An intent that cannot be written raises, and the block never runs. ``args`` are kept as their
    hash only. A refusal is ``failed`` with its code; an effect that may or may not have happened
    is ``unknown``.
    """
    facts: dict[str, str | int] = {**caller.facts(), "on_behalf_of": caller.subject}
    if reason:
        facts["reason"] = reason
    with intending(
        office.pool,
        actor=caller.actor or caller.subject,
        action=action,
        target=target,
        args_sha256=sha256(dict(args)),
        facts=facts,
    ):
        yield
