"""Round trips out of fills: every closing share is matched with the oldest open one (FIFO)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from runtimes.engine.arrays import NEXT_OPEN, TAG_TARGET, Fills, Floats, Ints, Market, each
from runtimes.engine.compiled import borrowed, compiled


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
    i, f = np.zeros((4, 2 * size), dtype=np.int64), np.zeros((7, 2 * size))
    out = Trades(i[0], i[1], i[2], f[0], f[1], f[2], f[3], f[4], f[5], f[6], i[3])
    lots, paid = np.zeros(size), np.zeros(size)
    heads = np.full(market.close.shape[1], -1, dtype=np.int64)
    rows = _match(fills, market, int(fill == NEXT_OPEN), following, heads, lots, paid, out)
    return each(out, lambda column: column[:rows].copy())


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
    market: Market, i: int, start: int, stop: int, entry: float, leave: float
) -> tuple[float, float]:
    """Return the lowest and highest price of bars ``start`` to ``stop`` - 1 and both fills."""
    low, high = min(entry, leave), max(entry, leave)
    for t in range(start, stop):
        if not np.isnan(market.low[t, i]):
            low = min(low, market.low[t, i])
            high = max(high, market.high[t, i])
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
            low, high = excursions(market, i, start, stop, entry, leave)
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
