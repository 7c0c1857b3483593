"""The statistics of a run, profile ``standard``: computed from its stored curve, fills and trades.

One sample per bar, the first against the starting cash. What is not defined is null in JSON. The
formulas are those of docs/reference/statistics.md.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from runtimes.engine import intervals, metrics, outcomes, relative
from runtimes.engine.arrays import Floats, Ints
from runtimes.engine.metrics import NAN
from runtimes.engine.results import Result
from runtimes.engine.validation.overfitting import expected_best, track_record

PROFILE = "standard"
Numbers = dict[str, float | int]


@dataclass(frozen=True, slots=True)
class Looked:
    """Among how many trials a result was chosen.

    ``variance`` is that of the trials' annualised Sharpe ratios, None where it is not known.
    """

    count: int = 1
    variance: float | None = None


def summarise(
    result: Result,
    *,
    cash: float,
    periods_per_year: float,
    benchmark: Floats | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Return the run's statistics as JSON values; nan becomes None.

    ``benchmark`` (B,) holds the benchmark's closes at the run's bars, nan where it has none.
    ``seed`` is that of the intervals' draws. Beside the measures: ``profile``, ``trials`` (1) and
    ``partial``.
    """
    equity, times = result.curve.equity, result.timestamps
    returns = metrics.returns_of(equity, start=cash)
    numbers: Numbers = {
        **_of_returns(returns, equity, times, cash=cash, periods_per_year=periods_per_year),
        **intervals.measures(
            returns, years=_years(times), periods_per_year=periods_per_year, seed=seed
        ),
        **_exposure(result, periods_per_year),
        **_activity(result),
    }
    if benchmark is not None:
        numbers |= relative.compare(returns, benchmark, periods_per_year=periods_per_year)
    return {"profile": PROFILE, **plain(numbers), "trials": 1, "partial": result.partial}


def plain(numbers: Mapping[str, float | int]) -> dict[str, float | int | None]:
    """Return ``numbers`` as JSON values: what is not finite is None."""
    return {name: value if math.isfinite(value) else None for name, value in numbers.items()}


def of_curve(equity: Floats, timestamps: Ints, *, cash: float, periods_per_year: float) -> Numbers:
    """Return what equity (B,) alone tells of growth and risk, without intervals; nan as nan."""
    returns = metrics.returns_of(equity, start=cash)
    return _of_returns(returns, equity, timestamps, cash=cash, periods_per_year=periods_per_year)


def _of_returns(
    returns: Floats, equity: Floats, timestamps: Ints, *, cash: float, periods_per_year: float
) -> Numbers:
    ratio = metrics.sharpe(returns, periods_per_year=1.0)
    below = metrics.drawdowns(equity, start=cash)
    growth = metrics.cagr(equity, timestamps, start=cash)
    deepest = float(below.max()) if below.size else NAN
    return {
        "bars": int(equity.size),
        "start_equity": cash,
        "end_equity": float(equity[-1]) if equity.size else cash,
        "total_return": metrics.total_return(equity, start=cash),
        "cagr": growth,
        "volatility": metrics.volatility(returns, periods_per_year=periods_per_year),
        "sharpe": ratio * math.sqrt(periods_per_year),
        "sortino": metrics.sortino(returns, periods_per_year=periods_per_year),
        "calmar": metrics.calmar(growth, deepest),
        "omega": metrics.omega(returns),
        "max_drawdown": deepest,
        "max_drawdown_bars": metrics.longest_below(below),
        "ulcer_index": metrics.ulcer_index(below),
        **_distribution(returns, ratio),
    }


