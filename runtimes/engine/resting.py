"""The book meets a bar: what opens, what rests, what closes, and what ends.

At one instant reductions fill first, then by symbol, then by order id: the book is sorted so.
"""

from __future__ import annotations

import numpy as np

from runtimes.engine.arrays import (
    BEST,
    BOOKED,
    CANCELLED,
    CLOSE,
    EXPIRED,
    FILLED,
    FIRST_OF_SESSION,
    LAST_OF_SESSION,
    NEAREST,
    NEXT_OPEN,
    QUOTE_SIDE,
    REJECTED,
    SAME_CLOSE,
    Conditions,
    Floats,
    Market,
    Params,
    Records,
    State,
    codes,
)
from runtimes.engine.booking import affordable, apply_fill, fillable, spendable
from runtimes.engine.compiled import apart, compiled
from runtimes.engine.costs import fee, side, slipped
from runtimes.engine.matching import limit_price, meets, stop_price
from runtimes.engine.orders import (
    BUYING_POWER,
    DAY,
    EXIT_FILLED,
    FOK,
    GTD,
    IOC,
    LIMIT,
    LIMIT_IF_TOUCHED,
    MARKET,
    NO_LIQUIDITY,
    NO_REASON,
    ON_CLOSE,
    ON_OPEN,
    OTHER_FILLED,
    PARENT_ENDED,
    STOP,
    STOP_LIMIT,
    TIME_OVER,
    TRAILING_STOP,
    UNSETTLED,
    end_order,
    sweep,
)

OPENING, RESTING, CLOSING, AT_ONCE = codes(4)
"""The instants of a bar at which the book is looked through."""


@compiled
def flag(t: int, bit: int, conditions: Conditions) -> bool:
    """Tell whether bar ``t`` has a session mark; without marks every bar is a session."""
    return bool(conditions.flags.size == 0 or (conditions.flags[t] & bit) != 0)


@compiled
def patient(k: int, book: Records) -> bool:
    """Tell whether the order in row ``k`` only waits for a price, its date, or another's fill."""
    if book[k].waiting == 1:
        return bool(book[k].parent != book[k].order_id)
    kind, tif = book[k].kind, book[k].tif
    return bool(kind in (LIMIT, STOP) and tif not in (IOC, FOK))


@compiled
def stirring(
    t: int, market: Market, conditions: Conditions, state: State, book: Records, p: Params
) -> bool:
    """Tell whether bar ``t`` could fill, change or end an order: for most bars this says no."""
    if conditions.actions.size:
        return True
    for k in range(state.counters[BOOKED]):
        if not patient(k, book):
            return True
        if book[k].waiting == 1:
            continue
        dated = book[k].tif == GTD and market.timestamps[t] >= book[k].expiry
        if dated or (book[k].tif == DAY and flag(t, LAST_OF_SESSION, conditions)):
            return True
        if p.fill == QUOTE_SIDE:
            if not np.isnan(meets(t, k, True, market, conditions, book)):
                return True
        elif is_met(t, k, market, book):
            return True
    return False


@compiled
def due(t: int, k: int, instant: int, conditions: Conditions, book: Records, p: Params) -> bool:
    """Tell whether the order in row ``k`` may fill at this instant of bar ``t``."""
    if book[k].order_id == 0 or book[k].waiting == 1:
        return False
    kind = book[k].kind
    if instant == AT_ONCE:
        return bool(kind == MARKET and book[k].created == t)
    if book[k].after >= t:
        return False
    if instant == RESTING:
        return kind not in (MARKET, ON_OPEN, ON_CLOSE)
    if instant == OPENING:
        if kind == ON_OPEN:
            return flag(t, FIRST_OF_SESSION, conditions)
        return kind == MARKET and p.fill == NEXT_OPEN
    if kind == ON_CLOSE:
        return flag(t, LAST_OF_SESSION, conditions)
    return kind == MARKET and p.fill != NEXT_OPEN


@apart
def price_for(
    t: int, k: int, instant: int, market: Market, conditions: Conditions, book: Records, p: Params
) -> float:
    """Return the price before slippage at which the order fills at this instant, else nan."""
    i = book[k].symbol
    if instant == RESTING:
        return meets(t, k, p.fill == QUOTE_SIDE, market, conditions, book)
    if instant == OPENING:
        return float(market.open[t, i])
    if p.fill == QUOTE_SIDE:
        buys = book[k].quantity > 0.0
        return side(market.close, CLOSE, buys, t, i, conditions)
    return float(market.close[t, i])


