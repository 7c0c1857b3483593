"""Round trips out of fills: every closing share is matched with the oldest open one (FIFO)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from runtimes.engine.arrays import NEXT_OPEN, TAG_TARGET, Fills, Floats, Ints, Market, each
from runtimes.engine.compiled import apart, borrowed, compiled

WIDE = 8
"""Symbols, and bars a fill's bar, from which on stretches between fills are spanned first."""


class Trades(NamedTuple):
    """One row per matched part (K,): ``quantity`` is signed by its side, long above 0.

    ``pnl`` is net of ``fees``, the matched shares' part of both fills. ``mae`` and ``mfe`` are the
    worst (<= 0) and best (>= 0) open result in money, before fees; ``bars`` how long it was open.
    """

    symbol: Ints
    entry: Ints
    exit: Ints
    entry_price: Floats
    exit_price: Floats
    quantity: Floats
    pnl: Floats
    fees: Floats
    mae: Floats
    mfe: Floats
    bars: Ints


def match(fills: Fills, market: Market, *, fill: int) -> Trades:
    """Return the trades that ``fills`` closed, in order of exit; ``fill`` is the timing code."""
    size = max(int(fills.bar.size), 1)
    following = next_fills(fills.symbol, market.close.shape[1])
    # Each fill closes lots fully, except the last it meets: at most two rows per fill.
    i, f = np.empty((4, 2 * size), dtype=np.int64), np.empty((7, 2 * size))
    out = Trades(i[0], i[1], i[2], f[0], f[1], f[2], f[3], f[4], f[5], f[6], i[3])
    lots, paid = np.zeros(size), np.zeros(size)
    heads = np.full(market.close.shape[1], -1, dtype=np.int64)
    at_open = int(fill == NEXT_OPEN)
    stretch, lows, highs = _stretches(fills, market, at_open)
    rows = _match(fills, market, at_open, following, heads, lots, paid, stretch, lows, highs, out)
    return each(out, lambda column: column[:rows])


def _stretches(fills: Fills, market: Market, at_open: int) -> tuple[Ints, Floats, Floats]:
    """Return for each bar the row of the stretch that it begins or is in, and what each spans.

    A stretch lies between two bars at which anything was filled: where there are few, what prices
    did in the life of a trade is found by its stretches. None of it where that saves nothing.
    """
    bars, symbols = market.close.shape
    early = np.where(fills.tag == TAG_TARGET, at_open, 0)
    begins = np.zeros(bars + 1, dtype=np.int64)
    begins[fills.bar + 1 - at_open] = begins[fills.bar + 1 - early] = 1
    begins[bars] = 1
    stretch = np.cumsum(begins) - 1
    count = int(stretch[bars])
    if symbols < WIDE or WIDE * count > bars:
        return np.zeros(0, np.int64), np.zeros((0, 0)), np.zeros((0, 0))
    lows = np.full((count, symbols), np.inf)
    highs = np.full((count, symbols), -np.inf)
    _span(market.low, market.high, stretch, lows, highs)
    return stretch, lows, highs


@apart
def _span(low: Floats, high: Floats, stretch: Ints, lows: Floats, highs: Floats) -> None:
    """Write the lowest low and the highest high of each stretch and symbol; NaN is passed over."""
    for t in range(low.shape[0]):
        row = stretch[t]
        if row < 0:
            continue
        for i in range(low.shape[1]):
            lows[row, i] = min(lows[row, i], low[t, i])
            highs[row, i] = max(highs[row, i], high[t, i])


@compiled
def next_fills(symbol: Ints, symbols: int) -> Ints:
    """Return for each fill the index of the symbol's next one, or -1."""
    following = np.full(symbol.size, -1, dtype=np.int64)
    latest = np.full(symbols, -1, dtype=np.int64)
    for k in range(symbol.size - 1, -1, -1):
        following[k] = latest[symbol[k]]
        latest[symbol[k]] = k
    return following


@compiled
def excursions(
    lows: Floats, highs: Floats, i: int, start: int, stop: int, entry: float, leave: float
) -> tuple[float, float]:
    """Return the lowest and highest price of rows ``start`` to ``stop`` - 1 and both fills."""
    low, high = min(entry, leave), max(entry, leave)
    for t in range(start, stop):
        if not np.isnan(lows[t, i]):
            low = min(low, lows[t, i])
            high = max(high, highs[t, i])
    return low, high


@compiled
def next_lot(e: int, k: int, following: Ints, lots: Floats) -> int:
    """Return the symbol's next fill after ``e`` and before ``k`` that is still open, or -1."""
    e = following[e]
    while 0 <= e < k and lots[e] == 0.0:
        e = following[e]
    return e if 0 <= e < k else -1


@compiled
def _match(
    fills: Fills,
    market: Market,
    at_open: int,
    following: Ints,
    heads: Ints,
    lots: Floats,
    paid: Floats,
    stretch: Ints,
    lows: Floats,
    highs: Floats,
    out: Trades,
) -> int:
    """Match fills in order; ``lots`` and ``paid`` hold what is left of each fill's entry."""
    fills, market, out = borrowed(fills), borrowed(market), borrowed(out)
    rows = 0
    for k in range(fills.bar.size):
        i = fills.symbol[k]
        left = fills.quantity[k]
        share = fills.fee[k] / abs(left)
        while left != 0.0 and heads[i] >= 0 and lots[heads[i]] * left < 0.0:
            e = heads[i]
            size = min(abs(lots[e]), abs(left))
            side = 1.0 if lots[e] > 0.0 else -1.0
            entry, leave = fills.price[e], fills.price[k]
            early = at_open if fills.tag[k] == TAG_TARGET else 0
            start, stop = fills.bar[e] + 1 - at_open, fills.bar[k] + 1 - early
            if stretch.size:
                start, stop = stretch[start], stretch[stop]
                low, high = excursions(lows, highs, i, start, stop, entry, leave)
            else:
                low, high = excursions(market.low, market.high, i, start, stop, entry, leave)
            worst, best = (low, high) if side > 0.0 else (high, low)
            fees = size * (paid[e] + share)
            out.symbol[rows] = i
            out.entry[rows] = fills.bar[e]
            out.exit[rows] = fills.bar[k]
            out.entry_price[rows] = entry
            out.exit_price[rows] = leave
            out.quantity[rows] = side * size
            out.pnl[rows] = side * size * (leave - entry) - fees
            out.fees[rows] = fees
            out.mae[rows] = side * size * (worst - entry)
            out.mfe[rows] = side * size * (best - entry)
            out.bars[rows] = fills.bar[k] - fills.bar[e]
            rows += 1
            left += side * size
            lots[e] -= side * size
            if lots[e] == 0.0:
                heads[i] = next_lot(e, k, following, lots)
        if fills.position[k] == 0.0:
            heads[i] = -1
        elif heads[i] < 0:
            lots[k] = fills.position[k]
            heads[i] = k
        elif left != 0.0:
            lots[k] = left
        paid[k] = share
    return rows
