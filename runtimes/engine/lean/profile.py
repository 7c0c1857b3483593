"""Any backtest in Lean's figures: the profile ``lean`` of its statistics."""

from __future__ import annotations

import datetime as dt
import math
from decimal import Decimal

import numpy as np

from runtimes.engine.arrays import Floats, Ints
from runtimes.engine.lean.sampling import ZONE, Account, midnight
from runtimes.engine.lean.statistics import Activity, Rates, printed, statistics
from runtimes.engine.orders import IMPOSSIBLE, REASONS
from runtimes.engine.results import Result

PROFILE = "lean"
NO_RATES = Rates(np.zeros(0, np.int64), np.zeros(0))
NO_BENCHMARK = (np.zeros(1, np.int64), np.zeros(1))
"""A benchmark that never moves: what is told against it is told against 0."""


def measured(
    result: Result,
    *,
    cash: float,
    start: dt.date,
    end: dt.date,
    benchmark: tuple[Ints, Floats] = NO_BENCHMARK,
    rates: Rates = NO_RATES,
    trading_days: int = 252,
) -> dict[str, float]:
    """Return Lean's 24 statistics of ``result`` by Lean's names, unrounded but for the drawdown.

    ``start`` and ``end`` are days of New York, inclusive. ``benchmark`` is (times, closes) of bars
    by their end in ns UTC, ``rates`` the risk-free rate. A result without bars has none.
    """
    if not result.timestamps.size:
        return {}
    fills, times = result.fills, result.timestamps
    bars = np.searchsorted(times, fills["timestamp"])
    traded = np.bincount(bars, fills["quantity"] * fills["price"], times.size).astype(np.float64)
    began = min(midnight(start), midnight(dt.datetime.fromtimestamp(times[0] / 1e9, ZONE).date()))
    return statistics(
        Account(times, result.curve.equity, traded, began, cash),
        Activity(_counted(result), float(fills["fee"].sum()), outcomes(result)),
        benchmark=benchmark,
        rates=rates,
        minutes=((end - start).days + 1) * 1_440,
        trading_days=trading_days,
    )


def rounded(found: dict[str, float]) -> dict[str, float]:
    """Return `measured` with the digits that Lean prints, percentages as fractions.

    What is not finite is nan; Lean would print 0 for most of it.
    """
    finite = {name: value for name, value in found.items() if math.isfinite(value)}
    return dict.fromkeys(found, math.nan) | {
        name: _number(text) for name, text in printed(finite).items()
    }


def outcomes(result: Result) -> Floats:
    """Return the profit of each closing fill: against the average cost, less twice its fee.

    Needs the fills in their order, each with the position after it.
    """
    fills, after = result.fills, result.positions
    names = ("quantity", "price", "fee")
    rows = zip(
        fills["vt_symbol"].tolist(),
        (fills["side"] == "buy").tolist(),
        *(fills[name].tolist() for name in names),
        *(after[name].tolist() for name in ("quantity", "average_price")),
        strict=True,
    )
    held: dict[str, tuple[float, float]] = {}
    found = []
    for symbol, buys, quantity, price, fee, position_after, cost_after in rows:
        position, cost = held.get(symbol, (0.0, 0.0))
        if position * (quantity if buys else -quantity) < 0.0:
            closed = math.copysign(min(quantity, abs(position)), position)
            found.append(closed * (price - cost) - 2.0 * fee)
        held[symbol] = (position_after, cost_after)
    return np.array(found)


def _counted(result: Result) -> int:
    """Return how many orders there were; one that made no sense never was an order."""
    return int((result.orders["reason"] != REASONS[IMPOSSIBLE]).sum())


def _number(text: str) -> float:
    number = Decimal(text.strip("$%"))
    return float(number / 100 if text.endswith("%") else number)
