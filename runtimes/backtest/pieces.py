"""Pieces of a window: some of its traded bars, with the look-back that lies before them.

A piece is the window of a run from its first to its last bar: flat at the start, nothing known of
what came after. Arrays are shared, not copied.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from runtimes.backtest.bars import Window
from runtimes.engine.arrays import Conditions, each
from runtimes.strategies.base import Reading, Told, View
from runtimes.strategies.shared import Shared

TIME_AXES = {"flags": 0, "rates": 0, "quotes": 1, "impact": 1}
"""Which axis of a part of the conditions counts bars; the others do not."""


def bars_of(window: Window) -> int:
    """Return how many bars of ``window`` are traded."""
    return len(window.market.timestamps) - window.first


def piece(window: Window, begin: int, end: int, *, warmup: int | None = None) -> Window:
    """Return the traded bars ``begin`` to ``end`` (excluded), counted from the first.

    ``warmup`` bars before them are look-back, None for all there are. Corporate actions are those
    that the whole window knows.
    """
    first = window.first + begin
    since = 0 if warmup is None else max(first - warmup, 0)
    until = window.first + end
    if since == 0 and until == len(window.market.timestamps):
        return replace(window, first=first)
    rows = slice(since, until)
    return replace(
        window,
        market=each(window.market, lambda column: column[rows]),
        first=first - since,
        benchmark=None if window.benchmark is None else window.benchmark[rows],
        member=None if window.member is None else window.member[rows],
        panels=_panels(window.panels, rows),
        conditions=_conditions(window.conditions, since, until),
    )


def _conditions(conditions: Conditions | None, since: int, until: int) -> Conditions | None:
    if conditions is None:
        return None
    parts = conditions._asdict()
    for name, axis in TIME_AXES.items():
        if name in parts and parts[name].size:
            parts[name] = np.take(parts[name], np.arange(since, until), axis=axis)
    actions = parts["actions"]
    due = actions[(actions["bar"] > since) & (actions["bar"] < until)].copy()
    due["bar"] -= since
    parts["actions"] = due
    return Conditions(**parts)


def view(window: Window, warmup: int, shared: Shared | None = None) -> View:
    """Return what a strategy that looks back ``warmup`` bars may see; ``since`` is its first row.

    ``shared`` are columns over all closes of ``window``.
    """
    seen, since = window.view, max(window.first - warmup, 0)
    return replace(
        seen,
        market=each(seen.market, lambda column: column[since:]),
        first=seen.first - since,
        member=None if seen.member is None else seen.member[since:],
        panels=_panels(seen.panels, slice(since, None)),
        shared=shared,
        since=since,
    )


def _panels(panels: Mapping[Reading, Told], rows: slice) -> dict[Reading, Told]:
    return {reading: each(told, lambda column: column[rows]) for reading, told in panels.items()}