def deflated(
    statistics: Mapping[str, Any], looked: Looked, *, periods_per_year: float
) -> dict[str, float | int | None]:
    """Return what selection leaves of the ratio in ``statistics``, which `summarise` made.

    The threshold is the ratio that the best of ``looked.count`` worthless trials is expected at.
    Where the variance of the trials' ratios is not known, it is the variance with which this
    run's own ratio is estimated, (1 - g SR + (k-1)/4 SR^2) / (n-1): what luck alone would spread.
    """
    annual, bars = _number(statistics["sharpe"]), int(statistics["bars"])
    skew, kurtosis = _number(statistics["skew"]), _number(statistics["kurtosis"])
    ratio = annual / math.sqrt(periods_per_year)
    if looked.variance is None:
        spread = 1.0 - skew * ratio + (kurtosis - 1.0) / 4.0 * ratio**2
        variance = spread / (bars - 1) if bars > 1 else NAN
    else:
        variance = looked.variance / periods_per_year
    best = expected_best(looked.count, variance)
    chance = metrics.sharpe_confidence(ratio, best, bars=bars, skew=skew, kurtosis=kurtosis)
    return plain(
        {
            "deflated_sharpe": chance,
            "deflated_threshold": best * math.sqrt(periods_per_year),
            "trials_counted": looked.count,
            "trials_variance": NAN if looked.variance is None else looked.variance,
        }
    )


def _years(timestamps: Ints) -> float:
    if timestamps.size < 2:
        return 0.0
    return float(timestamps[-1] - timestamps[0]) / metrics.YEAR_NS


def _number(value: float | None) -> float:
    return NAN if value is None else float(value)


def _distribution(returns: Floats, ratio: float) -> Numbers:
    skew, kurtosis = metrics.moments(returns)
    worst, beyond, tails = metrics.tails(returns)
    return {
        "skew": skew,
        "kurtosis": kurtosis,
        "probabilistic_sharpe": metrics.sharpe_confidence(
            ratio, 0.0, bars=returns.size, skew=skew, kurtosis=kurtosis
        ),
        "minimum_track_record": track_record(
            ratio, benchmark=0.0, alpha=0.05, skew=skew, kurtosis=kurtosis
        ),
        "value_at_risk_95": worst,
        "conditional_value_at_risk_95": beyond,
        "tail_ratio": tails,
        "best_bar": float(returns.max()) if returns.size else NAN,
        "worst_bar": float(returns.min()) if returns.size else NAN,
        "positive_bars": metrics.hit_rate(returns),
    }


def _exposure(result: Result, periods: float) -> Numbers:
    curve = result.curve
    gross, net = curve.gross_exposure, curve.net_exposure
    turnover = metrics.mean(curve.turnover)
    return {
        "exposure": metrics.mean(gross),
        "exposure_long": metrics.mean(_side(gross, net)),
        "exposure_short": metrics.mean(_side(gross, -net)),
        "exposure_net": metrics.mean(net),
        "time_in_market": np.count_nonzero(gross > 0) / gross.size if gross.size else NAN,
        "turnover": turnover,
        "turnover_yearly": turnover * periods / 2.0,
        "total_fees": float(curve.fees.sum()),
        "fills": int(result.fills["price"].size),
        "round_trips": outcomes.round_trips(result.positions),
    }


def _side(gross: Floats, net: Floats) -> Floats:
    """Return what is held on one side (B,): 0, not its rounding, where all is on the other."""
    held = gross + net
    held *= 0.5
    held[held <= metrics.FLAT * gross] = 0.0
    return held


def _activity(result: Result) -> Numbers:
    trades = outcomes.in_order(result.trades)
    pnl, held = trades["pnl"], trades["bars"]
    return {
        "trades": int(pnl.size),
        "hit_rate": metrics.hit_rate(pnl),
        "profit_factor": metrics.profit_factor(pnl),
        "average_trade": metrics.mean(pnl),
        "average_win": outcomes.average_win(pnl),
        "average_loss": outcomes.average_loss(pnl),
        "best_trade": float(pnl.max()) if pnl.size else NAN,
        "worst_trade": float(pnl.min()) if pnl.size else NAN,
        "payoff": outcomes.payoff(pnl),
        "expectancy": outcomes.expectancy(pnl),
        "system_quality": outcomes.system_quality(pnl),
        "kelly": outcomes.kelly(pnl),
        "win_streak": outcomes.longest_streak(pnl > 0),
        "loss_streak": outcomes.longest_streak(pnl < 0),
        "average_mae": metrics.mean(trades["mae"]),
        "average_mfe": metrics.mean(trades["mfe"]),
        "holding_bars": metrics.mean(held),
        "longest_holding_bars": int(held.max()) if held.size else NAN,
    }
