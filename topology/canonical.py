"""Canonical JSON (RFC 8785) and its SHA-256: the identity of everything that is hash-locked."""

from __future__ import annotations

import hashlib
from typing import Any

import rfc8785

from topology.errors import InvalidSpecError

_SAFE, _EXPONENT = 2.0**53, 1e21  # between them ECMAScript writes a float as a bare integer


def canonical(value: Any) -> bytes:
    """Return the RFC 8785 bytes of a JSON value: sorted keys, ``1.0`` and ``1`` alike.

    NaN, infinities, whole numbers of 2^53 and beyond (as integers or as floats: they are written
    alike and would not read back), lone surrogates and NUL characters (PostgreSQL's jsonb cannot
    hold them) raise `InvalidSpecError`.
    """
    try:
        text = rfc8785.dumps(value)
        _check_floats(value)
    except (
        rfc8785.CanonicalizationError,
        UnicodeEncodeError,
        RecursionError,
        OverflowError,
    ) as error:
        raise InvalidSpecError(
            f"This value has no canonical JSON form: {type(error).__name__}.",
            hint="Use finite numbers, whole ones below 2^53, valid text and modest nesting.",
        ) from error
    if b"\\u0000" in text:
        raise InvalidSpecError("Text must not hold NUL characters.", hint="Remove \\u0000.")
    return text


def _check_floats(value: Any) -> None:
    if isinstance(value, float):
        if _SAFE <= abs(value) < _EXPONENT:
            raise OverflowError
    elif isinstance(value, dict):
        for item in value.values():
            _check_floats(item)
    elif isinstance(value, list | tuple):
        for item in value:
            _check_floats(item)


def sha256(value: Any) -> str:
    """Return the lower-case hex SHA-256 of the canonical JSON of ``value``."""
    return hashlib.sha256(canonical(value)).hexdigest()
