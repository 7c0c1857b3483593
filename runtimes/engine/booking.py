"""How a fill changes the account, and what may be bought."""

from __future__ import annotations

from runtimes.engine.arrays import FILLS, Conditions, Market, Params, Records, State
from runtimes.engine.compiled import apart, compiled
from runtimes.engine.sizing import EPSILON, in_lots, lot_of


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
    fills: Records,
) -> None:
    """Book a fill: cash and position move, the average price follows entries only.

    Money moves in the currency of the symbol; what a cash account takes in settles later.
    """
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
    flow = quantity * price + charge
    state.cash[state.currency[i]] -= flow
    if flow < 0.0 and state.unsettled.size:
        state.unsettled[state.unsettled.size - 1] -= flow * state.rate[i]
    row = state.counters[FILLS]
    fills[row].bar = t
    fills[row].symbol = i
    fills[row].quantity = quantity
    fills[row].price = price
    fills[row].fee = charge
    fills[row].order_id = order_id
    fills[row].tag = tag
    fills[row].position = after
    fills[row].average_price = entry
    state.counters[FILLS] += 1


@compiled
def fillable(
    quantity: float, t: int, i: int, market: Market, conditions: Conditions, params: Params
) -> float:
    """Return how much of ``quantity`` one bar's volume lets through, signed.

    Without a participation limit all of it; no volume, no fill. Whole lots.
    """
    if params.participation == 0.0:
        return quantity
    volume = market.volume[t, i]
    most = params.participation * volume if volume > 0.0 else 0.0
    most = in_lots(most, lot_of(i, conditions, params))
    if abs(quantity) <= most:
        return quantity
    return most if quantity > 0.0 else -most


@apart
def affordable(
    i: int, quantity: float, price: float, charge: float, state: State, params: Params
) -> bool:
    """Tell whether the account may hold what this fill leaves: gross within leverage x equity.

    Positions are marked at their last close, this one at the fill's price, all in the account's
    currency. What only reduces a position always may.
    """
    held = state.quantity[i]
    after = held + quantity
    if held * quantity < 0.0 and abs(after) <= abs(held):
        return True
    rate = state.rate[i]
    gross = abs(after) * price * rate
    equity = money(state) - quantity * price * rate - charge * rate + after * price * rate
    for j in range(state.quantity.size):
        if j != i and state.quantity[j] != 0.0:
            value = state.quantity[j] * state.last[j] * state.rate[j]
            gross += abs(value)
            equity += value
    return bool(gross <= params.leverage * equity + EPSILON * gross)


@compiled
def equity_at_mark(state: State) -> float:
    """Return cash plus every position at its last close."""
    return money(state) + worth(state)[0]


@compiled
def money(state: State) -> float:
    """Return the cash of every currency, in the account's."""
    total = float(state.cash[0])
    for c in range(1, state.cash.size):
        total += state.cash[c] * state.exchange[c]
    return total


@compiled
def spendable(flow: float, state: State) -> bool:
    """Tell whether settled cash pays for what a fill takes; what brings money always may."""
    return bool(flow <= 0.0 or flow <= settled(state) * (1.0 + EPSILON))


@compiled
def settled(state: State) -> float:
    """Return the cash that may be spent: what sales brought lately is not settled yet."""
    total = money(state)
    for s in range(state.unsettled.size):
        total -= state.unsettled[s]
    return total


@compiled
def worth(state: State) -> tuple[float, float]:
    """Return the value of all positions at their last closes, net and gross."""
    net, gross = 0.0, 0.0
    for i in range(state.quantity.size):
        if state.quantity[i] != 0.0:
            value = state.quantity[i] * state.last[i] * state.rate[i]
            net += value
            gross += abs(value)
    return net, gross
