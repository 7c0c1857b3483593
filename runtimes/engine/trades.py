"""Round trips out of fills: every closing share is matched with the oldest open one (FIFO)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from runtimes.engine.arrays import NEXT_OPEN, TAG_TARGET, Floats, Ints, Market, Records, each
from runtimes.engine.compiled import apart, bare, borrowed, compiled

WIDE = 8
"""Symbols, and bars a fill's bar, from which on stretches between fills are spanned first."""


class Trades(NamedTuple):
    """One row per matched part (K,): ``quantity`` is signed by its side, long above 0.

    ``pnl`` is net of ``fees``, the matched shares' part of both fills. ``bars`` is how long it was
    open, ``since`` and ``until`` are the bars that it saw whole, from the first to before the last.
    """

    symbol: Ints
    entry: Ints
    exit: Ints
    bars: Ints
    since: Ints
    until: Ints
    entry_price: Floats
    exit_price: Floats
    quantity: Floats
    pnl: Floats
    fees: Floats


class Excursions(NamedTuple):
    """The worst (<= 0) and best (>= 0) open result of each trade (K,) in money, before fees."""

    mae: Floats
    mfe: Floats


def match(fills: Records, symbols: int, *, fill: int) -> Trades:
    """Return the trades that ``fills``, rows of `arrays.Fills`, closed, in order of exit.

    ``symbols`` is how many there are, ``fill`` the timing code.
    """
    size = max(int(fills.size), 1)
    # Each fill closes lots fully, except the last it meets: at most two rows per fill.
    i, f = np.empty((6, 2 * size), dtype=np.int64), np.empty((5, 2 * size))
    out = Trades(i[0], i[1], i[2], i[3], i[4], i[5], f[0], f[1], f[2], f[3], f[4])
    rows = _match(bare(fills), symbols, int(fill == NEXT_OPEN), out)
    return each(out, lambda column: column[:rows])


def excursions(trades: Trades, market: Market) -> Excursions:
    """Return how far each of ``trades`` went against and for its owner, at both fills included."""
    found = Excursions(np.empty(trades.symbol.size), np.empty(trades.symbol.size))
    stretch, lows, highs = _stretches(trades, market)
    since, until = trades.since, trades.until
    if stretch.size:
        since, until = stretch[since], stretch[until]
    _excursions(trades, since, until, lows, highs, found)
    return found


def _stretches(trades: Trades, market: Market) -> tuple[Ints, Floats, Floats]:
    """Return for each bar the row of the stretch that it begins or is in, and what each spans.

    A stretch lies between two bars at which a trade began or ended: where there are few, what
    prices did in the life of a trade is found by its stretches. Where that saves nothing there are
    none, and the prices of the bars are returned.
    """
    none = np.zeros(0, np.int64)
    bars, symbols = market.close.shape
    if symbols < WIDE:
        return none, market.low, market.high
    begins = np.zeros(bars + 1, dtype=np.int64)
    begins[trades.since] = begins[trades.until] = 1
    begins[bars] = 1
    stretch = np.cumsum(begins) - 1
    count = int(stretch[bars])
    if WIDE * count > bars:
        return none, market.low, market.high
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


@apart
def _excursions(
    trades: Trades, since: Ints, until: Ints, lows: Floats, highs: Floats, found: Excursions
) -> None:
    """Write the excursions of ``trades`` over rows ``since`` to before ``until`` of the spans."""
    trades, found = borrowed(trades), borrowed(found)
    for k in range(trades.symbol.size):
        i = trades.symbol[k]
        entry, quantity = trades.entry_price[k], trades.quantity[k]
        low, high = min(entry, trades.exit_price[k]), max(entry, trades.exit_price[k])
        for t in range(since[k], until[k]):
            if not np.isnan(lows[t, i]):
                low = min(low, lows[t, i])
                high = max(high, highs[t, i])
        worst, best = (low, high) if quantity > 0.0 else (high, low)
        found.mae[k] = quantity * (worst - entry)
        found.mfe[k] = quantity * (best - entry)


@compiled
def next_fills(fills: Records, symbols: int) -> Ints:
    """Return for each fill the index of the symbol's next one, or -1."""
    following = np.full(fills.size, -1, dtype=np.int64)
    latest = np.full(symbols, -1, dtype=np.int64)
    for k in range(fills.size - 1, -1, -1):
        following[k] = latest[fills[k].symbol]
        latest[fills[k].symbol] = k
    return following


@compiled
def next_lot(e: int, k: int, following: Ints, lots: Floats) -> int:
    """Return the symbol's next fill after ``e`` and before ``k`` that is still open, or -1."""
    e = following[e]
    while 0 <= e < k and lots[e] == 0.0:
        e = following[e]
    return e if 0 <= e < k else -1


@apart
def _match(fills: Records, symbols: int, at_open: int, out: Trades) -> int:
    """Match fills in order; ``lots`` and ``paid`` hold what is left of each fill's entry."""
    fills, out = borrowed(fills), borrowed(out)
    following = next_fills(fills, symbols)
    heads = np.full(symbols, -1, dtype=np.int64)
    lots, paid = np.zeros(fills.size), np.zeros(fills.size)
    rows = 0
    for k in range(fills.size):
        i = fills[k].symbol
        left = fills[k].quantity
        share = fills[k].fee / abs(left)
        while left != 0.0 and heads[i] >= 0 and lots[heads[i]] * left < 0.0:
            e = heads[i]
            size = min(abs(lots[e]), abs(left))
            side = 1.0 if lots[e] > 0.0 else -1.0
            entry, leave = fills[e].price, fills[k].price
            early = at_open if fills[k].tag == TAG_TARGET else 0
            fees = size * (paid[e] + share)
            out.symbol[rows] = i
            out.entry[rows] = fills[e].bar
            out.exit[rows] = fills[k].bar
            out.bars[rows] = fills[k].bar - fills[e].bar
            out.since[rows] = fills[e].bar + 1 - at_open
            out.until[rows] = fills[k].bar + 1 - early
            out.entry_price[rows] = entry
            out.exit_price[rows] = leave
            out.quantity[rows] = side * size
            out.pnl[rows] = side * size * (leave - entry) - fees
            out.fees[rows] = fees
            rows += 1
            left += side * size
            lots[e] -= side * size
            if lots[e] == 0.0:
                heads[i] = next_lot(e, k, following, lots)
        if fills[k].position == 0.0:
            heads[i] = -1
        elif heads[i] < 0:
            lots[k] = fills[k].position
            heads[i] = k
        elif left != 0.0:
            lots[k] = left
        paid[k] = share
    return rows
