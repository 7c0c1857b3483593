"""How much money a strategy could carry: an estimate by participation, not by market impact."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from runtimes.engine.arrays import Floats, Ints, Market
from runtimes.engine.metrics import NAN
from runtimes.engine.results import Named

PARTICIPATION = 0.01
"""Part of a symbol's median daily dollar volume that a day's trading in it may be."""
LEVEL = 0.05
"""Part of the trades that may exceed it."""
DAY_NS = 86_400 * 10**9


def capacity(
    timestamps: Ints, equity: Floats, fills: Named, market: Market, symbols: Sequence[str]
) -> float:
    """Return the equity at which 95 % of the trades stay within 1 % of the symbol's daily volume.

    A trade is everything bought and sold of a symbol in one bar, as a part of equity at that bar's
    close; daily volume is the median over UTC days with a bar of close * volume, summed over the
    day's bars, in the prices of the run. The participation rule of Vangelisti (2006, The Capacity
    of an Equity Strategy) with limits of our own. ``timestamps`` and ``equity`` (B,) are the run's
    curve, ``market`` (T, N) bars of ``symbols`` of which the run's own count. nan without fills or
    volume. A bar without equity carries nothing and is left out.
    """
    if not fills["price"].size or not timestamps.size:
        return NAN
    first = int(np.searchsorted(market.timestamps, timestamps[0]))
    last = int(np.searchsorted(market.timestamps, timestamps[-1], side="right"))
    volume = _median_daily(
        market.timestamps[first:last], market.close[first:last] * market.volume[first:last]
    )
    place = {name: i for i, name in enumerate(symbols)}
    symbol = np.array([place[name] for name in fills["vt_symbol"].tolist()], dtype=np.int64)
    bar = np.searchsorted(timestamps, fills["timestamp"])
    value = fills["quantity"] * fills["price"]
    order = np.lexsort([value, symbol, bar])
    trade = bar[order] * len(symbols) + symbol[order]
    begins = np.flatnonzero(np.diff(trade, prepend=-1))
    traded = np.add.reduceat(value[order], begins)
    worth, allowed = equity[bar[order][begins]], PARTICIPATION * volume[symbol[order][begins]]
    counts = (worth > 0.0) & (traded > 0.0) & ~np.isnan(allowed)
    if not counts.any():
        return NAN
    return float(np.quantile((allowed * worth)[counts] / traded[counts], LEVEL))


def _median_daily(timestamps: Ints, dollars: Floats) -> Floats:
    """Return (N,) the median over UTC days of the day's sum, nan for a symbol without volume."""
    days = timestamps // DAY_NS
    begins = np.flatnonzero(np.diff(days, prepend=days[:1] - 1))
    sums = np.add.reduceat(np.nan_to_num(dollars), begins, axis=0)
    sums[sums == 0.0] = NAN
    found = np.full(dollars.shape[1], NAN)
    for i in np.flatnonzero(~np.isnan(sums).all(axis=0)).tolist():
        found[i] = np.nanmedian(sums[:, i])
    return found
