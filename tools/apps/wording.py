"""Numbers as a reader expects them: percentages, amounts, counts, a dash for the unknown."""

from __future__ import annotations

import math
from typing import Any

UNKNOWN = "\N{EN DASH}"
MINUS = "\N{MINUS SIGN}"


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


def amount(value: Any, *, digits: int = 2) -> str:
    """Return 1234567.891 as ``1,234,567.89``."""
    if not known(value):
        return UNKNOWN
    text = f"{abs(value):,.{digits}f}"
    return f"{MINUS if value < 0 and text.strip('0.,') else ''}{text}"


def count(value: Any) -> str:
    """Return 1234 as ``1,234``."""
    return f"{value:,}" if known(value) else UNKNOWN