@apart
def target_first(t: int, i: int, sells: bool, market: Market, p: Params) -> bool:
    """Tell whether a bar that reaches target and stop of a position reached the target first.

    ``sells`` says that the exits sell, so that the target is above. ``nearest``: the extreme nearer
    to the open came first.
    """
    if p.intrabar != NEAREST:
        return bool(p.intrabar == BEST)
    open_, high, low = market.open[t, i], market.high[t, i], market.low[t, i]
    up = high - open_
    down = open_ - low
    return bool(up < down if sells else down < up)


@compiled
def is_met(t: int, k: int, market: Market, book: Records) -> bool:
    """Tell whether the trades of bar ``t`` reach the limit or the stop in row ``k``."""
    i, buys = book[k].symbol, book[k].quantity > 0.0
    open_, high, low = market.open[t, i], market.high[t, i], market.low[t, i]
    if book[k].kind == LIMIT:
        return not np.isnan(limit_price(buys, book[k].limit, open_, high, low))
    return not np.isnan(stop_price(buys, book[k].stop, open_, high, low))


@compiled
def opens_beyond(t: int, k: int, market: Market, book: Records) -> bool:
    """Tell whether the open of bar ``t`` is at or beyond the price of row ``k`` already."""
    open_ = market.open[t, book[k].symbol]
    if book[k].kind == LIMIT:
        limit = book[k].limit
        return bool(open_ <= limit if book[k].quantity > 0.0 else open_ >= limit)
    stop = book[k].stop
    return bool(open_ >= stop if book[k].quantity > 0.0 else open_ <= stop)


@apart
def gives_way(t: int, k: int, market: Market, book: Records, state: State, p: Params) -> bool:
    """Tell whether this bar reached another order of row ``k``'s group before it.

    Inside a bar nobody knows what came first: `Params.intrabar` says, unless the open decides.
    """
    i, group, kind = book[k].symbol, book[k].group, book[k].kind
    limits = kind == LIMIT
    if group == 0 or not (limits or kind in (STOP, TRAILING_STOP)):
        return False
    first = target_first(t, i, book[k].quantity < 0.0, market, p)
    wins = first == limits or opens_beyond(t, k, market, book)
    for other in range(state.counters[BOOKED]):
        if other == k or book[other].group != group or book[other].order_id == 0:
            continue
        rival = book[other].kind
        against = rival in (STOP, TRAILING_STOP) if limits else rival == LIMIT
        if not against or book[other].after >= t or not is_met(t, other, market, book):
            continue
        if opens_beyond(t, other, market, book) or not wins:
            return True
    return False


@apart
def settle_group(t: int, k: int, done: float, state: State, book: Records, orders: Records) -> None:
    """After a fill of row ``k``: wake its exits, cancel or shrink the others of its group.

    The first fill of an exit cancels what is left of its entry: nothing fills behind its back.
    """
    order_id, group, parent = book[k].order_id, book[k].group, book[k].parent
    for other in range(state.counters[BOOKED]):
        if other == k or book[other].order_id == 0:
            continue
        if book[other].parent == order_id:
            if book[other].waiting == 1:
                book[other].waiting = 0
                book[other].created = book[other].after = t
                book[other].quantity = 0.0
            book[other].quantity -= done
        elif book[other].order_id == parent:
            end_order(t, other, CANCELLED, EXIT_FILLED, state, book, orders)
        elif group != 0 and book[other].group == group:
            left = abs(book[other].quantity) - abs(done)
            if book[k].quantity == 0.0 or left <= 0.0:
                end_order(t, other, CANCELLED, OTHER_FILLED, state, book, orders)
            else:
                book[other].quantity = left if book[other].quantity > 0.0 else -left


@apart
def orphans(t: int, state: State, book: Records, orders: Records) -> None:
    """Cancel the orders whose entry ended without a fill."""
    for k in range(state.counters[BOOKED]):
        parent = book[k].parent
        if book[k].order_id == 0 or book[k].waiting == 0:
            continue
        alive = False
        for other in range(state.counters[BOOKED]):
            if book[other].order_id == parent:
                alive = True
        if not alive:
            end_order(t, k, CANCELLED, PARENT_ENDED, state, book, orders)


