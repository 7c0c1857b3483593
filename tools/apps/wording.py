"""Numbers as a reader expects them: money, percentages, ratios, a dash for what is not known."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

UNKNOWN = "\N{EN DASH}"
MINUS = "\N{MINUS SIGN}"
_SUFFIXES = ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k"))


def known(value: Any) -> bool:
    """Tell whether ``value`` is a finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def percent(value: Any, *, digits: int = 2, sign: bool = True, unit: bool = True) -> str:
    """Return 0.1234 as ``+12.34%``; a value that rounds to zero has no sign."""
    if not known(value):
        return UNKNOWN
    text = f"{abs(value) * 100:,.{digits}f}"
    zero = not text.strip("0.,")
    mark = "" if zero or not (sign or value < 0) else (MINUS if value < 0 else "+")
    return f"{mark}{text}{'%' if unit else ''}"


def money(value: Any) -> str:
    """Return 1234567 as ``1.23M`` and 12.5 as ``12.5``."""
    if not known(value):
        return UNKNOWN
    size = abs(value)
    factor, suffix = next(((f, s) for f, s in _SUFFIXES if size >= f * 0.9995), (1.0, ""))
    text = f"{size / factor:.3g}" if size / factor < 999.5 else f"{size / factor:,.0f}"
    return f"{MINUS if value < 0 and size else ''}{text}{suffix}"


def amount(value: Any, *, digits: int = 2) -> str:
    """Return 1234567.891 as ``1,234,567.89``."""
    if not known(value):
        return UNKNOWN
    text = f"{abs(value):,.{digits}f}"
    return f"{MINUS if value < 0 and text.strip('0.,') else ''}{text}"


def count(value: Any) -> str:
    """Return 1234 as ``1,234``."""
    return f"{value:,}" if known(value) else UNKNOWN


def plain(value: Any) -> str:
    """Return a JSON value as prose: ``A 2001, B 2002`` for a mapping, ``A, B`` for a list."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {plain(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(plain(item) for item in value)
    return str(value)
