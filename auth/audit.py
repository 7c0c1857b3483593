"""What the issuer tells the audit ledger: event names, and the sink that composition passes in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, TypeAlias

from auth.store import Family

LOGIN = "identity.login"
CONSENT = "identity.consent"
ISSUE = "identity.issue"
EXCHANGE = "identity.exchange"
DEVICE = "identity.device"
GRANT = "identity.grant"
REPLAY = "identity.replay"
REVOKE = "identity.revoke"
STEP_UP = "identity.step_up"
FACTOR = "identity.factor"
REGISTER = "identity.register"
USER = "identity.user"
KEYS = "identity.keys"


Fact: TypeAlias = str | int


class Sink(Protocol):
    """Appends one event to the audit chain; raises when it cannot, and then nothing is issued."""

    def __call__(
        self, *, actor: str, action: str, target: str, decision: str, facts: Mapping[str, Fact]
    ) -> object:
        """Record that ``actor`` did ``action`` to ``target``; ``decision`` is done or refused."""


def family_facts(family: Family, **more: Fact) -> dict[str, Fact]:
    """Return what an event records of a grant family; never token material."""
    return {
        "client_id": family.client_id,
        "sid": family.sid,
        "acr": family.acr,
        "auth_time": family.auth_time,
        "scope": family.scope,
        **more,
    }
