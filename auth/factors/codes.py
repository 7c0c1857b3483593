"""What a person types as a second factor: one-time and recovery codes, counted when wrong."""

from __future__ import annotations

from dataclasses import dataclass

from auth.factors import recovery, totp
from auth.factors.passwords import FAILURES, LOCK_S, Passwords, refuse_locked
from auth.factors.seal import Seal
from auth.store import Factor, Store, digest


@dataclass(frozen=True, repr=False)
class Codes:
    """Checks typed second factors of one issuer."""

    seal: Seal
    passwords: Passwords

    def check(self, store: Store, username: str, code: str, now: int) -> Factor | None:
        """Return the factor whose code this is, used up, or None.

        The fifth wrong code of a person within a minute locks their second factor for 60 s: from
        then on `LockedError`, for a right code too.
        """
        key = digest(f"factor:{username}")
        refuse_locked(store.locked_until(key, now=now), now, began=False)
        found = totp.check(store, self.seal, username, code, now) or recovery.check(
            store, self.passwords.hasher, username, code
        )
        if found is not None:
            store.clear_failures(key)
            return found
        until = store.count_failure(key, now=now, limit=FAILURES, lock_s=LOCK_S)
        refuse_locked(until, now, began=True)
        return None
