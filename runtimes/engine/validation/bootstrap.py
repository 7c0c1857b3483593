"""Confidence intervals of a statistic of returns by the stationary bootstrap.

Politis and Romano 1994: blocks of random, geometrically distributed length, drawn with wrap-around,
keep the series' short memory. The mean length is theirs or chosen from the data (Politis and White
2004, as corrected by Patton, Politis and White 2009).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from runtimes.engine import metrics
from runtimes.engine.arrays import Floats, Ints

CELLS = 4_000_000
"""Resampled values held at once: 32 MB."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A statistic with its interval; ``block`` is the mean block length, ``draws`` the number."""

    value: float
    low: float
    high: float
    block: float
    draws: int


def interval(
    returns: Floats,
    statistic: Callable[[Floats], Floats],
    *,
    rng: np.random.Generator,
    draws: int = 2_000,
    alpha: float = 0.05,
    block: float | None = None,
) -> Interval:
    """Return the percentile interval of ``statistic`` at confidence 1 - ``alpha``.

    ``returns`` (B,) or (B, K) are drawn row by row, so that columns stay paired. ``statistic`` maps
    (draws, B) or (draws, B, K) to (draws,); draws for which it is nan do not count, and with fewer
    than two bars or without a single number the bounds are nan.
    """
    count = len(returns)
    length = block if block is not None else block_length(returns)
    if count < 2:
        return Interval(metrics.NAN, metrics.NAN, metrics.NAN, length, 0)
    batch = max(1, CELLS // returns.size)
    found = []
    for begin in range(0, draws, batch):
        chosen = resample(count, min(batch, draws - begin), block=length, rng=rng)
        found.append(np.asarray(statistic(returns[chosen]), dtype=np.float64))
    values = np.concatenate(found)
    values = values[~np.isnan(values)]
    value = float(np.asarray(statistic(returns[None]))[0])
    if not values.size:
        return Interval(value, metrics.NAN, metrics.NAN, length, 0)
    low, high = np.quantile(values, [alpha / 2.0, 1.0 - alpha / 2.0])
    return Interval(value, float(low), float(high), length, int(values.size))


def resample(count: int, draws: int, *, block: float, rng: np.random.Generator) -> Ints:
    """Return (draws, count) bar numbers: blocks of mean length ``block`` with wrap-around."""
    starts = rng.integers(0, count, size=(draws, count))
    fresh = rng.random((draws, count)) < 1.0 / max(block, 1.0)
    fresh[:, 0] = True
    place = np.arange(count)
    begin = np.maximum.accumulate(np.where(fresh, place, 0), axis=1)
    chosen = np.take_along_axis(starts, begin, axis=1) + (place - begin)
    return np.asarray(chosen % count, dtype=np.int64)


def block_length(returns: Floats) -> float:
    """Return the mean block length that Politis and White choose, 1 to min(3 sqrt(B), B/3).

    Of several columns the longest counts. 1 for fewer than nine bars or a flat series.
    """
    columns = returns.reshape(len(returns), -1)
    return max((_length(column) for column in columns.T), default=1.0)


def _length(column: Floats) -> float:
    count = column.size
    if count < 9 or metrics.is_flat(float(column.std()), column):
        return 1.0
    quiet = max(5, math.ceil(math.sqrt(math.log10(count))))
    most = min(math.ceil(math.sqrt(count)) + quiet, count - 1)
    covariance = _autocovariance(column, most)
    correlation = covariance / covariance[0]
    bound = 2.0 * math.sqrt(math.log10(count) / count)
    reach = _first_quiet(np.abs(correlation), bound, quiet)
    lags = np.arange(-min(2 * reach, most), min(2 * reach, most) + 1)
    window = _flat_top(np.abs(lags) / max(min(2 * reach, most), 1))
    weighted = window * covariance[np.abs(lags)]
    bias = float((weighted * np.abs(lags)).sum())
    spread = 2.0 * float(weighted.sum()) ** 2
    if not spread > 0:
        return 1.0
    length = (2.0 * bias**2 / spread) ** (1.0 / 3.0) * count ** (1.0 / 3.0)
    return float(min(max(length, 1.0), math.ceil(min(3.0 * math.sqrt(count), count / 3.0))))


def _autocovariance(column: Floats, lags: int) -> Floats:
    centred = column - column.mean()
    products = [float(centred[lag:] @ centred[: centred.size - lag]) for lag in range(lags + 1)]
    return np.array(products) / column.size


def _first_quiet(correlation: Floats, bound: float, quiet: int) -> int:
    """Return the last lag before ``quiet`` insignificant ones in a row, at least 1."""
    loud = correlation[1:] > bound
    for lag in range(loud.size - quiet + 1):
        if not loud[lag : lag + quiet].any():
            return max(lag, 1)
    return max(int(np.flatnonzero(loud)[-1]) + 1 if loud.any() else 1, 1)


def _flat_top(share: Floats) -> Floats:
    """Return the flat-top lag window: 1 to a half, then falling to 0 at 1."""
    return np.asarray(np.clip(2.0 * (1.0 - share), 0.0, 1.0))