@apart
def fill_row(
    t: int,
    k: int,
    instant: int,
    price: float,
    market: Market,
    conditions: Conditions,
    state: State,
    book: Records,
    orders: Records,
    fills: Records,
    p: Params,
) -> None:
    """Fill the order in row ``k`` at ``price`` as far as volume and buying power allow."""
    i, kind, tif = book[k].symbol, book[k].kind, book[k].tif
    rests = kind in (LIMIT, STOP_LIMIT, LIMIT_IF_TOUCHED)
    quantity = fillable(book[k].quantity, t, i, market, conditions, p)
    if tif == FOK and quantity != book[k].quantity:
        end_order(t, k, CANCELLED, NO_LIQUIDITY, state, book, orders)
        return
    if quantity != 0.0:
        quoted = p.fill == QUOTE_SIDE and instant >= CLOSING
        paid = price
        if not rests and not quoted:
            paid = slipped(quantity, price, t, i, market, conditions, p)
        charge = fee(quantity, paid, rests, p)
        if not affordable(i, quantity, paid, charge, state, p):
            end_order(t, k, REJECTED, BUYING_POWER, state, book, orders)
            return
        if p.settlement and not spendable((quantity * paid + charge) * state.rate[i], state):
            end_order(t, k, REJECTED, UNSETTLED, state, book, orders)
            return
        apply_fill(t, i, quantity, paid, charge, book[k].order_id, book[k].tag, state, fills)
        left = book[k].quantity - quantity
        book[k].filled += quantity
        book[k].quantity = left
        settle_group(t, k, quantity, state, book, orders)
        if left == 0.0:
            end_order(t, k, FILLED, NO_REASON, state, book, orders)
            return
    if tif == IOC:
        end_order(t, k, CANCELLED, NO_LIQUIDITY, state, book, orders)


@apart
def look_through(
    t: int,
    instant: int,
    prices: Floats,
    market: Market,
    conditions: Conditions,
    state: State,
    book: Records,
    orders: Records,
    fills: Records,
    p: Params,
) -> None:
    """Fill what is due at this instant of bar ``t``; ``prices`` (B,) is scratch of the book's size.

    Prices are taken first, so that triggers and trails move once however often the book is read.
    """
    for k in range(state.counters[BOOKED]):
        prices[k] = np.nan
        if not due(t, k, instant, conditions, book, p):
            continue
        if np.isnan(market.close[t, book[k].symbol]) or gives_way(t, k, market, book, state, p):
            continue
        prices[k] = price_for(t, k, instant, market, conditions, book, p)
    for increasing in range(2):
        for k in range(state.counters[BOOKED]):
            if np.isnan(prices[k]) or book[k].order_id == 0:
                continue
            reduces = book[k].quantity * state.quantity[book[k].symbol] < 0.0
            if reduces == (increasing == 1):
                continue
            fill_row(t, k, instant, prices[k], market, conditions, state, book, orders, fills, p)
            prices[k] = np.nan
    at_once(t, instant, state, book, orders, conditions, p)
    orphans(t, state, book, orders)
    sweep(state, book)


@apart
def at_once(
    t: int,
    instant: int,
    state: State,
    book: Records,
    orders: Records,
    conditions: Conditions,
    p: Params,
) -> None:
    """Cancel what had to fill at this bar or never and did not."""
    last = instant == (AT_ONCE if p.fill == SAME_CLOSE else CLOSING)
    if not last:
        return
    for k in range(state.counters[BOOKED]):
        if book[k].order_id == 0 or book[k].waiting == 1 or book[k].tif not in (IOC, FOK):
            continue
        if book[k].after < t:
            end_order(t, k, CANCELLED, NO_LIQUIDITY, state, book, orders)


@apart
def expire(
    t: int, market: Market, conditions: Conditions, state: State, book: Records, orders: Records
) -> None:
    """End what was good for the day or until a date that this bar has reached."""
    for k in range(state.counters[BOOKED]):
        if book[k].order_id == 0:
            continue
        tif = book[k].tif
        ended = tif == DAY and flag(t, LAST_OF_SESSION, conditions) and book[k].after < t
        dated = tif == GTD and market.timestamps[t] >= book[k].expiry
        if ended or dated:
            end_order(t, k, EXPIRED, TIME_OVER, state, book, orders)
    orphans(t, state, book, orders)
    sweep(state, book)
