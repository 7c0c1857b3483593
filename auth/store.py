"""What the issuer remembers: rows as plain data, and a Protocol that `ledger` satisfies by shape.

Every secret arrives here as the SHA-256 of itself (lower-case hex) and never in clear. Every time
is an integer of seconds since the epoch that the caller took from its clock; a store reads none.
Every method is one transaction. An unreachable store raises `StoreUnreachableError`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


def digest(secret: str) -> str:
    """Return the lower-case hex SHA-256 under which a secret is stored."""
    return hashlib.sha256(secret.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class User:
    """A person; ``password_hash`` is argon2's text, or None: only the local socket signs in."""

    username: str
    password_hash: str | None
    created_at: int


@dataclass(frozen=True, slots=True)
class ClientRecord:
    """A dynamically registered client; ``metadata`` is JSON text of its RFC 7591 fields."""

    client_id: str
    metadata: str
    created_at: int
    used_at: int | None = None


@dataclass(frozen=True, slots=True)
class Login:
    """A signed-in browser; ``id_hash`` is the digest of its cookie.

    ``acr`` and ``auth_time`` are those of the first factor, ``factor`` (``totp``, ``passkey``,
    ``recovery``; empty: none yet) and ``factor_time`` those of the second.
    """

    id_hash: str
    username: str
    acr: str
    auth_time: int
    expires_at: int
    factor: str = ""
    factor_time: int = 0


@dataclass(frozen=True, slots=True)
class Factor:
    """A second factor of a person; ``kind`` is ``totp``, ``passkey`` or ``recovery``.

    ``secret`` is sealed (totp), a public key as JSON (passkey) or an argon2id hash (recovery).
    ``used`` only grows: the last accepted step of a totp, the signature count of a passkey.
    """

    id: str
    username: str
    kind: str
    secret: str
    created_at: int
    used: int = 0
    name: str = ""


@dataclass(frozen=True, slots=True)
class Refused:
    """An action that the gate refused for want of a bound token; ``text`` is its canonical JSON."""

    username: str
    client_id: str
    tool: str
    text: str
    expires_at: int


@dataclass(frozen=True, slots=True)
class Consent:
    """What a person allowed once: all five fields together are the key. ``scope`` is sorted."""

    username: str
    client_id: str
    resource: str
    redirect_uri: str
    scope: str


@dataclass(frozen=True, slots=True)
class Family:
    """One grant: every token that descends from one sign-in of one client for one resource.

    ``scope`` is what was granted, space-separated; ``expires_at`` is the absolute end that no
    rotation passes. ``amr`` are the methods of the sign-in (RFC 8176), space-separated, and
    ``action`` is the hash of the one action that a bound scope is for, empty without one.
    """

    sid: str
    username: str
    client_id: str
    resource: str
    scope: str
    acr: str
    auth_time: int
    created_at: int
    expires_at: int
    revoked_at: int | None = None
    amr: str = ""
    action: str = ""


@dataclass(frozen=True, slots=True)
class Code:
    """An authorization code of a family; used once, and kept so that a replay is seen."""

    code_hash: str
    sid: str
    redirect_uri: str
    code_challenge: str
    expires_at: int
    used_at: int | None = None


@dataclass(frozen=True, slots=True)
class Refresh:
    """A refresh token of a family; used once, and kept so that a replay is seen."""

    token_hash: str
    sid: str
    expires_at: int
    used_at: int | None = None


@dataclass(frozen=True, slots=True)
class Device:
    """What a device without a browser asked for at one resource (RFC 8628).

    A request for several resources has a row for each, with the same two codes.
    ``decision`` is empty until a person says ``allow`` or ``deny``; ``sid`` is then the family.
    ``polled_at`` is 0 before the first poll. ``spec`` and ``hours`` are of a grant for a long run.
    """

    device_hash: str
    resource: str
    user_hash: str
    client_id: str
    scope: str
    created_at: int
    expires_at: int
    interval_s: int
    spec: str = ""
    hours: int = 0
    polled_at: int = 0
    decision: str = ""
    sid: str = ""
    used_at: int | None = None


@dataclass(frozen=True, slots=True)
class Grant:
    """What a machine may exchange for tokens: consent for a long run, or for one job.

    Its person, client, resource, scope and end are those of the family ``sid``; revoking that
    revokes it. ``spec`` is the SHA-256 of what may run, ``task_id`` and ``run_id`` the one job.
    """

    sid: str
    spec: str = ""
    task_id: str = ""
    run_id: str = ""


