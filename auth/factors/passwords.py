"""What a person knows: passwords, hashed with argon2id and counted when they are wrong."""

from __future__ import annotations

from dataclasses import dataclass, field

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from auth.store import Store, User, digest
from topology.errors import BadInputError

MIN_LENGTH = 12
MAX_LENGTH = 1024
FAILURES = 5
LOCK_S = 60


class LockedError(Exception):
    """Too many wrong secrets; ``seconds`` from now the name may try again.

    ``began`` says that this very attempt locked it, and not one before.
    """

    def __init__(self, seconds: int, *, began: bool) -> None:
        super().__init__(seconds)
        self.seconds = seconds
        self.began = began


@dataclass(frozen=True)
class Passwords:
    """Checks and makes password hashes: argon2id, 64 MiB, about 0.1 s (RFC 9106 s.4)."""

    hasher: PasswordHasher = field(default_factory=PasswordHasher)

    def make(self, password: str) -> str:
        """Return the hash text of a new password of 12 to 1024 printable characters."""
        if not MIN_LENGTH <= len(password) <= MAX_LENGTH or not password.isprintable():
            raise BadInputError(
                f"A password has {MIN_LENGTH} to {MAX_LENGTH} printable characters.",
                hint="Several words make a good one; spaces are allowed.",
            )
        return self.hasher.hash(password)

    def check(self, store: Store, username: str, password: str, now: int) -> User | None:
        """Return the user whose password this is, or None.

        Takes as long for a name that nobody has. The fifth failure locks the name, known or not,
        for 60 s: from then on `LockedError`, for the right password too.
        """
        key = digest(username)
        refuse_locked(store.locked_until(key, now=now), now, began=False)
        user = store.find_user(username)
        if self._matches(user, password):
            store.clear_failures(key)
            return user
        until = store.count_failure(key, now=now, limit=FAILURES, lock_s=LOCK_S)
        refuse_locked(until, now, began=True)
        return None

    def _matches(self, user: User | None, password: str) -> bool:
        stored = user.password_hash if user else None
        try:
            self.hasher.verify(stored or self._nobody(), password[:MAX_LENGTH])
        except (VerificationError, InvalidHashError):
            return False
        return stored is not None and len(password) <= MAX_LENGTH

    def _nobody(self) -> str:
        """Return a hash of the same cost that no typed password has."""
        h = self.hasher
        costs = f"m={h.memory_cost},t={h.time_cost},p={h.parallelism}"
        return f"$argon2id$v=19${costs}${'A' * 22}${'A' * 43}"


def refuse_locked(until: int, now: int, *, began: bool) -> None:
    """Raise `LockedError` where a name is locked at ``now``."""
    if until > now:
        raise LockedError(until - now, began=began)
