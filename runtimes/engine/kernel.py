"""The one step: earlier orders meet a bar, positions are marked, decisions become orders.

Backtests call it in a compiled loop; anything that trades bar by bar calls its two halves. Inside
bar t: financing of what was held since the bar before -> settlement -> corporate actions -> targets
and orders that fill at the open -> resting orders against the bar -> orders that fill at the close
-> positions are marked to the close -> an account without equity is closed, one with too little
gets a margin call -> orders expire | the decision of this close | -> orders that fill at once ->
the row. A decision taken at the close of t meets bar t+1 at the earliest, unless the fill model
says otherwise by name: the shift is here, once.
"""

from __future__ import annotations

import numpy as np

from runtimes.engine.account import (
    actions,
    balance,
    close_out,
    finance,
    margin_call,
    settle,
    take_rates,
)
from runtimes.engine.arrays import (
    BAR,
    BOOKED,
    CANCELLED,
    CHUNK,
    DONE,
    FILLED,
    FILLS,
    FIRST_OF_SESSION,
    IS_RUINED,
    LATCH,
    NEXT_OPEN,
    ORDERS,
    ROW,
    RUINED,
    SAME_CLOSE,
    SCALED,
    SPACE,
    TAG_TARGET,
    Conditions,
    Floats,
    Ints,
    Market,
    Params,
    Records,
    State,
    Targets,
    Worth,
)
from runtimes.engine.booking import apply_fill, equity_at_mark, fillable, money, settled, worth
from runtimes.engine.compiled import apart, borrowed, latest, merged
from runtimes.engine.costs import cost, fee, reached
from runtimes.engine.orders import NO_REASON, REPLACED, log_target
from runtimes.engine.resting import (
    AT_ONCE,
    CLOSING,
    OPENING,
    RESTING,
    expire,
    flag,
    look_through,
    stirring,
)
from runtimes.engine.sizing import shares_for

WAITS, SLICED = 1, 2
"""Of an open target: it waits for its bar; it has met this one and is sized again at the next."""
ROOM = 4
"""Rows per symbol that one bar can write: a fill, a cancelled order, a delisting and a ruin."""


@merged
def size_targets(
    t: int, prices: Floats, market: Market, conditions: Conditions, state: State, p: Params
) -> None:
    """Write the wanted position of every open target into ``state.wanted``.

    Equity is marked at the fill prices (last close where a symbol has no bar) less the cost of
    positions that close altogether. Where a position cannot be traded now, the others shrink so
    that gross exposure stays within the leverage.
    """
    equity = money(state)
    closing = 0.0
    stuck = 0.0
    gross = 0.0
    for i in range(prices.size):
        held = state.quantity[i]
        tradable = not np.isnan(prices[i])
        if held != 0.0:
            mark = prices[i] if tradable else state.last[i]
            worth = mark * state.rate[i]
            equity += held * worth
            if not (tradable and state.pending[i]):
                stuck += abs(held) * worth
            elif state.weight[i] == 0.0:
                closing += cost(-held, mark, t, i, market, conditions, p) * state.rate[i]
        if tradable and state.pending[i]:
            gross += abs(state.weight[i])
    net = max(equity - closing, 0.0)
    scale = 1.0
    if stuck > 0.0 and gross * net + stuck > p.leverage * net:
        scale = max(p.leverage * net - stuck, 0.0) / (gross * net) if gross * net > 0.0 else 0.0
        state.counters[SCALED] += 1
    for i in range(prices.size):
        state.wanted[i] = state.quantity[i]
        if state.pending[i] and not np.isnan(prices[i]):
            value = state.weight[i] * net * scale / state.rate[i]
            state.wanted[i] = shares_for(
                value, prices[i], state.quantity[i], t, i, market, conditions, p
            )


@apart
def payable(
    quantity: float,
    price: float,
    t: int,
    i: int,
    market: Market,
    conditions: Conditions,
    state: State,
    p: Params,
) -> float:
    """Return how much of a purchase settled cash pays for, its costs included."""
    most = max(settled(state), 0.0) / state.rate[i]
    return min(quantity, shares_for(most, price, 0.0, t, i, market, conditions, p))