class Store(Protocol):
    """The issuer's memory. Of parallel calls that use something up, exactly one wins."""

    def add_user(self, user: User) -> bool:
        """Insert a user; False when the name is taken."""

    def find_user(self, username: str) -> User | None:
        """Return the user of this exact name."""

    def set_password(self, username: str, password_hash: str) -> bool:
        """Replace the password hash; False when there is no such user."""

    def count_failure(self, key: str, *, now: int, limit: int, lock_s: int) -> int:
        """Count one wrong secret for ``key``; return until when the key is locked, 0 if it is not.

        The ``limit``-th failure locks until ``now + lock_s`` and starts the count again. A count
        whose last failure is older than ``lock_s`` starts again too.
        """

    def locked_until(self, key: str, *, now: int) -> int:
        """Return until when ``key`` is locked, 0 when it is not locked at ``now``."""

    def clear_failures(self, key: str) -> None:
        """Forget the failures of ``key``."""

    def add_client(self, client: ClientRecord, *, since: int, at_most: int) -> bool:
        """Insert a client; False when ``at_most`` clients were created after ``since``."""

    def find_client(self, client_id: str) -> ClientRecord | None:
        """Return a registered client."""

    def touch_client(self, client_id: str, *, now: int) -> None:
        """Note that a registered client was used; unknown ids are ignored."""

    def add_login(self, login: Login) -> None:
        """Insert a login session."""

    def find_login(self, id_hash: str, *, now: int) -> Login | None:
        """Return the session if ``expires_at > now``."""

    def end_login(self, id_hash: str) -> None:
        """Delete one session."""

    def end_logins(self, username: str) -> int:
        """Delete all sessions of a user; return how many."""

    def add_consent(self, consent: Consent, *, now: int) -> None:
        """Remember a consent; a second time is no error."""

    def has_consent(self, consent: Consent) -> bool:
        """Tell whether exactly this was allowed before."""

    def add_code(self, code: Code, family: Family) -> None:
        """Insert a family and its code together."""

    def find_code(self, code_hash: str) -> tuple[Code, Family] | None:
        """Return a code, used and expired ones too, with its family."""

    def consume_code(self, code_hash: str, refresh: Refresh | None, *, now: int) -> bool:
        """Use the code up and insert the first refresh token, together.

        False, and nothing inserted, when the code was used before or its family is revoked
        (``UPDATE .. SET used_at WHERE used_at IS NULL RETURNING``).
        """

    def add_family(self, family: Family, refresh: Refresh | None) -> None:
        """Insert a family that has no code (local sign-in) with its first refresh token."""

    def find_refresh(self, token_hash: str) -> tuple[Refresh, Family] | None:
        """Return a refresh token, used and expired ones too, with its family."""

    def rotate_refresh(self, token_hash: str, successor: Refresh, *, now: int) -> bool:
        """Use the old token up and insert its successor, together.

        False, and nothing inserted, when the old one was used before or the family is revoked.
        """

    def find_family(self, sid: str) -> Family | None:
        """Return a family, revoked and expired ones too."""

    def family_alive(self, sid: str) -> bool:
        """Tell whether the family exists and is not revoked."""

    def revoke_family(self, sid: str, *, now: int) -> bool:
        """Revoke a family and commit; False when it was not alive."""

    def revoke_families(self, *, username: str, now: int) -> int:
        """Revoke every living family of a user; return how many."""

    def add_factors(self, factors: Sequence[Factor], *, replace: str = "") -> None:
        """Insert factors, in place of those of the same person and the kind ``replace``."""

    def factors(self, username: str, *, kind: str = "") -> list[Factor]:
        """Return a person's factors, of one kind or of all, oldest first."""

    def find_factor(self, factor_id: str) -> Factor | None:
        """Return a factor, whoever's it is."""

    def factor_owners(self) -> list[str]:
        """Return who has a second factor, in order of names."""

    def use_step(self, factor_id: str, step: int) -> bool:
        """Raise ``used`` to ``step``; False where it is not below it (used before)."""

    def remove_factor(self, factor_id: str) -> bool:
        """Delete a factor; False when it is gone already."""

    def note_refused(self, refused: Refused) -> None:
        """Remember the newest refused action of a person at a client."""

    def find_refused(self, username: str, client_id: str, *, now: int) -> Refused | None:
        """Return the refused action if ``expires_at > now``."""

    def use_once(self, jti: str, *, until: int) -> bool:
        """Note that a token was used, to be remembered ``until`` then; False when it was before."""

    def add_devices(self, devices: Sequence[Device], *, now: int, at_most: int) -> bool:
        """Insert the rows of one request.

        False, and nothing inserted, where the user code is in use or ``at_most`` requests wait.
        """

    def find_devices(self, user_hash: str, *, now: int) -> list[Device]:
        """Return the undecided rows of a user code that are not over, by resource."""

    def decide_device(
        self, user_hash: str, families: Sequence[Family], grants: Sequence[Grant], *, now: int
    ) -> bool:
        """Allow every row of a user code with the family for its resource; none means deny.

        False, and nothing inserted, when it was decided before or is over.
        """

    def poll_device(self, device_hash: str, *, now: int) -> tuple[list[Device], bool]:
        """Return the rows of a device code, and whether an undecided one was asked for too soon.

        Too soon: less than ``interval_s`` after the last time, and then that grows by 5 s.
        """

    def use_device(
        self, device_hash: str, resource: str, refresh: Refresh | None, *, now: int
    ) -> bool:
        """Use an allowed row up and insert its first refresh token; False when it was before."""

    def add_grant(self, grant: Grant, family: Family) -> None:
        """Insert a family and the grant that rests on it together."""

    def find_grant(self, sid: str) -> tuple[Grant, Family] | None:
        """Return a grant with its family, revoked and expired ones too."""

    def note_challenge(self, username: str, client_id: str, resource: str, *, now: int) -> None:
        """Remember that a server asked for a stronger sign-in."""

    def take_challenge(self, username: str, client_id: str, resource: str, *, since: int) -> bool:
        """Forget that; tell whether it was later than ``since``."""

    def purge(self, *, now: int) -> int:
        """Delete what can no longer matter; return how many rows.

        Logins, device codes, refused actions and used tokens past their end; families past
        ``expires_at`` with their codes, refresh tokens and grants; failure counters older than a
        day; clients never used a day after they were created or not used for 90 days, with their
        consents.
        """
