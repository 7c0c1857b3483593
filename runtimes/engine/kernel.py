"""The one step: earlier orders meet a bar, positions are marked, decisions become orders.

Backtests call it in a compiled loop; anything that trades bar by bar calls the same function.
Inside bar t: open targets fill at the bar's price -> positions are marked to the close -> an
account without equity is closed -> the decision of this close becomes open targets -> the row.
A decision taken at the close of t so meets bar t+1 at the earliest: the shift is here, once.
"""

from __future__ import annotations

import numpy as np

from runtimes.engine.arrays import (
    BAR,
    CANCELLED,
    CHUNK,
    DONE,
    FILLED,
    FILLS,
    IS_RUINED,
    LATCH,
    NEXT_OPEN,
    ORDER_ID,
    ORDERS,
    ROW,
    RUINED,
    SCALED,
    SPACE,
    TAG_RUIN,
    TAG_TARGET,
    Curve,
    Fills,
    Floats,
    Ints,
    Market,
    Orders,
    Params,
    State,
    Targets,
)
from runtimes.engine.compiled import borrowed, compiled, latest
from runtimes.engine.costs import cost, fee, slipped
from runtimes.engine.sizing import shares_for

ROOM = 3
"""Rows per symbol that one bar can write: a fill, a cancelled order and a closing at ruin."""


@compiled
def log_order(t: int, i: int, quantity: float, status: int, state: State, orders: Orders) -> int:
    """Append the end of an order for symbol ``i`` and return its id."""
    state.counters[ORDER_ID] += 1
    row = state.counters[ORDERS]
    orders.order_id[row] = state.counters[ORDER_ID]
    orders.created[row] = state.created[i]
    orders.closed[row] = t
    orders.symbol[row] = i
    orders.weight[row] = state.weight[i]
    orders.quantity[row] = quantity
    orders.status[row] = status
    state.counters[ORDERS] += 1
    return int(state.counters[ORDER_ID])


@compiled
def apply_fill(
    t: int,
    i: int,
    quantity: float,
    price: float,
    charge: float,
    order_id: int,
    tag: int,
    state: State,
    fills: Fills,
) -> None:
    """Book a fill: cash and position move, the average price follows entries only."""
    held = state.quantity[i]
    after = held + quantity
    if held * quantity >= 0.0:
        entry = (abs(held) * state.average_price[i] + abs(quantity) * price) / abs(after)
    elif after == 0.0:
        entry = 0.0
    elif held * after < 0.0:
        entry = price
    else:
        entry = state.average_price[i]
    state.average_price[i] = entry
    state.quantity[i] = after
    state.cash[0] -= quantity * price + charge
    row = state.counters[FILLS]
    fills.bar[row] = t
    fills.symbol[row] = i
    fills.quantity[row] = quantity
    fills.price[row] = price
    fills.fee[row] = charge
    fills.order_id[row] = order_id
    fills.tag[row] = tag
    fills.position[row] = after
    fills.average_price[row] = entry
    state.counters[FILLS] += 1


@compiled
def size_targets(prices: Floats, state: State, p: Params) -> None:
    """Write the wanted position of every open target into ``state.wanted``.

    Equity is marked at the fill prices (last close where a symbol has no bar) less the cost of
    positions that close altogether. Where a position cannot be traded now, the others shrink so
    that gross exposure stays within the leverage.
    """
    equity = state.cash[0]
    closing = 0.0
    stuck = 0.0
    gross = 0.0
    for i in range(prices.size):
        held = state.quantity[i]
        tradable = not np.isnan(prices[i])
        if held != 0.0:
            mark = prices[i] if tradable else state.last[i]
            equity += held * mark
            if not (tradable and state.pending[i]):
                stuck += abs(held) * mark
            elif state.weight[i] == 0.0:
                closing += cost(-held, mark, p)
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
            value = state.weight[i] * net * scale
            state.wanted[i] = shares_for(value, prices[i], state.quantity[i], p)


@compiled
def trade(t: int, prices: Floats, state: State, orders: Orders, fills: Fills, p: Params) -> None:
    """Fill open targets at ``prices``: reductions first, then by symbol; no bar, no fill."""
    for increasing in range(2):
        for i in range(prices.size):
            if not state.pending[i] or np.isnan(prices[i]):
                continue
            quantity = state.wanted[i] - state.quantity[i]
            reduces = quantity * state.quantity[i] < 0.0
            if reduces == (increasing == 1):
                continue
            state.pending[i] = 0
            if quantity == 0.0:
                continue
            paid = slipped(quantity, prices[i], p)
            order_id = log_order(t, i, quantity, FILLED, state, orders)
            charge = fee(quantity, paid, p)
            apply_fill(t, i, quantity, paid, charge, order_id, TAG_TARGET, state, fills)


