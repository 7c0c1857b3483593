"""Lower-case ULIDs: 26 characters that sort by time (github.com/ulid/spec)."""

from __future__ import annotations

import datetime as dt
import re
import secrets

PATTERN = r"^[a-z0-9]{26}$"
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_MATCH = re.compile(PATTERN)


def new_id(now: dt.datetime, *, entropy: bytes | None = None) -> str:
    """Return a ULID of ``now``: 48 bits of milliseconds, then 80 random bits."""
    millis = int(now.timestamp() * 1000)
    number = (millis << 80) | int.from_bytes(entropy or secrets.token_bytes(10), "big")
    return "".join(_ALPHABET[(number >> shift) & 31] for shift in range(125, -1, -5))


def is_id(text: str) -> bool:
    """Tell whether ``text`` has the shape of a run or task id."""
    return bool(_MATCH.fullmatch(text))
