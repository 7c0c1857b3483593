"""When Lean looks at an account: a sample each midnight of New York, equity points in between."""

from __future__ import annotations

import datetime as dt
import math
from dataclasses import dataclass
from zoneinfo import ZoneInfo

import numpy as np

from runtimes.engine.arrays import Floats, Ints

ZONE = ZoneInfo("America/New_York")
MINUTE_NS = 60 * 10**9
POINTS = 4_000
"""Lean aims at so many equity points a run, at least four minutes apart."""
DIGITS = 7
"""Significant digits that Lean keeps of a sample."""


@dataclass(frozen=True, slots=True)
class Account:
    """What is known of an account at its data times ``times`` (K,), int64 ns UTC, rising.

    ``values`` (K,) is the portfolio's value after everything of that instant; ``traded`` (K,) the
    value bought and sold there. ``start`` is the midnight at which the run begins, with ``cash``.
    """

    times: Ints
    values: Floats
    traded: Floats
    start: int
    cash: float


def midnights(start: int, last: int) -> Ints:
    """Return every midnight of New York from the day of ``start`` to ``last``, as int64 ns UTC.

    Weekends and holidays too: Lean samples by the calendar.
    """
    day = dt.datetime.fromtimestamp(start / 10**9, ZONE).date()
    found = []
    while (instant := midnight(day)) <= last:
        found.append(instant)
        day += dt.timedelta(days=1)
    return np.array(found, dtype=np.int64)


def midnight(day: dt.date) -> int:
    """Return 00:00 New York of ``day`` as ns UTC."""
    return int(dt.datetime.combine(day, dt.time(), ZONE).timestamp()) * 10**9


def sample_times(account: Account) -> Ints:
    """Return the midnights and, behind them, the last data instant."""
    last = int(account.times[-1])
    found = midnights(account.start, last)
    return found if found[-1] == last else np.append(found, last)


def value_at(account: Account, times: Ints) -> Floats:
    """Return the value at the last data time at or before each instant; ``cash`` before any."""
    place = np.searchsorted(account.times, times, side="right") - 1
    return np.where(place >= 0, account.values[np.maximum(place, 0)], account.cash)


def equity_times(account: Account, samples: Ints, *, minutes: float) -> Ints:
    """Return the samples with data times between them, not closer than the run's resolution.

    ``minutes`` is the length of the run; the last instant always counts.
    """
    apart = int(max(4.0, minutes / POINTS) * MINUTE_NS)
    chosen, due = [], int(samples[0])
    while (place := int(np.searchsorted(account.times, due, side="right"))) < account.times.size:
        chosen.append(int(account.times[place]))
        due = chosen[-1] + apart
    return np.unique(np.concatenate([samples, np.array(chosen, dtype=np.int64)]))


def performance(values: Floats) -> Floats:
    """Return the change of each sample to the one before it, the first one 0.

    In percent rounded to 10 decimals, then to 7 significant digits, as Lean stores it. What begins
    with nothing stays so: 0.
    """
    before = values[:-1]
    grown = np.divide(values[1:], before, out=np.ones_like(before), where=before > 0.0) - 1.0
    changes = np.concatenate([[0.0], grown]) * 100.0
    return np.array([_significant(round(change, 10)) for change in changes.tolist()]) / 100.0


def benchmark_samples(times: Ints, closes: Floats, samples: Ints) -> Floats:
    """Return the last benchmark close at or before each sample, 0 before its first bar.

    Lean keeps 7 significant digits, above 1000 four decimals.
    """
    place = np.searchsorted(times, samples, side="right") - 1
    raw = np.where(place >= 0, closes[np.maximum(place, 0)], 0.0)
    return np.array([round(v, 4) if v >= 1_000 else _significant(v) for v in raw.tolist()])


def benchmark_performance(values: Floats) -> Floats:
    """Return the changes of benchmark samples but the first; 0 where the one before is 0."""
    before = values[:-1]
    changes = np.divide(values[1:], before, out=np.ones_like(before), where=before != 0.0) - 1.0
    return np.asarray(changes[1:])


def traded_between(account: Account, samples: Ints) -> Floats:
    """Return the value traded since the sample before, (S,); the first sample has none.

    A midnight is sampled before what is traded then; only the last instant is told after it.
    """
    place = np.searchsorted(samples, account.times, side="right")
    sums = np.bincount(np.minimum(place, samples.size - 1), account.traded, samples.size)
    sums[0] = 0.0
    return np.asarray(sums)


def _significant(value: float) -> float:
    if value == 0.0 or not math.isfinite(value):
        return value
    return round(value, DIGITS - 1 - math.floor(math.log10(abs(value))))