@merged
def trade(
    t: int,
    prices: Floats,
    market: Market,
    conditions: Conditions,
    state: State,
    orders: Records,
    fills: Records,
    p: Params,
) -> None:
    """Fill open targets at ``prices``: reductions first, then by symbol; no bar, no fill.

    Under a participation limit a target fills in slices, one a bar, each an order of its own; where
    proceeds settle later, as far as settled cash reaches.
    """
    for i in range(prices.size):
        state.pending[i] = min(state.pending[i], WAITS)
    for increasing in range(2):
        for i in range(prices.size):
            if state.pending[i] != WAITS or np.isnan(prices[i]):
                continue
            quantity = state.wanted[i] - state.quantity[i]
            reduces = quantity * state.quantity[i] < 0.0
            if reduces == (increasing == 1):
                continue
            state.pending[i] = 0
            if quantity == 0.0:
                continue
            wanted = quantity
            quantity = fillable(wanted, t, i, market, conditions, p)
            if p.settlement and quantity > 0.0:
                quantity = payable(quantity, prices[i], t, i, market, conditions, state, p)
            if quantity != wanted:
                state.pending[i] = SLICED
                if quantity == 0.0:
                    continue
            paid = reached(quantity, prices[i], t, i, market, conditions, p)
            order_id = log_target(t, i, quantity, FILLED, NO_REASON, state, orders)
            charge = fee(quantity, paid, False, p)
            apply_fill(t, i, quantity, paid, charge, order_id, TAG_TARGET, state, fills)


@apart
def rebalance(
    t: int,
    prices: Floats,
    market: Market,
    conditions: Conditions,
    state: State,
    orders: Records,
    fills: Records,
    p: Params,
) -> None:
    """Bring the account to its open targets at ``prices``, as far as they can be traded."""
    market, conditions, state = borrowed(market), borrowed(conditions), borrowed(state)
    orders, fills, prices = borrowed(orders), borrowed(fills), borrowed(prices)
    size_targets(t, prices, market, conditions, state, p)
    trade(t, prices, market, conditions, state, orders, fills, p)


@merged
def decide(t: int, targets: Targets, state: State, orders: Records, p: Params) -> None:
    """Turn the decision of this close, if there is one, into open targets; older ones end.

    ``targets`` come ``p.lag`` - 1 bars after they were decided.
    """
    row = state.counters[ROW]
    if row >= targets.rows.size or targets.rows[row] != t:
        return
    state.counters[ROW] += 1
    for i in range(state.quantity.size):
        if state.pending[i]:
            log_target(t, i, np.nan, CANCELLED, REPLACED, state, orders)
        weight = targets.weights[row, i]
        state.weight[i] = weight
        state.created[i] = t - p.lag + 1
        state.pending[i] = 1 if weight != 0.0 or state.quantity[i] != 0.0 else 0


@merged
def record(row: int, first_fill: int, state: State, fills: Records, curve: Worth) -> None:
    """Write the bar's row: what the account is worth at the close, what was traded and paid."""
    net, gross = worth(state)
    cash = money(state)
    curve.equity[row] = cash + net
    curve.cash[row] = cash
    curve.gross[row] = gross
    for k in range(first_fill, state.counters[FILLS]):
        rate = state.rate[fills[k].symbol]
        curve.traded[row] += abs(fills[k].quantity) * fills[k].price * rate
        curve.fees[row] += fills[k].fee * rate


@merged
def still(state: State, book: Records | None, params: Params) -> bool:
    """Tell whether nothing can happen to the account until it decides: no order, no financing."""
    return bool(
        book is None
        and not state.pending.any()
        and state.exchange.size == 1
        and state.unsettled.size == 0
        and params.borrow_rate == 0.0
        and params.debit_rate == 0.0
        and params.credit_rate == 0.0
    )


@merged
def glide(
    t: int,
    stop: int,
    first: int,
    latch: Ints,
    seen: int,
    market: Market,
    conditions: Conditions,
    state: State,
    curve: Worth,
) -> int:
    """Mark and record bars ``t`` to ``stop`` of an account that is `still`, as `step` would.

    Returns the bar that needs a step after all: the account is ruined there, or the latch moved.
    """
    cash = float(state.cash[0])
    since = t
    while t < stop and latest(latch) == seen:
        if state.quantity.size == 1:
            t = level_one(t, stop, first, latch, seen, cash, state.quantity[0], market, curve)
        else:
            t = level(t, stop, first, latch, seen, cash, market, state, curve)
        if t == stop or latest(latch) != seen:
            break
        carry(since, t, market, state)  # ruined, or a position has no close at this bar
        since = t
        mark(t, market, conditions, state)
        net, gross = worth(state)
        if not cash + net > 0.0:
            break
        curve.equity[t - first], curve.cash[t - first] = cash + net, cash
        curve.gross[t - first] = gross
        t += 1
    carry(since, t, market, state)
    return t


