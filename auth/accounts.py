"""The accounts of an issuer, as an administrator of the machine changes them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from auth.audit import REVOKE, USER, Sink
from auth.factors import Passwords
from auth.store import Store, User, digest
from topology.clock import Clock
from topology.errors import BadInputError, MissingError

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@-]{0,63}")


@dataclass(frozen=True)
class Accounts:
    """What can be done to accounts; every change is recorded, no password ever is."""

    store: Store
    audit: Sink
    clock: Clock
    passwords: Passwords = field(default_factory=Passwords)

    def ensure(self, username: str) -> bool:
        """Create an account without a password, for the local socket; False when it exists."""
        created = self.store.add_user(User(username, None, self._now()))
        if created:
            self._record(USER, username, "added without a password")
        return created

    def add(self, username: str, password: str) -> None:
        """Create an account; a name that is taken or impossible raises `BadInputError`."""
        if not NAME.fullmatch(username):
            raise BadInputError(
                f"{username[:64]!r} cannot be a user name.",
                hint="Use 1 to 64 of a-z A-Z 0-9 _ . @ - and begin with a letter, digit or _.",
            )
        if not self.store.add_user(User(username, self.passwords.make(password), self._now())):
            raise BadInputError(
                f"There is a user {username!r} already.",
                hint=f"Change the password with `passwd {username}`.",
            )
        self._record(USER, username, "added")

    def set_password(self, username: str, password: str) -> None:
        """Give an account a new password.

        Where it replaces one, every session and token of the account ends: whoever knew the old
        one is out. Unlocks the name. An unknown name raises `MissingError`.
        """
        before = self.find(username)
        self.store.set_password(username, self.passwords.make(password))
        self.store.clear_failures(digest(username))
        self._record(USER, username, "password set")
        if before.password_hash is not None:
            self.revoke(username)

    def revoke(self, username: str) -> int:
        """End every session and every token of an account; return how many grants that were."""
        self.find(username)
        self.store.end_logins(username)
        count = self.store.revoke_families(username=username, now=self._now())
        self._record(REVOKE, username, f"{count} grants")
        return count

    def find(self, username: str) -> User:
        """Return an account, or raise `MissingError`."""
        user = self.store.find_user(username)
        if user is None:
            raise MissingError(
                f"There is no user {username[:64]!r}.",
                hint=f"Create the account with `add-user {username[:64]}`.",
            )
        return user

    def _now(self) -> int:
        return int(self.clock.now().timestamp())

    def _record(self, action: str, username: str, reason: str) -> None:
        self.audit(
            actor="system",
            action=action,
            target=username,
            decision="done",
            facts={"reason": reason},
        )
