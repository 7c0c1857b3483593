"""Arrow values as JSON values, without losing what JSON cannot say in silence."""

from __future__ import annotations

import base64
import datetime as dt
import decimal
import math
from collections.abc import Iterable
from typing import Any

SAFE_INTEGER = 1 << 53
"""Integers from here on change when read as JSON numbers by others, so they become text."""


def plain(values: Iterable[Any]) -> list[Any]:
    """Return JSON values: times as RFC 3339 in UTC, NaN and infinities as null.

    Integers from 2^53 on and decimals beyond float64's 15 digits are text, durations seconds,
    bytes base64.
    """
    return [_plain(value) for value in values]


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, int):
        return value if abs(value) < SAFE_INTEGER else str(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return _special(value)


def _special(value: Any) -> Any:
    if isinstance(value, dt.datetime):
        return _time(value)
    if isinstance(value, dt.timedelta):
        return value.total_seconds()
    if isinstance(value, decimal.Decimal):
        return _decimal(value)
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, dict):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return plain(value)
    return str(value)


def _time(moment: dt.datetime) -> str:
    if moment.tzinfo is None:
        return moment.isoformat()
    return moment.astimezone(dt.UTC).isoformat().replace("+00:00", "Z")


def _decimal(value: decimal.Decimal) -> Any:
    if value == value.to_integral_value():
        return _plain(int(value))
    return float(value) if len(value.as_tuple().digits) <= 15 else str(value)