@apart
def level(
    t: int,
    stop: int,
    first: int,
    latch: Ints,
    seen: int,
    cash: float,
    market: Market,
    state: State,
    curve: Worth,
) -> int:
    """Record bars of positions that stay as they are, up to one where equity is not above 0.

    Equity is NaN, so not above 0, where a position has no close. Sums are in the order of `worth`.
    """
    market, state, curve = borrowed(market), borrowed(state), borrowed(curve)
    while t < stop and latest(latch) == seen:
        net, gross = 0.0, 0.0
        for i in range(state.quantity.size):
            if state.quantity[i] != 0.0:
                value = state.quantity[i] * market.close[t, i]
                net += value
                gross += abs(value)
        if not cash + net > 0.0:
            break
        curve.equity[t - first] = cash + net
        curve.cash[t - first] = cash
        curve.gross[t - first] = gross
        t += 1
    return t


@apart
def level_one(
    t: int,
    stop: int,
    first: int,
    latch: Ints,
    seen: int,
    cash: float,
    quantity: float,
    market: Market,
    curve: Worth,
) -> int:
    """Do as `level` for a single symbol, twice as fast."""
    market, curve = borrowed(market), borrowed(curve)
    while t < stop and latest(latch) == seen:
        value = quantity * market.close[t, 0]
        if not cash + value > 0.0:
            break
        curve.equity[t - first] = cash + value
        curve.cash[t - first] = cash
        curve.gross[t - first] = abs(value)
        t += 1
    return t


@merged
def carry(since: int, until: int, market: Market, state: State) -> None:
    """Take over the last close of bars ``since`` to ``until``; a symbol without keeps its own."""
    for i in range(state.last.size):
        for t in range(until - 1, since - 1, -1):
            if not np.isnan(market.close[t, i]):
                state.last[i] = market.close[t, i]
                break


@merged
def room(state: State, fills: Records, orders: Records) -> bool:
    """Tell whether both output buffers can take whatever one bar may write."""
    most = ROOM * state.quantity.size + 2 * state.counters[BOOKED]
    return bool(
        state.counters[FILLS] + most <= fills.size and state.counters[ORDERS] + most <= orders.size
    )


@merged
def mark(t: int, market: Market, conditions: Conditions, state: State) -> None:
    """Take over closes and rates of bar ``t``; a symbol without a close keeps its last."""
    if state.exchange.size > 1:
        take_rates(t, conditions, state)
    for i in range(state.quantity.size):
        if not np.isnan(market.close[t, i]):
            state.last[i] = market.close[t, i]


@merged
def wake(
    t: int,
    market: Market,
    conditions: Conditions,
    state: State,
    book: Records | None,
    orders: Records,
    fills: Records,
    params: Params,
) -> None:
    """Do what is due before the open of bar ``t``: financing, settlement, corporate actions."""
    finance(t, market, state, params)
    if state.unsettled.size and flag(t, FIRST_OF_SESSION, conditions):
        settle(state)
    if book is not None and conditions.actions.size:
        actions(t, conditions, state, book, orders, fills, params)


@merged
def meet(
    t: int,
    market: Market,
    conditions: Conditions,
    state: State,
    book: Records,
    scratch: Floats,
    orders: Records,
    fills: Records,
    params: Params,
) -> bool:
    """Hold the open orders against bar ``t``; tell whether it could change any of them."""
    stirs = stirring(t, market, conditions, state, book, params)
    if stirs:
        for instant in (OPENING, RESTING, CLOSING):
            if state.exchange.size > 1 and instant == CLOSING:
                take_rates(t, conditions, state)
            look_through(
                t, instant, scratch, market, conditions, state, book, orders, fills, params
            )
    return stirs


