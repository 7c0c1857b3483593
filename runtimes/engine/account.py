"""What happens to an account by itself: corporate actions, financing, margin calls, ruin."""

from __future__ import annotations

import numpy as np

from runtimes.engine.arrays import (
    BOOKED,
    BORROW,
    CALLS,
    CANCELLED,
    DIVIDEND,
    DIVIDENDS,
    FILLED,
    INTEREST,
    IS_RUINED,
    ORDER_ID,
    SPLIT,
    TAG_DELISTED,
    TAG_MARGIN,
    TAG_RUIN,
    Conditions,
    Market,
    Params,
    Records,
    State,
)
from runtimes.engine.booking import apply_fill, equity_at_mark
from runtimes.engine.compiled import apart, merged
from runtimes.engine.orders import (
    DELISTED,
    GTC,
    MARGIN_CALL,
    MARKET,
    NO_REASON,
    TOO_SMALL,
    end_order,
    log_target,
    sweep,
)
from runtimes.engine.sizing import in_lots, lot_of

YEAR_NS = 365.0 * 86_400e9
CUSHION = 0.95
"""A margin call sells down to this part of what the equity carries, not to the very limit."""


@apart
def actions(
    t: int,
    conditions: Conditions,
    state: State,
    book: Records,
    orders: Records,
    fills: Records,
    p: Params,
) -> None:
    """Book the corporate actions that are due before the open of bar ``t``."""
    for e in range(conditions.actions.size):
        if conditions.actions[e].bar != t:
            continue
        i, value = conditions.actions[e].symbol, conditions.actions[e].value
        if conditions.actions[e].kind == DIVIDEND:
            state.cash[state.currency[i]] += state.quantity[i] * value
            state.totals[DIVIDENDS] += state.quantity[i] * value * state.rate[i]
        elif conditions.actions[e].kind == SPLIT:
            split(t, i, value, conditions, state, book, orders, p)
        else:
            delist(t, i, state, book, orders, fills)


@apart
def split(
    t: int,
    i: int,
    factor: float,
    conditions: Conditions,
    state: State,
    book: Records,
    orders: Records,
    p: Params,
) -> None:
    """Give 1/``factor`` new shares for an old one; a part of a lot is paid out in cash.

    Open orders keep whole lots; one of which less than a lot is left ends.
    """
    lot = lot_of(i, conditions, p)
    state.last[i] *= factor
    state.average_price[i] *= factor
    after = state.quantity[i] / factor
    kept = in_lots(after, lot)
    state.cash[state.currency[i]] += (after - kept) * state.last[i] if after != kept else 0.0
    state.quantity[i] = kept
    for k in range(state.counters[BOOKED]):
        if book[k].order_id != 0 and book[k].symbol == i:
            shares = book[k].quantity / factor
            book[k].quantity = in_lots(shares, lot)
            book[k].filled /= factor
            book[k].limit *= factor
            book[k].stop *= factor
            if book[k].relative == 0:
                book[k].trail *= factor
            if book[k].quantity == 0.0:
                lose(t, k, shares, state, book, orders)
    sweep(state, book)


@apart
def lose(t: int, k: int, shares: float, state: State, book: Records, orders: Records) -> None:
    """End the order in row ``k``, of which a split left ``shares``, less than one lot.

    An exit whose entry is still open, so in an earlier row, waits for the entry's next fill.
    """
    for other in range(k):
        if book[other].order_id != 0 and book[other].order_id == book[k].parent:
            book[k].waiting = 1
            return
    book[k].quantity = shares
    end_order(t, k, CANCELLED, TOO_SMALL, state, book, orders)


@apart
def delist(t: int, i: int, state: State, book: Records, orders: Records, fills: Records) -> None:
    """Pay a position out at its last close, without cost, and end its orders."""
    pay_out(t, i, TAG_DELISTED, state, orders, fills)
    if state.pending[i]:
        state.pending[i] = 0
        log_target(t, i, np.nan, CANCELLED, DELISTED, state, orders)
    for k in range(state.counters[BOOKED]):
        if book[k].order_id != 0 and book[k].symbol == i:
            end_order(t, k, CANCELLED, DELISTED, state, book, orders)
    sweep(state, book)


@apart
def pay_out(t: int, i: int, tag: int, state: State, orders: Records, fills: Records) -> None:
    """Close the position in symbol ``i`` at its mark, without cost."""
    quantity = -state.quantity[i]
    if quantity == 0.0:
        return
    pending, weight, created = state.pending[i], state.weight[i], state.created[i]
    state.weight[i] = 0.0
    state.created[i] = t
    order_id = log_target(t, i, quantity, FILLED, NO_REASON, state, orders)
    apply_fill(t, i, quantity, state.last[i], 0.0, order_id, tag, state, fills)
    state.pending[i], state.weight[i], state.created[i] = pending, weight, created


