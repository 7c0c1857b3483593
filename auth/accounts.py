"""The accounts of an issuer, as an administrator of the machine changes them."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass, field

from auth.audit import FACTOR, REVOKE, USER, Sink
from auth.factors import recovery
from auth.factors.once import Tickets
from auth.factors.passwords import Passwords
from auth.factors.seal import Seal
from auth.factors.totp import Enrolment
from auth.store import Factor, Store, User, digest
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

    def enrol_totp(self, username: str, seal: Seal, enrolment: Enrolment, code: str) -> list[str]:
        """Take over a one-time-code secret that ``code`` confirms; return fresh recovery codes.

        Replaces the one before, and the recovery codes. A wrong code raises `BadInputError` and
        changes nothing.
        """
        self.find(username)
        step = enrolment.confirms(code, self._now())
        if not step:
            raise BadInputError(
                "This is not the code that the app shows now.",
                hint="Check the clock of the phone, and enrol again.",
            )
        sealed = seal.close(enrolment.secret, owner=username)
        factor = Factor(new_factor_id(), username, "totp", sealed, self._now(), used=step)
        self.store.add_factors([factor], replace="totp")
        self._record(FACTOR, username, "totp enrolled")
        return self.new_recovery_codes(username)

    def ticket(self, username: str, seal: Seal) -> str:
        """Return a ticket that enrols one passkey of a person within five minutes."""
        self.find(username)
        self._record(FACTOR, username, "passkey ticket made")
        return Tickets.of(seal).make(username, self._now())

    def remove_factor(self, username: str, name: str) -> None:
        """Remove the factor of a person that has this name, or is the only one of this kind.

        Every session and token of the account ends. An unknown one raises `MissingError`.
        """
        self.find(username)
        held = self.store.factors(username)
        found = [factor for factor in held if name in {factor.name or factor.kind, factor.kind}]
        if len(found) != 1 or not self.store.remove_factor(found[0].id):
            names = ", ".join(sorted({factor.name or factor.kind for factor in held}))
            raise MissingError(
                f"{username} has no one second factor {name[:64]!r}.",
                hint=f"There are: {names}." if names else "There is none.",
            )
        self._record(FACTOR, username, f"{found[0].kind} removed")
        self.revoke(username)

    def new_recovery_codes(self, username: str) -> list[str]:
        """Replace a person's recovery codes by ten fresh ones, to be shown once."""
        self.find(username)
        codes = recovery.make()
        rows = recovery.rows(username, codes, self.passwords.hasher, now=self._now())
        self.store.add_factors(rows, replace="recovery")
        self._record(FACTOR, username, "recovery codes made")
        return codes

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


def new_factor_id() -> str:
    """Return a random id."""
    return secrets.token_hex(16)
