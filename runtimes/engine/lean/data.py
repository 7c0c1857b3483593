"""The bars of a Lean run, and the prices at which an order fills at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from runtimes.engine.arrays import ASK, BID, CLOSE, Floats, Market, Records

HOUR_NS = 3_600 * 10**9
"""Age from which a price is stale: a market order then waits for the next bar."""
FIELDS = 4
"""Prices of a bar, on each side of the quotes."""


@dataclass(frozen=True, slots=True)
class LeanData:
    """Bars of N symbols by their end, one row for each instant at which one of them ended.

    ``market`` (T, N) holds trade bars, NaN where a symbol has none: it keeps its last price.
    ``quotes`` (8, T, N) are open, high, low, close of the bid and then of the ask. Only bars of the
    regular session belong here, and none after the run; bars before its start are look-back.
    ``continuous`` says that the market never closes and that quotes make its prices (crypto,
    forex); ``every`` ns a row without bars is put in where data has a gap, as Lean does.
    ``actions`` are for raw prices.
    """

    symbols: Sequence[str]
    market: Market
    quotes: Floats | None = None
    actions: Records | None = None
    continuous: bool = False
    every: int | None = None


@dataclass(frozen=True, slots=True)
class Prices:
    """What a market order meets when it fills at once, at each row.

    ``close`` and ``open`` (T, N) are trades carried forward; ``quotes`` and ``opening`` (8, T, N)
    the quotes, and the quotes with the open in place of the close. ``real`` (T, N) tells where a
    bar came, ``fresh`` where the last one is at most an hour old. ``coarse``: bars of an hour or
    more, whose open an order met that waited.
    """

    market: Market
    opening_market: Market
    quotes: Floats
    opening: Floats
    real: NDArray[np.bool_]
    fresh: NDArray[np.bool_]
    coarse: bool
    quoted: bool

    @classmethod
    def of(cls, data: LeanData) -> Prices:
        """Return the prices of ``data``."""
        times, market = data.market.timestamps, forward(data.market)
        quotes = np.zeros((0, 0, 0)) if data.quotes is None else carried(data.quotes)
        opening = quotes.copy()
        real = ~np.isnan(data.market.close)
        if data.quotes is not None:
            opening[CLOSE], opening[ASK + CLOSE] = opening[BID], opening[ASK]
            came = ~np.isnan(data.quotes[CLOSE])
            real = np.where(np.maximum.accumulate(came, axis=0), came, real)
        last = np.maximum.accumulate(np.where(real, np.arange(times.size)[:, None], 0), axis=0)
        return cls(
            market,
            market._replace(close=market.open),
            quotes,
            opening,
            real,
            times[:, None] - times[last] <= HOUR_NS,
            bool(times.size < 2 or np.diff(times).min() >= HOUR_NS),
            data.continuous and data.quotes is not None,
        )

    def worth(self, t: int, i: int, *, buys: bool, last: float) -> float:
        """Return the price of a symbol to a buyer or a seller: of quoted markets their side."""
        if not self.quoted:
            return last
        side = float(self.quotes[(ASK if buys else BID) + CLOSE, t, i])
        return last if np.isnan(side) else side


def carried(values: Floats) -> Floats:
    """Return ``values`` (.., T, N) without gaps along T: the last one holds until the next."""
    rows = np.where(np.isnan(values), 0, np.arange(values.shape[-2])[:, None])
    return np.take_along_axis(values, np.maximum.accumulate(rows, axis=-2), axis=-2)


def forward(market: Market) -> Market:
    """Return bars without gaps: a symbol without a bar stands at its last close, volume 0."""
    gone, close = np.isnan(market.close), carried(market.close)
    open_, high, low = (
        np.where(gone, close, column) for column in (market.open, market.high, market.low)
    )
    volume = np.where(gone & ~np.isnan(close), 0.0, market.volume)
    return Market(market.timestamps, open_, high, low, close, volume)


def prepared(data: LeanData) -> LeanData:
    """Return ``data`` with a row at every step, and where quotes make prices with their middle."""
    times, bars = data.market.timestamps, data.market
    grid = times
    if data.every is not None:
        grid = np.arange(times[0], times[-1] + data.every, data.every, dtype=np.int64)
    rows = np.searchsorted(grid, times)

    def spread(values: Floats) -> Floats:
        found = np.full((*values.shape[:-2], grid.size, values.shape[-1]), np.nan)
        found[..., rows, :] = values
        return found

    prices = [spread(column) for column in (bars.open, bars.high, bars.low, bars.close)]
    quotes = None if data.quotes is None else spread(data.quotes)
    if data.continuous and quotes is not None:
        middle = (quotes[:FIELDS] + quotes[FIELDS:]) / 2.0
        quoted = ~np.isnan(middle[CLOSE])
        prices = [np.where(quoted, middle[k], prices[k]) for k in range(FIELDS)]
    market = Market(grid, prices[0], prices[1], prices[2], prices[3], spread(bars.volume))
    return replace(data, market=market, quotes=quotes)
