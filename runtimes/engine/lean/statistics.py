"""Lean's statistics from Lean's samples, in the digits that Lean prints.

Returns are those of calendar days; T = 252 (crypto 365) makes a year of them. Where a ratio is not
defined Lean prints 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, ROUND_HALF_UP, Decimal
from statistics import NormalDist

import numpy as np

from runtimes.engine.arrays import Floats, Ints
from runtimes.engine.lean import sampling
from runtimes.engine.lean.sampling import Account

YEAR_NS = 365 * 86_400 * 10**9
DAY_NS = 86_400 * 10**9
EVEN = 1e-9
"""Money: a smaller profit is a rounding of none."""


@dataclass(frozen=True, slots=True)
class Activity:
    """What was ordered and closed: ``outcomes`` (P,) is the profit of each closing fill.

    Closed quantity times (price - average cost) less twice the closing fill's fee: Lean charges
    the entry as if it had cost the same.
    """

    orders: int
    fees: float
    outcomes: Floats


@dataclass(frozen=True, slots=True)
class Rates:
    """A step function: from ``times`` (R,) ns UTC on, ``percent`` (R,) a year holds."""

    times: Ints
    percent: Floats

    def mean(self, instants: Ints) -> float:
        """Return the average rate at ``instants`` as a fraction; before its start the first one."""
        if not self.times.size:
            return 0.0
        place = np.maximum(np.searchsorted(self.times, instants, side="right") - 1, 0)
        return float(self.percent[place].mean()) / 100.0


def statistics(
    account: Account,
    activity: Activity,
    *,
    benchmark: tuple[Ints, Floats],
    rates: Rates,
    minutes: float,
    trading_days: int = 252,
) -> dict[str, float]:
    """Return Lean's 24 statistics by Lean's names, unrounded but for the drawdown.

    ``benchmark`` is (times, closes) of hourly bars by their end; ``minutes`` the length of the run.
    """
    samples = sampling.sample_times(account)
    values = sampling.value_at(account, samples)
    points = sampling.equity_times(account, samples, minutes=minutes)
    equity = np.round(sampling.value_at(account, points), 4)
    own = sampling.performance(values)[2:]
    theirs = sampling.benchmark_performance(sampling.benchmark_samples(*benchmark, samples))
    rate = rates.mean(points)
    moved, worth = sampling.traded_between(account, samples)[1:], values[1:]
    traded = np.divide(moved, worth, out=np.zeros_like(moved), where=worth > 0.0)
    if own.size < 2:
        return dict.fromkeys(PRINTED, 0.0) | _always(equity, activity, traded)
    return {
        **_outcomes(activity.outcomes, account.cash),
        "Compounding Annual Return": _annual(equity, points),
        "Drawdown": round(_drawdown(equity), 3),
        "Net Profit": float(equity[-1] / equity[0] - 1.0),
        **_ratios(own, theirs, rate, trading_days),
        "Drawdown Recovery": _recovery(equity, points),
        **_always(equity, activity, traded),
    }


def _always(equity: Floats, activity: Activity, traded: Floats) -> dict[str, float]:
    """Return what Lean tells of every run; fewer than two daily returns tell nothing else."""
    return {
        "Total Orders": activity.orders,
        "End Equity": float(equity[-1]),
        "Total Fees": activity.fees,
        "Portfolio Turnover": float(traded.mean()) if traded.size else 0.0,
    }


def _annual(equity: Floats, points: Ints) -> float:
    years = float(points[-1] - points[0]) / YEAR_NS
    if not years > 0 or not equity[-1] > 0:
        return 0.0
    return math.pow(float(equity[-1] / equity[0]), 1.0 / years) - 1.0


def _drawdown(equity: Floats) -> float:
    return float((1.0 - equity / np.maximum.accumulate(equity)).max())


def _recovery(equity: Floats, points: Ints) -> int:
    """Return the longest time in whole days from a peak to the next point at or above it."""
    peak, since, longest, below = float(equity[0]), int(points[0]), 0, False
    for value, instant in zip(equity.tolist(), points.tolist(), strict=True):
        if value >= peak:
            longest = max(longest, instant - since) if below else longest
            peak, since, below = value, instant, False
        else:
            below = True
    return longest // DAY_NS


def _outcomes(outcomes: Floats, cash: float) -> dict[str, float]:
    """Tell wins from losses; what came out even is a loss, as Lean counts it."""
    running = cash + np.concatenate([[0.0], np.cumsum(outcomes)[:-1]])[: outcomes.size]
    shares = outcomes / running if outcomes.size else outcomes
    won = outcomes > EVEN
    win, loss = _mean(shares[won]), _mean(shares[~won])
    ratio = win / abs(loss) if abs(loss) > EVEN / cash else 0.0
    rate = float(won.mean()) if outcomes.size else 0.0
    lost = 1.0 - rate if outcomes.size else 0.0
    return {
        "Average Win": win,
        "Average Loss": loss,
        "Expectancy": rate * ratio - lost,
        "Loss Rate": lost,
        "Win Rate": rate,
        "Profit-Loss Ratio": ratio,
    }


def _ratios(own: Floats, theirs: Floats, rate: float, days: int) -> dict[str, float]:
    year, their_year = _compounded(own, days), _compounded(theirs, days)
    variance = days * _variance(own)
    losing = math.sqrt(days * _variance(own[own < 0]))
    beta = _beta(own, theirs)
    tracking = math.sqrt(days * _variance(own - theirs)) if own.size > 1 else 0.0
    excess = year - rate
    return {
        "Sharpe Ratio": _over(excess, math.sqrt(variance)),
        "Sortino Ratio": _over(excess, losing),
        "Probabilistic Sharpe Ratio": _probabilistic(own, rate, days),
        "Alpha": excess - beta * (their_year - rate) if beta else 0.0,
        "Beta": beta,
        "Annual Standard Deviation": math.sqrt(variance),
        "Annual Variance": variance,
        "Information Ratio": _over(year - their_year, tracking),
        "Tracking Error": tracking,
        "Treynor Ratio": _over(excess, beta),
    }


def _compounded(returns: Floats, days: int) -> float:
    """Return the growth of a year of mean days; inf where no float holds it."""
    if returns.size < 2:
        return 0.0
    try:
        return (1.0 + _mean(returns)) ** days - 1.0
    except OverflowError:
        return math.inf


def _mean(values: Floats) -> float:
    return float(values.mean()) if values.size else 0.0


def _variance(values: Floats) -> float:
    return float(values.var(ddof=1)) if values.size > 1 else 0.0


def _over(value: float, by: float) -> float:
    return value / by if by else 0.0


def _beta(own: Floats, theirs: Floats) -> float:
    spread = _variance(theirs)
    if own.size < 2 or not spread:
        return 0.0
    return float(np.cov(own, theirs, ddof=1)[0, 1]) / spread


def _probabilistic(returns: Floats, rate: float, days: int) -> float:
    """Return Lean's PSR: bias-corrected skewness and excess kurtosis; the paper has raw ones."""
    count = returns.size
    if count < 4 or not _variance(returns):
        return 0.0
    deviation = math.sqrt(_variance(returns))
    ratio = (_mean(returns) - rate / days) / deviation
    skew, excess = _corrected(returns)
    spread = 1.0 - skew * ratio + (excess - 1.0) / 4.0 * ratio**2
    if not spread > 0:
        return 0.0
    sigma = math.sqrt(spread / (count - 1))
    return NormalDist().cdf((ratio - 1.0 / math.sqrt(days)) / sigma)


