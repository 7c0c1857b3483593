"""What a reader of the result must know: warnings about the data, the account and the orders.

Each is ``{"code", "message", ...facts}``, ready for JSON and for a ``warning`` frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from runtimes.engine.arrays import IS_RUINED, SCALED, Curve, Fills, Market, State
from runtimes.engine.errors import instant

Notice = dict[str, Any]
BORROWED = 1e-6
"""Part of equity: cash further below zero than this is borrowed money, not rounding."""


def _notice(code: str, message: str, **facts: Any) -> Notice:
    return {"code": code, "message": message, **facts}


ACTIONS = {
    "none": _notice(
        "raw_prices_no_actions",
        "Raw prices: splits and dividends are not booked, a split looks like a loss.",
    ),
    "split": _notice("dividends_not_booked", "Prices follow splits only: dividends are left out."),
}


def about_market(
    market: Market, symbols: Sequence[str], *, first: int = 0, adjust: str = "total"
) -> list[Notice]:
    """Return warnings that the bars alone justify; ``adjust`` is how prices were adjusted."""
    present = ~np.isnan(market.close[first:])
    listed = present.argmax(axis=0)
    absent = [symbols[i] for i in np.flatnonzero(~present.any(axis=0)).tolist()]
    late = {
        symbols[i]: instant(market.timestamps[first + listed[i]])
        for i in listed.nonzero()[0].tolist()
    }
    notices: list[Notice] = [
        _notice(
            "survivorship",
            "The universe is a fixed list: companies that failed earlier are missing from it.",
        )
    ]
    if absent:
        notices.append(
            _notice("no_bars", "Symbols without a bar are never traded.", symbols=absent)
        )
    if late:
        notices.append(
            _notice("late_listing", "Symbols have no bar until later and weigh 0.", first=late)
        )
    return [*notices, ACTIONS[adjust]] if adjust in ACTIONS else notices


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
    curve: Curve, fills: Fills, state: State, *, unfilled: int, symbols: Sequence[str]
) -> list[Notice]:
    """Return warnings about what happened in the simulation."""
    notices: list[Notice] = []
    if state.counters[IS_RUINED]:
        notices.append(
            _notice("ruined", "Equity fell to nothing: closed at the mark and flat since.")
        )
    borrowed = curve.cash < -BORROWED * np.maximum(curve.equity, 1.0)
    if borrowed.any() or (fills.position < 0).any():
        notices.append(
            _notice("borrow_free", "Short positions and borrowed cash are charged no interest.")
        )
    if state.counters[SCALED]:
        notices.append(
            _notice(
                "scaled_targets",
                "A position without a bar could not be sold, so others were bought smaller.",
                count=int(state.counters[SCALED]),
            )
        )
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
    return notices
