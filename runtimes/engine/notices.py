"""What a reader of the result must know: warnings about the data, the account and the orders.

Each is ``{"code", "message", ...facts}``, ready for JSON and for a ``warning`` frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from runtimes.engine.arrays import (
    CALLS,
    CANCELLED,
    FILLED,
    IS_RUINED,
    OPEN,
    REJECTED,
    SAME_CLOSE,
    SCALED,
    Market,
    Params,
    Records,
    State,
)
from runtimes.engine.curve import Curve
from runtimes.engine.errors import instant
from runtimes.engine.orders import NO_LIQUIDITY, REASONS

Notice = dict[str, Any]
BORROWED = 1e-6
"""Part of equity: cash further below zero than this is borrowed money, not rounding."""


def _notice(code: str, message: str, **facts: Any) -> Notice:
    return {"code": code, "message": message, **facts}


def about_market(market: Market, symbols: Sequence[str], *, first: int = 0) -> list[Notice]:
    """Return warnings that the bars alone justify."""
    missing = np.flatnonzero(np.isnan(market.close[first])).tolist()
    listed = {i: np.flatnonzero(~np.isnan(market.close[first:, i])) for i in missing}
    absent = [symbols[i] for i, bars in listed.items() if not bars.size]
    late = {
        symbols[i]: instant(market.timestamps[first + bars[0]])
        for i, bars in listed.items()
        if bars.size
    }
    notices: list[Notice] = []
    if absent:
        notices.append(
            _notice("no_bars", "Symbols without a bar are never traded.", symbols=absent)
        )
    if late:
        notices.append(
            _notice("late_listing", "Symbols have no bar until later and weigh 0.", first=late)
        )
    return notices


def about_actions(adjust: str, raw: Sequence[str]) -> list[Notice]:
    """Return a warning about events that neither prices nor bookings tell of.

    ``adjust`` is how prices were adjusted, ``raw`` names symbols whose splits and dividends are
    not known.
    """
    if adjust == "split":
        message = "Prices follow splits only: dividends are left out."
        return [_notice("dividends_not_booked", message)]
    if adjust == "none" and raw:
        message = "Raw prices: splits and dividends are not booked, a split looks like a loss."
        return [_notice("raw_prices_no_actions", message, symbols=list(raw))]
    return []


def about_look_back(
    market: Market, symbols: Sequence[str], *, first: int, warmup: int
) -> list[Notice]:
    """Return a warning that names symbols with fewer than ``warmup`` bars up to ``first``."""
    present = ~np.isnan(market.close[: first + 1])
    short = present[-1] & (present.sum(axis=0) < warmup)
    if not short.any():
        return []
    waiting = [symbols[i] for i in np.flatnonzero(short).tolist()]
    message = "The table has too little history before start: the strategy waits with these."
    return [_notice("short_look_back", message, needed=warmup, symbols=waiting)]


def about_run(
    curve: Curve,
    fills: Records,
    orders: Records,
    state: State,
    params: Params,
    *,
    symbols: Sequence[str],
) -> list[Notice]:
    """Return warnings about what happened in the simulation."""
    return [
        *_about_account(curve, fills, state, params),
        *_about_orders(orders, state, symbols),
        *_about_volume(fills, orders, params),
    ]


def _about_account(curve: Curve, fills: Records, state: State, params: Params) -> list[Notice]:
    notices: list[Notice] = []
    if params.fill == SAME_CLOSE:
        message = "Orders filled at the very close they were decided at: nobody can trade so."
        notices.append(_notice("same_bar_fill", message))
    if state.counters[IS_RUINED]:
        notices.append(
            _notice("ruined", "Equity fell to nothing: closed at the mark and flat since.")
        )
    borrowed = bool(
        curve.cash.min(initial=0.0) < -BORROWED
        and (curve.cash < -BORROWED * np.maximum(curve.equity, 1.0)).any()
    )
    short = bool((fills["position"] < 0).any())
    if (borrowed and params.debit_rate == 0.0) or (short and params.borrow_rate == 0.0):
        notices.append(
            _notice("borrow_free", "Short positions and borrowed cash are charged no interest.")
        )
    if borrowed and params.leverage <= 1.0:
        message = "Cash fell below 0 although the leverage is 1."
        lowest = float(curve.cash.min())
        notices.append(_notice("borrowed_cash", message, lowest=lowest))
    if calls := int(state.counters[CALLS]):
        message = "Equity fell below the maintenance margin: positions were sold."
        notices.append(_notice("margin_calls", message, count=calls))
    return notices


def _about_orders(orders: Records, state: State, symbols: Sequence[str]) -> list[Notice]:
    notices: list[Notice] = []
    if state.counters[SCALED]:
        notices.append(
            _notice(
                "scaled_targets",
                "A position without a bar could not be sold, so others were bought smaller.",
                count=int(state.counters[SCALED]),
            )
        )
    targets = ~np.isnan(orders["weight"]) & (orders["reason"] != NO_LIQUIDITY)
    unfilled = int((targets & np.isin(orders["status"], (CANCELLED, OPEN))).sum())
    if unfilled:
        waiting = [symbols[i] for i in np.flatnonzero(state.pending).tolist()]
        notices.append(
            _notice(
                "unfilled_orders",
                "Orders found no bar to fill at.",
                count=unfilled,
                open=waiting,
            )
        )
    reasons, counts = np.unique(orders["reason"][orders["status"] == REJECTED], return_counts=True)
    if reasons.size:
        named = {REASONS[r]: int(c) for r, c in zip(reasons, counts, strict=True)}
        message = "Orders were rejected; the run went on without them."
        notices.append(_notice("rejected_orders", message, count=int(counts.sum()), reasons=named))
    return notices


def _about_volume(fills: Records, orders: Records, params: Params) -> list[Notice]:
    """Return a warning that counts decisions which volume let through only in pieces."""
    if params.participation == 0.0:
        return []
    targets = ~np.isnan(orders["weight"]) & (orders["status"] == FILLED)
    decisions = np.stack([orders["created"][targets], orders["symbol"][targets]])
    _, slices = np.unique(decisions, axis=1, return_counts=True)
    _, pieces = np.unique(fills["order_id"], return_counts=True)
    explicit = (
        np.isnan(orders["weight"])
        & (orders["filled"] != 0.0)
        & (orders["filled"] != orders["quantity"])
    )
    count = int((slices > 1).sum() + (pieces > 1).sum() + explicit.sum())
    if not count:
        return []
    message = "Bars had too little volume: orders filled in pieces, or only in part."
    return [_notice("partial_fills", message, count=count)]
