"""Operators across the symbols of one instant, over those that have a value there.

A symbol without a value has none afterwards; infinities count as none. With ``by`` each group is
an instant of its own, and a symbol without a group has no value.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lakehouse.features.frame import Array, Frame, Ints

Floats = NDArray[np.float64]
FLAT = 1e-8
"""A spread below this part of the mean is rounding: there is nothing to divide by."""


@dataclass(frozen=True, slots=True)
class Slice:
    """The rows with a value, sorted by instant: ``rows`` (K,) and their ``group`` (K,) from 0.

    ``first`` (G,) is each group's first place, ``size`` (G,) how many it holds.
    """

    rows: Ints
    group: Ints
    first: Ints
    size: Ints

    def spread(self, per_group: Floats) -> Floats:
        """Return a value per group as one per row (K,)."""
        return per_group[self.group]

    def total(self, values: Floats) -> Floats:
        """Return (G,) the sum of each group."""
        return np.add.reduceat(values, self.first) if values.size else values


def sliced(frame: Frame, x: Array, by: Array | None = None, *, ordered: bool = False) -> Slice:
    """Return the rows where ``x`` (and ``by``) are finite by instant; ``ordered`` by value, too."""
    held = np.isfinite(x) if by is None else np.isfinite(x) & np.isfinite(by)
    held = held if frame.member is None else held & frame.member
    rows = np.flatnonzero(held)
    keys = [frame.times[rows]] if by is None else [by[rows], frame.times[rows]]
    order = np.lexsort([x[rows], *keys] if ordered else keys)
    rows = rows[order]
    changes = np.zeros(rows.size, dtype=bool)
    for key in keys:
        sorted_ = key[order]
        changes[1:] |= sorted_[1:] != sorted_[:-1]
    if rows.size:
        changes[0] = True
    first = np.flatnonzero(changes)
    group = np.cumsum(changes) - 1
    return Slice(rows, group, first, np.diff(np.append(first, rows.size)))


def _placed(x: Array, cut: Slice, values: Array) -> Array:
    out = np.full(x.size, np.nan)
    out[cut.rows] = values
    return out


def _mean(cut: Slice, x: Array) -> Floats:
    return cut.total(x[cut.rows]) / cut.size


def _deviation(cut: Slice, x: Array) -> tuple[Floats, Floats, Floats]:
    """Return values less their group's mean (K,), the means and the deviations (G,)."""
    mean = _mean(cut, x)
    away = x[cut.rows] - cut.spread(mean)
    deviation = np.sqrt(cut.total(away * away) / (cut.size - 1))
    return away, mean, np.where(deviation <= FLAT * np.abs(mean), np.nan, deviation)


def rank(frame: Frame, x: Array, by: Array | None = None) -> Array:
    """Return average ranks over the number of values, in (0, 1]."""
    cut = sliced(frame, x, by, ordered=True)
    values = x[cut.rows]
    new = np.ones(values.size, dtype=bool)
    new[1:] = (values[1:] != values[:-1]) | (cut.group[1:] != cut.group[:-1])
    first = np.flatnonzero(new)
    size = np.diff(np.append(first, values.size))
    run = np.cumsum(new) - 1
    places = (first - cut.first[cut.group[first]])[run] + (size[run] + 1) / 2
    return _placed(x, cut, places / cut.size[cut.group])


def z_score(frame: Frame, x: Array, by: Array | None = None) -> Array:
    """Return (x - mean) / deviation, ddof 1; NaN for one value and where all are equal."""
    cut = sliced(frame, x, by)
    away, _, deviation = _deviation(cut, x)
    return _placed(x, cut, away / cut.spread(deviation))


def demean(frame: Frame, x: Array, by: Array | None = None) -> Array:
    """Return x less the mean of its instant, or of its group there."""
    cut = sliced(frame, x, by)
    return _placed(x, cut, x[cut.rows] - cut.spread(_mean(cut, x)))


def mean(frame: Frame, x: Array, by: Array | None = None) -> Array:
    """Return the mean."""
    cut = sliced(frame, x, by)
    return _placed(x, cut, cut.spread(_mean(cut, x)))


def std(frame: Frame, x: Array, by: Array | None = None) -> Array:
    """Return the standard deviation, ddof 1; NaN for one value."""
    cut = sliced(frame, x, by)
    away = x[cut.rows] - cut.spread(_mean(cut, x))
    return _placed(x, cut, cut.spread(np.sqrt(cut.total(away * away) / (cut.size - 1))))


def scale(frame: Frame, x: Array, by: Array | None = None) -> Array:
    """Return x over the sum of absolute values: gross weights of 1; NaN where all are 0."""
    cut = sliced(frame, x, by)
    return _placed(x, cut, x[cut.rows] / cut.spread(cut.total(np.abs(x[cut.rows]))))


def residual(frame: Frame, x: Array, y: Array) -> Array:
    """Return x less its least-squares line over y; NaN below three symbols and where y is flat."""
    both = np.where(np.isfinite(y), x, np.nan)
    cut = sliced(frame, both)
    away, _, _ = _deviation(cut, both)
    other, _, deviation = _deviation(cut, y)
    slope = cut.total(away * other) / (deviation * deviation * (cut.size - 1))
    line = cut.spread(np.where(cut.size < 3, np.nan, slope))
    return _placed(x, cut, away - line * other)


def quantile(frame: Frame, x: Array, q: float, by: Array | None = None) -> Array:
    """Return the quantile, linear between neighbours."""
    cut = sliced(frame, x, by, ordered=True)
    values, place = x[cut.rows], (cut.size - 1) * q
    low = np.floor(place).astype(np.int64)
    below = values[cut.first + low]
    above = values[cut.first + np.minimum(low + 1, cut.size - 1)]
    return _placed(x, cut, cut.spread(below + (above - below) * (place - low)))


def bucket(frame: Frame, x: Array, count: int, by: Array | None = None) -> Array:
    """Return 1..count by rank: ceil(rank * count), up to rounding of the product."""
    return np.ceil(np.round(rank(frame, x, by) * count, 9))


CROSS: dict[str, Callable[..., Array]] = {
    "CSRank": rank,
    "CSZScore": z_score,
    "CSDemean": demean,
    "CSMean": mean,
    "CSStd": std,
    "CSScale": scale,
    "CSNeutralize": demean,
    "CSResidual": residual,
    "CSQuantile": quantile,
    "CSBucket": bucket,
}
"""What computes each operator across symbols."""


def of_symbol(frame: Frame, symbol: str, x: Array) -> Array:
    """Return ``symbol``'s values at each row's instant; NaN (or false) where it has no row."""
    place = frame.symbols.index(symbol)
    rows = slice(int(frame.starts[place]), int(frame.starts[place + 1]))
    times, values = frame.times[rows], x[rows]
    truth = values.dtype == np.bool_
    out = np.zeros(x.size, dtype=bool) if truth else np.full(x.size, np.nan, dtype=x.dtype)
    if times.size:
        found = np.minimum(np.searchsorted(times, frame.times), times.size - 1)
        there = times[found] == frame.times
        out[there] = values[found[there]]
    return out
