"""The person's side of the device flow: find what a code stands for, and decide about it.

Only who is signed in can look; wrong codes are counted per person, so that nobody can try them all
(RFC 8628 s.5.1).
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from auth.audit import DEVICE, GRANT, Fact, family_facts
from auth.clients import Client
from auth.core import Issuer
from auth.grants.device import user_hash
from auth.policy import FRESH_S
from auth.store import Device, Family, Grant, Login, digest
from auth.strength import strength
from auth.wire import refusal

LIMIT = 5
LOCK_S = 60


class CodeRefusedError(Exception):
    """A user code that stands for nothing; ``locked_s`` is how long this person must wait."""

    def __init__(self, locked_s: int = 0) -> None:
        super().__init__("unknown user code")
        self.locked_s = locked_s


@dataclass(frozen=True, slots=True)
class Waiting:
    """A device that waits for this person: who asks, and for what at which servers."""

    client: Client
    rows: tuple[Device, ...]

    @property
    def run(self) -> Device | None:
        """The row that says which long run this is for, None where it is for none."""
        return self.rows[0] if self.rows[0].spec else None


def find(issuer: Issuer, login: Login, typed: str) -> Waiting:
    """Return what a code stands for; a wrong one is counted and raises `CodeRefusedError`."""
    key, now = digest(f"device:{login.username}"), issuer.now()
    locked = issuer.store.locked_until(key, now=now)
    if locked:
        raise CodeRefusedError(locked - now)
    rows = issuer.store.find_devices(user_hash(typed), now=now)
    client = issuer.query_client(rows[0].client_id) if rows else None
    if client is None:
        until = issuer.store.count_failure(key, now=now, limit=LIMIT, lock_s=LOCK_S)
        raise CodeRefusedError(max(0, until - now))
    return Waiting(client, tuple(rows))


def must_sign_in(issuer: Issuer, login: Login, waiting: Waiting) -> bool:
    """Tell whether this person has to sign in again: a grant for a long run wants a fresh one."""
    return waiting.run is not None and issuer.now() - login.auth_time > FRESH_S


def decide(issuer: Issuer, login: Login, waiting: Waiting, *, allow: bool) -> None:
    """Allow or deny; what somebody else decided meanwhile raises ``invalid_request``."""
    now = issuer.now()
    families = [_family(issuer, login, row, now) for row in waiting.rows] if allow else []
    grants = [Grant(family.sid, waiting.rows[0].spec) for family in families if waiting.run]
    code = waiting.rows[0].user_hash
    if not issuer.store.decide_device(code, families, grants, now=now):
        raise refusal("invalid_request", "This code is over, or was decided before.")
    issuer.store.clear_failures(digest(f"device:{login.username}"))
    if not families:
        _record(issuer, login, waiting, _family(issuer, login, waiting.rows[0], now), "refused")
    for family in families:
        _record(issuer, login, waiting, family, "done")


def _family(issuer: Issuer, login: Login, device: Device, now: int) -> Family:
    held = strength(login)
    lasts = device.hours * 3600 if device.spec else issuer.config.lifetimes.absolute_s
    return Family(
        sid=secrets.token_urlsafe(16),
        username=login.username,
        client_id=device.client_id,
        resource=device.resource,
        scope=device.scope,
        acr=held.acr,
        auth_time=held.auth_time,
        created_at=now,
        expires_at=now + lasts,
        amr=held.amr,
    )


def _record(issuer: Issuer, login: Login, waiting: Waiting, family: Family, decision: str) -> None:
    run = waiting.run
    about: dict[str, Fact] = {"spec": run.spec, "hours": run.hours} if run else {}
    issuer.audit(
        actor=login.username,
        action=GRANT if run else DEVICE,
        target=family.resource,
        decision=decision,
        facts=family_facts(family, **about),
    )