@merged
def finance(t: int, market: Market, state: State, p: Params) -> None:
    """Charge short positions and book interest on cash for the time since the bar before.

    Shorts are charged in the account's currency, interest is booked in that of the cash.
    """
    if t == 0 or (p.borrow_rate == 0.0 and p.debit_rate == 0.0 and p.credit_rate == 0.0):
        return
    years = (market.timestamps[t] - market.timestamps[t - 1]) / YEAR_NS
    rate = p.credit_rate if state.cash[0] > 0.0 else p.debit_rate
    interest = state.cash[0] * rate * years
    borrowed = 0.0
    for i in range(state.quantity.size):
        if state.quantity[i] < 0.0:
            borrowed -= state.quantity[i] * state.last[i] * state.rate[i]
    state.cash[0] += interest - borrowed * p.borrow_rate * years
    state.totals[INTEREST] += interest
    state.totals[BORROW] += borrowed * p.borrow_rate * years
    for c in range(1, state.cash.size):
        rate = p.credit_rate if state.cash[c] > 0.0 else p.debit_rate
        interest = state.cash[c] * rate * years
        state.cash[c] += interest
        state.totals[INTEREST] += interest * state.exchange[c]


@apart
def take_rates(t: int, conditions: Conditions, state: State) -> None:
    """Take over what currencies are worth at the end of bar ``t``."""
    for c in range(1, state.exchange.size):
        state.exchange[c] = conditions.rates[t, c - 1]
    for i in range(state.rate.size):
        state.rate[i] = state.exchange[state.currency[i]]


@apart
def balance(state: State) -> None:
    """Exchange what currencies owe: first from the account's own cash, then from the others.

    So money is borrowed only when there is none at all, and only in the account's currency.
    """
    for c in range(1, state.cash.size):
        if state.cash[c] < 0.0:
            state.cash[0] += state.cash[c] * state.exchange[c]
            state.cash[c] = 0.0
    for c in range(1, state.cash.size):
        if state.cash[0] < 0.0 and state.cash[c] > 0.0:
            taken = min(state.cash[c], -state.cash[0] / state.exchange[c])
            state.cash[0] += taken * state.exchange[c]
            state.cash[c] -= taken


@apart
def settle(state: State) -> None:
    """Begin a session: what sales brought comes a session nearer to being spendable."""
    last = state.unsettled.size - 1
    for s in range(last):
        state.unsettled[s] = state.unsettled[s + 1]
    state.unsettled[last] = 0.0


@apart
def margin_call(t: int, conditions: Conditions, state: State, book: Records, p: Params) -> None:
    """Give market orders that bring gross exposure back to what the equity carries.

    Called at the close; they fill at the next bar like any order given there. Every position
    shrinks by the same part.
    """
    equity, gross = equity_at_mark(state), 0.0
    for i in range(state.quantity.size):
        if state.quantity[i] != 0.0:
            gross += abs(state.quantity[i] * state.last[i] * state.rate[i])
    if gross * p.maintenance <= equity or equity <= 0.0:
        return
    for k in range(state.counters[BOOKED]):
        if book[k].order_id != 0 and book[k].tag == TAG_MARGIN:
            return  # the call of an earlier close has not been met yet
    kept = CUSHION * equity / (gross * p.maintenance)
    state.counters[CALLS] += 1
    for i in range(state.quantity.size):
        sold = state.quantity[i] * (1.0 - kept)
        lot = lot_of(i, conditions, p)
        shares = sold if lot == 0.0 else np.sign(sold) * np.ceil(abs(sold) / lot) * lot
        if abs(shares) > abs(state.quantity[i]):
            shares = state.quantity[i]
        if shares != 0.0 and state.counters[BOOKED] < book.size:
            insert(t, i, -shares, state, book)


@apart
def insert(t: int, i: int, quantity: float, state: State, book: Records) -> None:
    """Put a market order of the margin call into the book, behind its symbol's others."""
    place = state.counters[BOOKED]
    while place > 0 and book[place - 1].symbol > i:
        book[place] = book[place - 1]
        place -= 1
    state.counters[BOOKED] += 1
    state.counters[ORDER_ID] += 1
    book[place].order_id = state.counters[ORDER_ID]
    book[place].symbol = i
    book[place].kind = MARKET
    book[place].tif = GTC
    book[place].created = book[place].after = t
    book[place].parent = book[place].waiting = book[place].group = 0
    book[place].touched = book[place].relative = book[place].expiry = 0
    book[place].tag = TAG_MARGIN
    book[place].quantity = quantity
    book[place].filled = 0.0
    book[place].limit = book[place].stop = book[place].trail = np.nan


@apart
def close_out(t: int, state: State, book: Records | None, orders: Records, fills: Records) -> None:
    """Close every position at its mark, without cost: the account has no equity left."""
    state.counters[IS_RUINED] = 1
    for i in range(state.quantity.size):
        state.weight[i] = 0.0
        state.created[i] = t
        state.pending[i] = 0
        pay_out(t, i, TAG_RUIN, state, orders, fills)
    if book is None:
        return
    for k in range(state.counters[BOOKED]):
        if book[k].order_id != 0:
            end_order(t, k, CANCELLED, MARGIN_CALL, state, book, orders)
    sweep(state, book)