@compiled
def decide(t: int, targets: Targets, state: State, orders: Orders) -> None:
    """Turn the decision of this close, if there is one, into open targets; older ones end."""
    row = state.counters[ROW]
    if row >= targets.rows.size or targets.rows[row] != t:
        return
    state.counters[ROW] += 1
    for i in range(state.quantity.size):
        if state.pending[i]:
            log_order(t, i, np.nan, CANCELLED, state, orders)
        weight = targets.weights[row, i]
        state.weight[i] = weight
        state.created[i] = t
        state.pending[i] = 1 if weight != 0.0 or state.quantity[i] != 0.0 else 0


@compiled
def close_out(t: int, state: State, orders: Orders, fills: Fills) -> None:
    """Close every position at its mark, without cost: the account has no equity left."""
    state.counters[IS_RUINED] = 1
    for i in range(state.quantity.size):
        state.weight[i] = 0.0
        state.created[i] = t
        state.pending[i] = 0
        quantity = -state.quantity[i]
        if quantity != 0.0:
            order_id = log_order(t, i, quantity, FILLED, state, orders)
            apply_fill(t, i, quantity, state.last[i], 0.0, order_id, TAG_RUIN, state, fills)


@compiled
def record(t: int, first_fill: int, state: State, fills: Fills, curve: Curve, row: int) -> None:
    """Write the bar's row: equity and exposures at the close, what was traded and paid."""
    gross = 0.0
    net = 0.0
    for i in range(state.quantity.size):
        if state.quantity[i] != 0.0:
            value = state.quantity[i] * state.last[i]
            net += value
            gross += abs(value)
    equity = state.cash[0] + net
    traded = 0.0
    fees = 0.0
    for k in range(first_fill, state.counters[FILLS]):
        traded += abs(fills.quantity[k]) * fills.price[k]
        fees += fills.fee[k]
    state.peak[0] = max(state.peak[0], equity)
    alive = equity > 0.0
    curve.equity[row] = equity
    curve.drawdown[row] = 1.0 - equity / state.peak[0]
    curve.cash[row] = state.cash[0]
    curve.gross_exposure[row] = gross / equity if alive else 0.0
    curve.net_exposure[row] = net / equity if alive else 0.0
    curve.turnover[row] = traded / equity if alive else 0.0
    curve.fees[row] = fees


@compiled
def equity_at_mark(state: State) -> float:
    """Return cash plus every position at its last close."""
    equity = float(state.cash[0])
    for i in range(state.quantity.size):
        if state.quantity[i] != 0.0:
            equity += state.quantity[i] * state.last[i]
    return equity


@compiled
def step(
    t: int,
    first: int,
    market: Market,
    targets: Targets,
    state: State,
    orders: Orders,
    fills: Fills,
    curve: Curve,
    params: Params,
) -> int:
    """Simulate bar ``t`` of ``market`` in place and return DONE, SPACE or RUINED.

    SPACE means that an output buffer could overflow and nothing has happened: empty the buffers,
    set their counters to 0 and call the same bar again. ``first`` is the bar of curve row 0.
    """
    room = ROOM * state.quantity.size
    if state.counters[FILLS] + room > fills.bar.size:
        return SPACE
    if state.counters[ORDERS] + room > orders.order_id.size:
        return SPACE
    first_fill = state.counters[FILLS]
    status = DONE
    if state.pending.any():
        prices = market.open[t] if params.fill == NEXT_OPEN else market.close[t]
        size_targets(prices, state, params)
        trade(t, prices, state, orders, fills, params)
    for i in range(state.quantity.size):
        if not np.isnan(market.close[t, i]):
            state.last[i] = market.close[t, i]
    if not state.counters[IS_RUINED]:
        if equity_at_mark(state) <= 0.0:
            close_out(t, state, orders, fills)
            status = RUINED
        else:
            decide(t, targets, state, orders)
    record(t, first_fill, state, fills, curve, t - first)
    return status


@compiled
def run(
    start: int,
    stop: int,
    first: int,
    latch: Ints,
    seen: int,
    market: Market,
    targets: Targets,
    state: State,
    orders: Orders,
    fills: Fills,
    curve: Curve,
    params: Params,
) -> int:
    """Step through bars ``start`` to ``stop``; ``state.counters[BAR]`` is the next bar after.

    ``latch`` (1,) is the halt latch's change counter and ``seen`` its value when last looked at;
    it is read before every bar, and a difference returns LATCH with everything intact.
    """
    market, targets, state = borrowed(market), borrowed(targets), borrowed(state)
    orders, fills, curve = borrowed(orders), borrowed(fills), borrowed(curve)
    for t in range(start, stop):
        state.counters[BAR] = t
        if latest(latch) != seen:
            return LATCH
        status = step(t, first, market, targets, state, orders, fills, curve, params)
        if status == SPACE:
            return SPACE
        state.counters[BAR] = t + 1
        if status == RUINED:
            return RUINED
    return DONE if state.counters[BAR] == market.timestamps.size else CHUNK
