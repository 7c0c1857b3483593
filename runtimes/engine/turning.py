"""One call a bar: for who decides bar by bar and cannot afford the compiled loop's sixty arrays.

The halves of a bar are those of `runtimes.engine.kernel`, so the account is the same bit for bit.
"""

from __future__ import annotations

from runtimes.engine.arrays import (
    BAR,
    BOOKED,
    CANCELLED,
    DONE,
    FILLS,
    INSIDE,
    IS_RUINED,
    LATCH,
    ORDERS,
    QUIET,
    SPACE,
    Conditions,
    Market,
    Params,
    Records,
    State,
)
from runtimes.engine.booking import equity_at_mark
from runtimes.engine.compiled import apart, compiled, latest
from runtimes.engine.held import held
from runtimes.engine.kernel import after, before, decide, room
from runtimes.engine.orders import BY_STRATEGY, end_order, sweep
from runtimes.engine.resting import orphans, patient, stirring


@apart
def turn(number: int, bar: int, seen: int, ahead: int) -> int:
    """Bring the account behind ``number`` to the close of ``bar``, before its decision.

    Where it stands there already, the bar is ended: what fills at this close fills, its row is
    written, and ``state.counters[QUIET]`` becomes the bar before which nothing can happen by itself
    (see `quiet`, which looks ``ahead`` at so many prices).
    Returns DONE, or LATCH and SPACE as `runtimes.engine.kernel.run` does, at the same bars.
    """
    h = held(number)
    market, conditions, state, p = h.market, h.conditions, h.state, h.params
    t = state.counters[BAR]
    inside = state.counters[INSIDE] > 0
    while True:
        if not inside:
            if t > bar:
                break
            if t < bar and latest(h.latch) != seen:
                return LATCH
            if half_full(state, h.fills) or not room(state, h.fills, h.orders):
                return SPACE
            state.counters[INSIDE] = 1 + state.counters[FILLS]
            before(t, market, conditions, state, h.book, h.scratch, h.orders, h.fills, p)
            if t == bar:
                return DONE
            if not state.counters[IS_RUINED]:
                decide(t, h.targets, state, h.orders, p)
        first_fill = state.counters[INSIDE] - 1
        after(
            t,
            h.first,
            first_fill,
            market,
            conditions,
            state,
            h.book,
            h.scratch,
            h.orders,
            h.fills,
            h.curve,
            p,
        )
        inside = False
        t += 1
        state.counters[INSIDE], state.counters[BAR] = 0, t
    state.counters[QUIET] = quiet(t, ahead, market, conditions, state, h.book, p)
    return DONE


@compiled
def half_full(state: State, fills: Records) -> bool:
    """Tell whether an output buffer should be emptied before a bar, because inside none may be."""
    return bool(max(state.counters[FILLS], state.counters[ORDERS]) > fills.size // 2)


@apart
def quiet(
    t: int,
    ahead: int,
    market: Market,
    conditions: Conditions,
    state: State,
    book: Records,
    p: Params,
) -> int:
    """Return the first bar from ``t`` on at which positions or orders could change by themselves.

    Without an order that is after the last bar; else so many bars are looked at that orders are
    held against prices ``ahead`` times. What is short or borrowed, has corporate actions or open
    targets is never quiet, nor is an order that remembers bars.
    """
    if state.cash[0] < 0.0 or conditions.actions.size or state.pending.any():
        return t
    for i in range(state.quantity.size):
        if state.quantity[i] < 0.0:
            return t
    alert = 0
    for k in range(state.counters[BOOKED]):
        alert += 1 - book[k].waiting
        if not patient(k, book):
            return t
    if alert == 0:
        return market.timestamps.size
    stop = min(t + ahead // alert, market.timestamps.size)
    while t < stop and not stirring(t, market, conditions, state, book, p):
        t += 1
    return t


@apart
def equity(number: int) -> float:
    """Return cash plus positions at the last close of the account behind ``number``."""
    return equity_at_mark(held(number).state)


@apart
def cancel(number: int, bar: int, order_id: int) -> bool:
    """End an open order at the strategy's wish, and what waits for its fill; tell if it was open.

    ``number`` is that of the account, ``bar`` the current one.
    """
    h = held(number)
    for k in range(h.state.counters[BOOKED]):
        if h.book[k].order_id == order_id:
            end_order(bar, k, CANCELLED, BY_STRATEGY, h.state, h.book, h.orders)
            orphans(bar, h.state, h.book, h.orders)
            sweep(h.state, h.book)
            return True
    return False
