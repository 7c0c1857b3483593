"""What is read off an equity curve to draw it: thinning, drawdowns, months, rolling Sharpe.

Pure functions of arrays of shape (T,): ``equity`` in money, ``timestamps`` int64 ns UTC.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
FLAT = 1e-12
"""A deviation below this share of the largest return is rounding: there is no risk to divide by."""


@dataclass(frozen=True, slots=True)
class Drawdown:
    """One fall from a peak: bars of peak, trough and recovery; None while it has not recovered.

    ``peak`` is -1 where equity fell from its start.
    """

    peak: int
    trough: int
    end: int | None
    depth: float


def thinned(values: Floats, *, most: int, keep: Iterable[int] = ()) -> Ints:
    """Return at most ``most`` rising indices, both ends and ``keep`` among them.

    The rest are those whose triangles with their neighbours are largest (largest triangle three
    buckets, Steinarsson 2013, ch. 4.2), so that spikes survive. NaN counts as 0.
    """
    n = values.size
    if n <= most:
        return np.arange(n, dtype=np.int64)
    forced = {index for index in keep if 0 <= index < n}
    chosen = _triangles(np.nan_to_num(values), max(most - len(forced), 2))
    return np.array(sorted(forced.union(chosen)), dtype=np.int64)


def _triangles(values: Floats, most: int) -> list[int]:
    last = values.size - 1
    edges = np.linspace(1, last, most - 1).astype(np.int64)
    kept = [0]
    for bucket in range(most - 2):
        first, stop = int(edges[bucket]), int(edges[bucket + 1])
        following = slice(stop, int(edges[bucket + 2]) if bucket + 3 < most else last + 1)
        x2 = (following.start + following.stop - 1) / 2
        y2 = float(values[following].mean())
        x0, y0 = kept[-1], float(values[kept[-1]])
        x1 = np.arange(first, stop)
        area = np.abs((x0 - x2) * (values[first:stop] - y0) - (x0 - x1) * (y2 - y0))
        kept.append(first + int(area.argmax()))
    return [*kept, last]


def returns(equity: Floats, *, start: float) -> Floats:
    """Return the simple return of each bar, the first against ``start``; 0 after ruin."""
    before = np.concatenate(([start], equity[:-1]))
    safe = np.where(before > 0, before, 1.0)
    return np.where(before > 0, equity / safe - 1.0, 0.0)


def fall(equity: Floats, *, start: float) -> Floats:
    """Return the fraction by which equity is below its highest so far, the start included."""
    if not equity.size:
        return equity
    peaks = np.maximum(np.maximum.accumulate(equity), start)
    return np.where(peaks > 0, 1.0 - equity / np.where(peaks > 0, peaks, 1.0), 0.0)


def drawdowns(equity: Floats, *, start: float, most: int) -> list[Drawdown]:
    """Return the ``most`` deepest drawdowns, deepest first; equal depths in time order."""
    if not equity.size:
        return []
    depth = fall(equity, start=start)
    under = np.concatenate(([False], depth > 0, [False]))
    begins, ends = np.flatnonzero(~under[:-1] & under[1:]), np.flatnonzero(under[:-1] & ~under[1:])
    found = []
    for begin, end in zip(begins.tolist(), ends.tolist(), strict=True):
        trough = begin + int(depth[begin:end].argmax())
        recovered = end if end < equity.size else None
        found.append(Drawdown(begin - 1, trough, recovered, float(depth[trough])))
    return sorted(found, key=lambda one: -one.depth)[:most]


def months(timestamps: Ints, equity: Floats, *, start: float) -> dict[int, dict[int, float]]:
    """Return ``{year: {month: return}}``, month 0 the whole year; the first against ``start``.

    Months are those of UTC. A month that begins without equity has no return.
    """
    month = timestamps.astype("datetime64[ns]").astype("datetime64[M]").astype(np.int64)
    ends = np.flatnonzero(np.append(month[1:] != month[:-1], [True] if month.size else []))
    table: dict[int, dict[int, float]] = {}
    before = start
    for index in ends.tolist():
        after = float(equity[index])
        if before > 0:
            year, place = divmod(int(month[index]), 12)
            table.setdefault(1970 + year, {})[place + 1] = after / before - 1.0
        before = after
    for row in table.values():
        row[0] = float(np.prod([1.0 + value for value in row.values()]) - 1.0)
    return table


def rolling_sharpe(changes: Floats, *, window: int, periods_per_year: float) -> Floats:
    """Return the annualised Sharpe ratio of the last ``window`` returns at each bar, shape (T,).

    NaN before the first whole window and where a window is flat; deviation with ddof=1.
    """
    result = np.full(changes.size, np.nan)
    if window < 2 or changes.size < window:
        return result
    windows = np.lib.stride_tricks.sliding_window_view(changes, window)
    if changes.size * window <= 20_000_000:
        mean, deviation = windows.mean(axis=1), windows.std(axis=1, ddof=1)
    else:
        mean, deviation = _sums(changes, window)
    flat = deviation <= FLAT * max(float(np.abs(changes).max()), FLAT)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = mean / deviation * np.sqrt(periods_per_year)
    result[window - 1 :] = np.where(flat, np.nan, ratio)
    return result


def _sums(changes: Floats, window: int) -> tuple[Floats, Floats]:
    """Return mean and deviation of each window by running sums: for curves of millions of bars."""
    centre = changes.mean()
    first = np.cumsum(np.concatenate(([0.0], changes - centre)))
    second = np.cumsum(np.concatenate(([0.0], (changes - centre) ** 2)))
    total, squares = first[window:] - first[:-window], second[window:] - second[:-window]
    mean = total / window
    variance = np.maximum(squares - total * mean, 0.0) / (window - 1)
    return mean + centre, np.sqrt(variance)
