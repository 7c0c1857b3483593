"""Ten recovery codes, each good for one second factor: for the day the phone is gone.

Written ``N-XXXX-XXXX-XXXX``; the digit names the row, so that one hash is checked and not ten.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from auth.store import Factor, Store
from topology.canonical import sha256

COUNT = 10
_ALPHABET = "23456789abcdefghjkmnpqrstuvwxyz"
"""Without what looks alike: 31 signs, so that 12 of them are 59 bits."""


def make() -> list[str]:
    """Return fresh codes, to be shown once."""
    return [f"{number}-{_group()}-{_group()}-{_group()}" for number in range(COUNT)]


def rows(username: str, codes: Sequence[str], hasher: PasswordHasher, *, now: int) -> list[Factor]:
    """Return the rows that stand for ``codes``: argon2id hashes under ids that name the digit."""
    return [
        Factor(_id(username, code[0]), username, "recovery", hasher.hash(_plain(code)), now)
        for code in codes
    ]


def check(store: Store, hasher: PasswordHasher, username: str, code: str) -> Factor | None:
    """Return the factor whose code this is and use it up, or None."""
    text = _plain(code)
    wanted = _id(username, text[:1])
    for factor in store.factors(username, kind="recovery"):
        if factor.id == wanted and _matches(hasher, factor.secret, text):
            return factor if store.remove_factor(factor.id) else None
    return None


def _matches(hasher: PasswordHasher, stored: str, text: str) -> bool:
    try:
        return bool(hasher.verify(stored, text))
    except (VerificationError, InvalidHashError):
        return False


def _id(username: str, digit: str) -> str:
    return sha256({"username": username, "kind": "recovery", "digit": digit})[:32]


def _plain(code: str) -> str:
    return code.strip().lower().replace("-", "").replace(" ", "")[:64]


def _group() -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(4))