@merged
def before(
    t: int,
    market: Market,
    conditions: Conditions,
    state: State,
    book: Records | None,
    scratch: Floats,
    orders: Records,
    fills: Records,
    params: Params,
) -> int:
    """Bring the account to the close of bar ``t``, up to its decision; return DONE or RUINED."""
    wake(t, market, conditions, state, book, orders, fills, params)
    at_open = params.fill == NEXT_OPEN
    if state.pending.any() and params.fill != SAME_CLOSE:
        if state.exchange.size > 1 and not at_open:
            take_rates(t, conditions, state)
        prices = market.open[t] if at_open else market.close[t]
        rebalance(t, prices, market, conditions, state, orders, fills, params)
    stirs = False
    if book is not None:
        stirs = meet(t, market, conditions, state, book, scratch, orders, fills, params)
    mark(t, market, conditions, state)
    status = DONE
    if not state.counters[IS_RUINED]:
        if equity_at_mark(state) <= 0.0:
            close_out(t, state, book, orders, fills)
            status = RUINED
        elif book is not None and params.maintenance > 0.0:
            margin_call(t, conditions, state, book, params)
    if book is not None and stirs:
        expire(t, market, conditions, state, book, orders)
    return status


@merged
def after(
    t: int,
    first: int,
    first_fill: int,
    market: Market,
    conditions: Conditions,
    state: State,
    book: Records | None,
    scratch: Floats,
    orders: Records,
    fills: Records,
    curve: Worth,
    params: Params,
) -> None:
    """Fill what fills at the close it was decided at, then write the bar's row."""
    if params.fill == SAME_CLOSE:
        if state.pending.any():
            prices = market.close[t]
            rebalance(t, prices, market, conditions, state, orders, fills, params)
        if book is not None and state.counters[BOOKED]:
            look_through(
                t, AT_ONCE, scratch, market, conditions, state, book, orders, fills, params
            )
    if state.cash.size > 1:
        balance(state)
    record(t - first, first_fill, state, fills, curve)


@merged
def step(
    t: int,
    first: int,
    market: Market,
    conditions: Conditions,
    targets: Targets,
    state: State,
    book: Records | None,
    scratch: Floats,
    orders: Records,
    fills: Records,
    curve: Worth,
    params: Params,
) -> int:
    """Simulate bar ``t`` of ``market`` in place and return DONE, SPACE or RUINED.

    SPACE means that an output buffer could overflow and nothing has happened: empty the buffers,
    set their counters to 0 and call the same bar again. ``first`` is the bar of curve row 0,
    ``scratch`` has the size of the book.
    """
    if not room(state, fills, orders):
        return SPACE
    first_fill = state.counters[FILLS]
    status = before(t, market, conditions, state, book, scratch, orders, fills, params)
    if not state.counters[IS_RUINED]:
        decide(t, targets, state, orders, params)
    after(
        t, first, first_fill, market, conditions, state, book, scratch, orders, fills, curve, params
    )
    return status


@apart
def run(
    start: int,
    stop: int,
    first: int,
    latch: Ints,
    seen: int,
    market: Market,
    conditions: Conditions,
    targets: Targets,
    state: State,
    book: Records | None,
    scratch: Floats,
    orders: Records,
    fills: Records,
    curve: Worth,
    params: Params,
) -> int:
    """Step through bars ``start`` to ``stop``; ``state.counters[BAR]`` is the next bar after.

    ``latch`` (1,) is the halt latch's change counter and ``seen`` its value when last looked at;
    it is read before every bar, and a difference returns LATCH with everything intact.
    """
    market, targets, state = borrowed(market), borrowed(targets), borrowed(state)
    conditions = borrowed(conditions)
    orders, fills, curve = borrowed(orders), borrowed(fills), borrowed(curve)
    t = start
    while t < stop:
        state.counters[BAR] = t
        if latest(latch) != seen:
            return LATCH
        if still(state, book, params):
            row = state.counters[ROW]
            until = min(stop, targets.rows[row]) if row < targets.rows.size else stop
            reached = glide(t, until, first, latch, seen, market, conditions, state, curve)
            if reached > t:
                t = reached
                state.counters[BAR] = t
                continue
        status = step(
            t,
            first,
            market,
            conditions,
            targets,
            state,
            book,
            scratch,
            orders,
            fills,
            curve,
            params,
        )
        if status == SPACE:
            return SPACE
        t += 1
        state.counters[BAR] = t
        if status == RUINED:
            return RUINED
    return DONE if state.counters[BAR] == market.timestamps.size else CHUNK