def _corrected(returns: Floats) -> tuple[float, float]:
    """Return bias-corrected skewness and excess kurtosis of four values or more."""
    n = returns.size
    centred = returns - returns.mean()
    second = float((centred**2).mean())
    skew = float((centred**3).mean()) / second**1.5 * math.sqrt(n * (n - 1)) / (n - 2)
    raw = float((centred**4).mean()) / second**2
    excess = (n - 1) / ((n - 2) * (n - 3)) * ((n + 1) * raw - 3 * (n - 1))
    return skew, excess


def _percent(places: int) -> Callable[[float], str]:
    return lambda value: f"{_rounded(value * 100.0, places)}%"


def _plain(places: int) -> Callable[[float], str]:
    return lambda value: _rounded(value, places)


def _money(value: float) -> str:
    return f"${_rounded(value, 2, ROUND_HALF_UP)}"


PRINTED: dict[str, Callable[[float], str]] = {
    "Total Orders": _plain(0),
    "Average Win": _percent(2),
    "Average Loss": _percent(2),
    "Compounding Annual Return": _percent(3),
    "Drawdown": _percent(3),
    "Expectancy": _plain(3),
    "End Equity": _plain(2),
    "Net Profit": _percent(3),
    "Sharpe Ratio": _plain(3),
    "Sortino Ratio": _plain(3),
    "Probabilistic Sharpe Ratio": _percent(3),
    "Loss Rate": _percent(0),
    "Win Rate": _percent(0),
    "Profit-Loss Ratio": _plain(2),
    "Alpha": _plain(3),
    "Beta": _plain(3),
    "Annual Standard Deviation": _plain(3),
    "Annual Variance": _plain(3),
    "Information Ratio": _plain(3),
    "Tracking Error": _plain(3),
    "Treynor Ratio": _plain(3),
    "Total Fees": _money,
    "Portfolio Turnover": _percent(2),
    "Drawdown Recovery": _plain(0),
}
"""How Lean prints each statistic; trailing zeros differ there by accident of its decimals."""


def printed(found: dict[str, float]) -> dict[str, str]:
    """Return `statistics` as text with Lean's digits: fees half up, everything else half even."""
    return {name: PRINTED[name](value) for name, value in found.items()}


def _rounded(value: float, places: int, how: str = ROUND_HALF_EVEN) -> str:
    """Round the decimal that ``value`` stands for: 15 digits, so that 3.485 is a tie."""
    text = Decimal(f"{value:.15g}").quantize(Decimal(1).scaleb(-places), rounding=how)
    return f"{text + 0:f}"
