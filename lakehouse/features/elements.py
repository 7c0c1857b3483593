"""Operators that look at one row at a time, in the precision that numpy gives them.

Fields are float32, so arithmetic of fields and constants is too, as in Qlib; windows give float64.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from lakehouse.features.frame import Array, Frame

UNARY: dict[str, Callable[..., Array]] = {
    "Abs": np.abs,
    "Log": np.log,
    "Not": np.logical_not,
    "Sign": lambda x, out=None: np.sign(x.astype(np.float32), out=out),
}
BINARY: dict[str, Callable[..., Array]] = {
    "Power": np.power,
    "Add": np.add,
    "Sub": np.subtract,
    "Mul": np.multiply,
    "Div": np.divide,
    "Greater": np.maximum,
    "Less": np.minimum,
    "Gt": np.greater,
    "Ge": np.greater_equal,
    "Lt": np.less,
    "Le": np.less_equal,
    "Eq": np.equal,
    "Ne": np.not_equal,
    "And": np.logical_and,
    "Or": np.logical_or,
}


def shifted(x: Array, rows: int, frame: Frame) -> Array:
    """Return (R,) the values ``rows`` rows before, NaN where there is none; 0 is the first row."""
    if x.dtype == np.bool_:
        x = x.astype(np.float64)
    if rows == 0:
        return np.repeat(x[frame.starts[:-1][np.diff(frame.starts) > 0]], _lengths(frame))
    out = np.full_like(x, np.nan)
    if abs(rows) < x.size:
        if rows > 0:
            out[rows:] = x[:-rows]
        else:
            out[:rows] = x[-rows:]
    out[(frame.places < rows) if rows > 0 else (frame.places_left < -rows)] = np.nan
    return out


def _lengths(frame: Frame) -> Array:
    lengths = np.diff(frame.starts)
    return np.asarray(lengths[lengths > 0])


def whole(values: Array) -> Array:
    """Return integers, as arithmetic with conditions gives them, as float64."""
    return values.astype(np.float64) if values.dtype.kind in "iu" else values
