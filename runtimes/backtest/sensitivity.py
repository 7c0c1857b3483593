"""How much of a result hangs on its costs and on acting at once: the same decisions again.

The same kernel trades the decisions of the run with fees and slippage times 0, 2 and 3, and with
orders that reach the market 1, 2 and 5 bars later. Factor 1 and delay 0 are the run itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from runtimes.engine import metrics
from runtimes.engine.results import Result
from topology.errors import AlphaSwarmError

FACTORS = (0.0, 1.0, 2.0, 3.0)
DELAYS = (0, 1, 2, 5)
CELLS = 20_000_000
"""Bars times symbols of all repetitions together, at most."""
CALLS = 250_000
"""Bars that a script is played again in all repetitions together, at most."""
REPEATS = len(FACTORS) + len(DELAYS) - 2

Trade = Callable[[float, int], Result]
"""Trades the decisions with costs times a factor and so many bars later."""


def measured(
    trade: Trade, whole: Result, *, cash: float, periods_per_year: float
) -> dict[str, Any]:
    """Return ``statistics.sensitivity``: a row for each factor and delay, and what breaks even.

    ``break_even_bps`` is the cost per traded value at which the profit without costs is gone,
    ``cost_bps`` what the run paid, both in basis points and without compounding; null where nothing
    was traded. A repetition that fails has a row with its ``error``.
    """

    def row(factor: float, delay: int) -> dict[str, Any]:
        if factor == 1.0 and delay == 0:
            return _row(whole, cash, periods_per_year)
        try:
            return _row(trade(factor, delay), cash, periods_per_year)
        except AlphaSwarmError as error:
            return {**dict.fromkeys(("total_return", "sharpe", "traded")), "error": error.message}

    costs = [{"factor": factor, **row(factor, 0)} for factor in FACTORS]
    delays = [{"bars": delay, **row(1.0, delay)} for delay in DELAYS]
    return {
        "cost": costs,
        "delay": delays,
        **_break_even(costs, cash),
        "skipped": None,
    }


def skipped(reason: str) -> dict[str, Any]:
    """Return the sensitivity of a run that was not repeated."""
    return {
        "cost": [],
        "delay": [],
        "break_even_bps": None,
        "cost_bps": None,
        "skipped": reason,
    }


def too_much(bars: int, symbols: int, *, script: bool = False) -> str | None:
    """Return why a run of this size is not repeated, None where it is."""
    work, most = (bars, CALLS) if script else (bars * symbols, CELLS)
    if work * REPEATS <= most:
        return None
    what = "bars of a script" if script else "bars times symbols"
    return f"{REPEATS} repetitions of {work} {what} are more than {most}."


def _row(result: Result, cash: float, periods: float) -> dict[str, Any]:
    equity = result.curve.equity
    returns = metrics.returns_of(equity, start=cash)
    return {
        "total_return": _finite(metrics.total_return(equity, start=cash)),
        "sharpe": _finite(metrics.sharpe(returns, periods_per_year=periods)),
        "traded": float(np.sum(result.curve.turnover * equity)),
    }


def _break_even(costs: Sequence[dict[str, Any]], cash: float) -> dict[str, float | None]:
    free, paid = costs[0], costs[1]
    traded = free["traded"]
    if not traded or free["total_return"] is None or paid["total_return"] is None:
        return {"break_even_bps": None, "cost_bps": None}
    scale = cash / traded * 1e4
    return {
        "break_even_bps": free["total_return"] * scale,
        "cost_bps": (free["total_return"] - paid["total_return"]) * scale,
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
