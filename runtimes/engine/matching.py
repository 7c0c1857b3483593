"""At what price a resting order meets a bar.

The rules are QuantConnect Lean's (commit 24863901), under every `execution.rules`: a limit needs a
price strictly beyond it, a gap fills at the open, a triggered stop-limit and a trailing stop fill
against the bar's close because nobody knows the way inside the bar.
"""

from __future__ import annotations

import numpy as np

from runtimes.engine.arrays import (
    CLOSE,
    HIGH,
    LOW,
    Conditions,
    Market,
    Records,
)
from runtimes.engine.compiled import apart, compiled
from runtimes.engine.costs import side
from runtimes.engine.orders import (
    LIMIT,
    LIMIT_IF_TOUCHED,
    STOP,
    STOP_LIMIT,
    TRAILING_STOP,
)

NAN = np.nan


@compiled
def limit_price(buys: bool, limit: float, open_: float, high: float, low: float) -> float:
    """Return the open where it is better, else the limit; nan where no price was beyond it."""
    if buys:
        return min(open_, limit) if low < limit else NAN
    return max(open_, limit) if high > limit else NAN


@compiled
def stop_price(buys: bool, stop: float, open_: float, high: float, low: float) -> float:
    """Return the open where it is already beyond, else the stop; nan where nothing reached it."""
    if buys:
        return max(open_, stop) if high >= stop else NAN
    return min(open_, stop) if low <= stop else NAN


@compiled
def quoted_stop_price(buys: bool, stop: float, high: float, low: float, close: float) -> float:
    """Return the worse of stop and close once quotes are beyond the stop, else nan."""
    if buys:
        return max(stop, close) if high > stop else NAN
    return min(stop, close) if low < stop else NAN


@compiled
def stop_limit_price(
    buys: bool,
    touched: bool,
    limit: float,
    high: float,
    low: float,
    close: float,
) -> float:
    """Return the fill of a triggered stop-limit; nan before its trigger and beyond its limit."""
    if not touched:
        return NAN
    if buys:
        return min(high, limit) if close < limit else NAN
    return max(low, limit) if close > limit else NAN


@compiled
def touched_limit_price(buys: bool, touched: bool, limit: float, close: float) -> float:
    """Return the close of a touched limit-if-touched where it is within the limit, else nan."""
    if not touched:
        return NAN
    if buys:
        return close if close <= limit else NAN
    return close if close >= limit else NAN


@compiled
def trailing_price(buys: bool, stop: float, high: float, low: float, close: float) -> float:
    """Return the worse of stop and close once the stop is reached, else nan."""
    if buys:
        return max(stop, close) if high >= stop else NAN
    return min(stop, close) if low <= stop else NAN


@compiled
def trailed(
    buys: bool, stop: float, trail: float, relative: bool, high: float, low: float
) -> float:
    """Return where a trailing stop stands after the bar: it moves only with the market."""
    if buys:
        return min(stop, low * (1.0 + trail) if relative else low + trail)
    return max(stop, high * (1.0 - trail) if relative else high - trail)


@compiled
def plain_price(
    stops: bool,
    quoted: bool,
    buys: bool,
    at: float,
    open_: float,
    high: float,
    low: float,
    close: float,
) -> float:
    """Return the price of a limit or a stop ``at`` a price; ``quoted``: the worst of the bar."""
    if stops:
        if quoted:
            return quoted_stop_price(buys, at, high, low, close)
        return stop_price(buys, at, open_, high, low)
    if quoted:
        open_ = high if buys else low
    return limit_price(buys, at, open_, high, low)


@apart
def meets(
    t: int, k: int, quoted: bool, market: Market, conditions: Conditions, book: Records
) -> float:
    """Return the price at which the resting order in row ``k`` fills at bar ``t``, else nan.

    Limits and stops meet trades, or with ``quoted`` the other side's quotes, at the worst price
    that the bar allows.
    Triggers are remembered and trailing stops move here, so call it once a bar.
    """
    i, kind = book[k].symbol, book[k].kind
    buys = book[k].quantity > 0.0
    limit, stop = book[k].limit, book[k].stop
    open_, high, low, close = market.open[t, i], market.high[t, i], market.low[t, i], np.nan
    stops = kind == STOP
    if not quoted and (stops or kind == LIMIT):
        return plain_price(stops, quoted, buys, stop if stops else limit, open_, high, low, close)
    high = side(market.high, HIGH, buys, t, i, conditions)
    low = side(market.low, LOW, buys, t, i, conditions)
    close = side(market.close, CLOSE, buys, t, i, conditions)
    if stops or kind == LIMIT:
        return plain_price(stops, quoted, buys, stop if stops else limit, open_, high, low, close)
    if kind == STOP_LIMIT:
        if (high > stop) if buys else (low < stop):
            book[k].touched = 1
        return stop_limit_price(buys, book[k].touched == 1, limit, high, low, close)
    if kind == LIMIT_IF_TOUCHED:
        if not quoted:  # trades touch, quotes fill
            high, low = market.high[t, i], market.low[t, i]
        if (low <= stop) if buys else (high >= stop):
            book[k].touched = 1
        return touched_limit_price(buys, book[k].touched == 1, limit, close)
    if kind == TRAILING_STOP:
        price = trailing_price(buys, stop, high, low, close)
        if np.isnan(price):
            book[k].stop = trailed(buys, stop, book[k].trail, book[k].relative == 1, high, low)
        return price
    return NAN
