"""How `ingest` becomes a run: a source is a provider's name or a file that may be read."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from runtimes import dispatch
from runtimes.specs.base import Spec, parse
from tools.audited import audited
from tools.registry import Office
from tools.runs import Submitted
from topology.canonical import sha256
from topology.errors import MissingError, UnknownNameError, did_you_mean, nearest
from topology.principal import Principal

KIND = "data"
QUEUE = "batch"
FILES = "files"
PAYLOAD = "payload_sha256"
"""The input of a run that names the bytes of its file."""


def submit(
    office: Office,
    caller: Principal,
    wanted: Mapping[str, Any],
    *,
    dry_run: bool,
    dispatch_key: str | None,
) -> Submitted:
    """Check what is wanted, and unless ``dry_run`` lock it and start the run.

    The digest of a file's bytes is part of the run's inputs: a run that finds other bytes is
    refused, and the same path with other content is other work.
    """
    spec, inputs = _spec(office, wanted)
    body = spec.body()
    if dry_run:
        return Submitted(dry_run=True, spec_hash=sha256(body), spec=body)
    target = f"spec:{KIND}/{spec.name}"
    with audited(office, caller, action="ingest", target=target, args=body | inputs):
        handle = dispatch.submit(
            office.pool,
            spec,
            principal=caller,
            queue=QUEUE,
            clock=office.clock,
            inputs=inputs,
            dispatch_key=dispatch_key,
        )
    return Submitted(dry_run=False, **handle.body())


def _spec(office: Office, wanted: Mapping[str, Any]) -> tuple[Spec, dict[str, str]]:
    from lakehouse.providers import PROVIDERS

    source = str(wanted["source"])
    allowed = (office.home.inbox, *(Path(f) for f in office.topology.ingest.folders))
    body: dict[str, Any] = {
        "kind": KIND,
        "provider": source,
        "table": wanted["table"],
        "symbols": wanted["symbols"],
        "reading": wanted["reading"],
    }
    inputs: dict[str, str] = {}
    if source not in PROVIDERS or source == FILES:
        inputs = {PAYLOAD: digest(source, allowed)}
        body |= {"provider": FILES, "path": written(source, allowed[0])}
    body["name"] = wanted["name"] or named_after(source)
    return parse(KIND, body, **_limits(office)), inputs


def digest(source: str, allowed: Sequence[Path]) -> str:
    """Return the SHA-256 of a file that may be read.

    A source that is no file but almost a provider's name raises `UnknownNameError` with it.
    """
    from lakehouse.providers import PROVIDERS
    from lakehouse.providers.paths import read_allowed

    try:
        _, data = read_allowed(source, allowed)
    except MissingError as error:
        close = nearest(source, PROVIDERS)
        if not close:
            raise
        raise UnknownNameError(
            f"{source[:64]!r} is neither a provider nor a file in the inbox.",
            hint=did_you_mean(source, PROVIDERS),
            nearest=close,
        ) from error
    return hashlib.sha256(data).hexdigest()


def written(source: str, inbox: Path) -> str:
    """Return how a spec names a file that may be read: below the inbox relative to it."""
    place, root = Path(os.path.realpath(inbox / source)), Path(os.path.realpath(inbox))
    return str(place.relative_to(root)) if place.is_relative_to(root) else str(place)


def named_after(source: str) -> str:
    """Return a spec name for a source: ``ingest-`` and what names allow of the file's stem."""
    stem = Path(source).name.partition(".")[0].lower()
    return f"ingest-{re.sub(r'[^a-z0-9_-]+', '-', stem).strip('-')[:50] or 'file'}"


def _limits(office: Office) -> dict[str, int]:
    limits = office.topology.limits.spec
    return {"limit": limits.bytes, "depth": limits.depth}
