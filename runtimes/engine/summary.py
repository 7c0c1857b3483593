"""The statistics of a run, profile ``standard``: computed from its stored curve, fills and trades.

One sample per bar, the first against the starting cash. What is not defined is null in JSON.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from runtimes.engine import metrics
from runtimes.engine.arrays import Floats
from runtimes.engine.results import Result

PROFILE = "standard"


def summarise(
    result: Result, *, cash: float, periods_per_year: float, benchmark: Floats | None = None
) -> dict[str, Any]:
    """Return the run's statistics as JSON values; nan becomes None.

    ``benchmark`` (B,) holds the benchmark's closes at the run's bars, nan where it has none.
    Beside the measures: ``profile``, ``trials`` (1) and ``partial``.
    """
    equity = result.curve.equity
    returns = metrics.returns_of(equity, start=cash)
    numbers = {
        **_growth(result, returns, cash=cash, periods=periods_per_year),
        **_risk(returns),
        **_activity(result),
    }
    if benchmark is not None:
        numbers |= _against(returns, benchmark, periods=periods_per_year)
    finite = {name: value if math.isfinite(value) else None for name, value in numbers.items()}
    return {"profile": PROFILE, **finite, "trials": 1, "partial": result.partial}


def _growth(
    result: Result, returns: Floats, *, cash: float, periods: float
) -> dict[str, float | int]:
    equity = result.curve.equity
    growth = metrics.cagr(equity, result.timestamps, start=cash)
    deepest = metrics.max_drawdown(equity, start=cash)
    return {
        "bars": int(equity.size),
        "start_equity": cash,
        "end_equity": float(equity[-1]) if equity.size else cash,
        "total_return": metrics.total_return(equity, start=cash),
        "cagr": growth,
        "volatility": metrics.volatility(returns, periods_per_year=periods),
        "sharpe": metrics.sharpe(returns, periods_per_year=periods),
        "sortino": metrics.sortino(returns, periods_per_year=periods),
        "calmar": metrics.calmar(growth, deepest),
        "max_drawdown": deepest,
        "max_drawdown_bars": metrics.drawdown_bars(equity, start=cash),
    }


def _risk(returns: Floats) -> dict[str, float | int]:
    skew, kurtosis = metrics.moments(returns)
    return {
        "skew": skew,
        "kurtosis": kurtosis,
        "probabilistic_sharpe": metrics.probabilistic_sharpe(returns),
        "value_at_risk_95": metrics.value_at_risk(returns),
        "best_bar": float(returns.max()) if returns.size else metrics.NAN,
        "worst_bar": float(returns.min()) if returns.size else metrics.NAN,
        "positive_bars": metrics.hit_rate(returns),
    }


def _activity(result: Result) -> dict[str, float | int]:
    curve, pnl = result.curve, result.trades["pnl"]
    return {
        "exposure": metrics.mean(curve.gross_exposure),
        "time_in_market": metrics.mean((curve.gross_exposure > 0).astype(np.float64)),
        "turnover": metrics.mean(curve.turnover),
        "total_fees": float(curve.fees.sum()),
        "fills": int(result.fills["price"].size),
        "trades": int(pnl.size),
        "hit_rate": metrics.hit_rate(pnl),
        "profit_factor": metrics.profit_factor(pnl),
        "average_trade": metrics.mean(pnl),
        "best_trade": float(pnl.max()) if pnl.size else metrics.NAN,
        "worst_trade": float(pnl.min()) if pnl.size else metrics.NAN,
    }


def _against(returns: Floats, closes: Floats, *, periods: float) -> dict[str, float | int]:
    """Compare with ``closes`` over the bars where the benchmark has this and an earlier close."""
    known = np.flatnonzero(~np.isnan(closes))
    if known.size < 2:
        names = ("return", "beta", "correlation")
        undefined = dict.fromkeys((f"benchmark_{name}" for name in names), metrics.NAN)
        return {**undefined, "information_ratio": metrics.NAN}
    own = np.cumprod(1.0 + returns)[known]
    ours, theirs = own[1:] / own[:-1] - 1.0, closes[known][1:] / closes[known][:-1] - 1.0
    slope = metrics.beta(ours, theirs)
    deviation = float(ours.std())
    flat = metrics.is_flat(deviation, ours)
    return {
        "benchmark_return": float(closes[known[-1]] / closes[known[0]] - 1.0),
        "benchmark_beta": slope,
        "benchmark_correlation": metrics.NAN if flat else slope * float(theirs.std()) / deviation,
        "information_ratio": metrics.information_ratio(ours, theirs, periods_per_year=periods),
    }
