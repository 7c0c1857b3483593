"""What surrounds the bars of a backtest: corporate actions, quotes, and what moves prices."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lakehouse.adjust import adjusted
from lakehouse.panel import panel
from runtimes.engine.arrays import ACTION, DELISTING, DIVIDEND, SPLIT, Floats, Ints, Records, named

DAY_NS = 86_400 * 10**9
EVENT = 1e-9
"""Factors of neighbouring bars that differ by more than this part have an event between them."""
QUOTES = tuple(
    f"{side}_{part}" for side in ("bid", "ask") for part in ("open", "high", "low", "close")
)


def factors_at(bars: pa.Table, factors: pa.Table, *, daily: bool) -> tuple[Floats, Floats]:
    """Return the split factor and the price factor of every bar, each (T, N), NaN without a bar.

    They are what adjusting a price of 1 makes of it, so that there is one rule for which day a
    factor counts.
    """
    place = bars.schema.get_field_index("close")
    ones = bars.set_column(place, "close", pa.array(np.ones(bars.num_rows)))
    split = panel(adjusted(ones, factors, "split", daily=daily)).close
    total = panel(adjusted(ones, factors, "total", daily=daily)).close
    return split, total / split


def actions(close: Floats, split: Floats, price: Floats, *, first: int) -> Records:
    """Return the corporate actions between raw bars (T, N), due before the bar that follows them.

    Where the price factor moves from one bar of a symbol to its next, a dividend of
    close * (1 - before / after) was paid a share; where the split factor moves, shares were split.
    A symbol whose bars end before those of the others is delisted at its last close. What is due
    at bar ``first`` or earlier meets no position.
    """
    found: list[tuple[int, int, int, float]] = []
    for i in range(close.shape[1]):
        bars = np.flatnonzero(~np.isnan(close[:, i]))
        for before, after in zip(bars[:-1].tolist(), bars[1:].tolist(), strict=True):
            paid = 1.0 - price[before, i] / price[after, i]
            if abs(paid) > EVENT:
                found.append((after, i, int(DIVIDEND), float(close[before, i] * paid)))
            ratio = split[before, i] / split[after, i]
            if abs(ratio - 1.0) > EVENT:
                found.append((after, i, int(SPLIT), float(ratio)))
        if bars.size and bars[-1] + 1 < len(close):
            found.append((int(bars[-1]) + 1, i, int(DELISTING), 0.0))
    rows = sorted(row for row in found if row[0] > first)
    return named(np.array(rows, dtype=ACTION))


def impact(timestamps: Ints, close: Floats, volume: Floats, *, days: int) -> Floats:
    """Return mean daily volume and daily volatility before each bar, shape (2, T, N).

    Both are taken over the ``days`` UTC days with bars before the bar's own, as far as there are
    so many: the mean of a day's summed volume, and the standard deviation (ddof 1) of the returns
    from close to close. NaN where there are none before, for the volatility fewer than two.
    """
    _, starts, place = np.unique((timestamps - 1) // DAY_NS, return_index=True, return_inverse=True)
    traded = np.add.reduceat(np.nan_to_num(volume), starts, axis=0)
    ends = np.append(starts[1:], len(close)) - 1
    closes = _carried(close)[ends]
    present = np.add.reduceat(~np.isnan(close), starts, axis=0) > 0
    returns = np.full(closes.shape, np.nan)
    returns[1:] = closes[1:] / closes[:-1] - 1.0
    returns[~present] = np.nan
    known = np.full((2, *closes.shape), np.nan)
    for day in range(1, len(starts)):
        since = max(day - days, 0)
        some = present[since:day].sum(axis=0)
        total = np.where(present[since:day], traded[since:day], 0.0).sum(axis=0)
        known[0, day] = np.where(some > 0, total / np.maximum(some, 1), np.nan)
        known[1, day] = _deviation(returns[since:day])
    return np.ascontiguousarray(known[:, place])


def _deviation(returns: Floats) -> Floats:
    some = (~np.isnan(returns)).sum(axis=0)
    mean = np.nansum(returns, axis=0) / np.maximum(some, 1)
    squares = np.nansum((returns - mean) ** 2, axis=0)
    spread: Floats = np.sqrt(squares / np.maximum(some - 1, 1))
    return np.where(some > 1, spread, np.nan)


def _carried(close: Floats) -> Floats:
    """Return closes with each gap filled by the close before it."""
    rows = np.where(np.isnan(close), 0, np.arange(len(close))[:, None])
    return np.take_along_axis(close, np.maximum.accumulate(rows, axis=0), axis=0)


def quoted(quotes: pa.Table, timestamps: Ints, symbols: tuple[str, ...]) -> Floats:
    """Return bid and ask bars on the calendar of the bars, shape (8, T, N), NaN where none is."""
    instants = quotes.column("timestamp").cast(pa.int64()).to_numpy() * 1_000
    rows = np.searchsorted(timestamps, instants)
    columns = pc.index_in(quotes.column("vt_symbol"), pa.array(symbols)).fill_null(-1).to_numpy()
    meets = (rows < timestamps.size) & (columns >= 0)
    meets[meets] = timestamps[rows[meets]] == instants[meets]
    grid = np.full((len(QUOTES), timestamps.size, len(symbols)), np.nan)
    for place, name in enumerate(QUOTES):
        values = quotes.column(name).to_numpy()
        grid[place, rows[meets], columns[meets]] = values[meets]
    return grid
