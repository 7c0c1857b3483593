"""Measures of a return series, each a pure function with its NaN rule and its source.

``returns`` has shape (T,), simple returns per bar; ``equity`` (T,) is money at each close. A value
that is not defined is nan, never 0: too few bars, nothing at risk, nothing lost. "Flat" is
decided by tolerance, because the deviation of ten returns of 0.01 is 1e-18 and not 0.
"""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np

from runtimes.engine.arrays import Floats, Ints

FLAT = 1e-12
"""A deviation below this part of the largest return is rounding, not risk."""
YEAR_NS = 365.25 * 86_400e9
NAN = float("nan")


def returns_of(equity: Floats, *, start: float) -> Floats:
    """Return (T,) simple returns per bar, the first against ``start``.

    A bar that begins without equity has return 0: a ruined account is flat.
    """
    before = np.concatenate([[start], equity[:-1]])
    change = equity - before
    if before.min() > 0:
        return np.asarray(np.divide(change, before, out=change))
    grown: Floats = np.divide(change, before, out=np.zeros_like(change), where=before > 0)
    return grown


def total_return(equity: Floats, *, start: float) -> float:
    """Return end / start - 1; nan without bars."""
    return float(equity[-1] / start - 1.0) if equity.size else NAN


def cagr(equity: Floats, timestamps: Ints, *, start: float) -> float:
    """Return the yearly growth rate over years of 365.25 days between first and last bar.

    nan for fewer than two bars; -1 where nothing is left.
    """
    if equity.size < 2:
        return NAN
    years = float(timestamps[-1] - timestamps[0]) / YEAR_NS
    ratio = float(equity[-1]) / start
    if ratio <= 0:
        return -1.0
    exponent = math.log(ratio) / years
    return math.expm1(exponent) if exponent < 700 else NAN


def is_flat(deviation: float, values: Floats) -> bool:
    """Tell whether ``deviation`` of ``values`` is only rounding."""
    largest = np.maximum(values.max(initial=0.0), -values.min(initial=0.0))
    return not deviation > FLAT * float(largest)


def volatility(returns: Floats, *, periods_per_year: float) -> float:
    """Return the annualised standard deviation (ddof 1); nan below two returns."""
    if returns.size < 2:
        return NAN
    return float(returns.std(ddof=1) * math.sqrt(periods_per_year))


def sharpe(returns: Floats, *, periods_per_year: float, risk_free: float = 0.0) -> float:
    """Return the annualised Sharpe ratio, mean(excess) / std(ddof 1) * sqrt(periods).

    ``risk_free`` is per bar. Fewer than two returns or a flat series give nan: there is no risk
    to divide by (Sharpe 1994, eq. 6).
    """
    if returns.size < 2:
        return NAN
    excess = returns - risk_free if risk_free else returns
    deviation = float(excess.std(ddof=1))
    if is_flat(deviation, excess):
        return NAN
    return float(excess.mean() / deviation * math.sqrt(periods_per_year))


def sortino(returns: Floats, *, periods_per_year: float, risk_free: float = 0.0) -> float:
    """Return mean(excess) / sqrt(mean(min(excess, 0)^2)) * sqrt(periods).

    nan below two returns or where nothing was lost (Sortino and Price 1994).
    """
    if returns.size < 2:
        return NAN
    excess = returns - risk_free
    downside = math.sqrt(float((np.minimum(excess, 0.0) ** 2).mean()))
    if is_flat(downside, excess):
        return NAN
    return float(excess.mean() / downside * math.sqrt(periods_per_year))


def drawdowns(equity: Floats, *, start: float) -> Floats:
    """Return (T,) the fraction below the running peak, which begins at ``start``."""
    peak = np.maximum(np.maximum.accumulate(equity), start) if equity.size else equity
    return np.asarray(1.0 - equity / peak)


def max_drawdown(equity: Floats, *, start: float) -> float:
    """Return the largest fraction lost from a peak, 0 where nothing was; nan without bars."""
    return float(drawdowns(equity, start=start).max()) if equity.size else NAN


def drawdown_bars(equity: Floats, *, start: float) -> int:
    """Return the longest run of bars below the peak, an unrecovered one included."""
    return longest_below(drawdowns(equity, start=start))


def longest_below(below: Floats) -> int:
    """Return the longest run of drawdowns ``below`` (T,) that are above 0."""
    at_peak = np.flatnonzero(below <= 0)
    edges = np.concatenate([[-1], at_peak, [below.size]])
    return int(np.diff(edges).max() - 1)


def calmar(growth: float, deepest: float) -> float:
    """Return cagr / max drawdown; nan where nothing was lost (Young 1991)."""
    return growth / deepest if deepest > FLAT else NAN


def value_at_risk(returns: Floats, *, level: float = 0.95) -> float:
    """Return the loss per bar not exceeded with probability ``level``, by history; >= 0 a loss.

    The empirical quantile with linear interpolation; nan below two returns.
    """
    return tails(returns, level=level)[0]


def conditional_value_at_risk(returns: Floats, *, level: float = 0.95) -> float:
    """Return the mean loss of the bars at or beyond `value_at_risk`; nan below two returns.

    Also called expected shortfall (Rockafellar and Uryasev 2000), by history.
    """
    return tails(returns, level=level)[1]


def tail_ratio(returns: Floats) -> float:
    """Return abs(95 % quantile / 5 % quantile): above 1 the good tail is the longer one.

    Linear interpolation. nan below two returns or where the 5 % quantile is only rounding.
    """
    return tails(returns)[2]


def tails(returns: Floats, *, level: float = 0.95) -> tuple[float, float, float]:
    """Return `value_at_risk`, `conditional_value_at_risk` and `tail_ratio` of one ordering."""
    if returns.size < 2:
        return NAN, NAN, NAN
    worst, low, high = np.quantile(returns, [1.0 - level, 0.05, 0.95]).tolist()
    lost = float(-returns[returns <= worst].mean())
    return -worst, lost, NAN if is_flat(abs(low), returns) else abs(high / low)


def omega(returns: Floats, *, threshold: float = 0.0) -> float:
    """Return gains / losses of the returns beyond ``threshold`` (Keating and Shadwick 2002).

    nan where nothing was lost.
    """
    excess = returns - threshold if threshold else returns
    lost = float(-np.minimum(excess, 0.0).sum())
    if is_flat(lost, excess):
        return NAN
    return float(np.maximum(excess, 0.0).sum()) / lost


def ulcer_index(below: Floats) -> float:
    """Return the root mean square of drawdowns ``below`` (T,), fractions (Martin 1987).

    nan without bars.
    """
    return math.sqrt(float((below**2).mean())) if below.size else NAN


def moments(returns: Floats) -> tuple[float, float]:
    """Return population skewness and raw (not excess) kurtosis; nan for a flat series."""
    deviation = float(returns.std()) if returns.size else 0.0
    if is_flat(deviation, returns):
        return NAN, NAN
    z = (returns - returns.mean()) / deviation
    squares = z * z  # powers above two are forty times as slow
    return float((squares * z).mean()), float((squares * squares).mean())


def probabilistic_sharpe(returns: Floats, *, benchmark: float = 0.0) -> float:
    """Return the probability that the true Sharpe ratio per bar exceeds ``benchmark``.

    `sharpe_confidence` of the returns' own ratio and moments; nan for a flat series.
    """
    ratio = sharpe(returns, periods_per_year=1.0)
    skew, kurtosis = moments(returns)
    return sharpe_confidence(ratio, benchmark, bars=returns.size, skew=skew, kurtosis=kurtosis)


def sharpe_confidence(
    ratio: float, benchmark: float, *, bars: int, skew: float, kurtosis: float
) -> float:
    """Return the probability that the true Sharpe ratio per bar exceeds ``benchmark``.

    Phi((SR - SR*) sqrt(n-1) / sqrt(1 - g SR + (k-1)/4 SR^2)), SR per bar with ddof 1, g and k raw
    population moments, k 3 for a normal (Bailey and Lopez de Prado 2012, eq. 11). nan where the
    root has no value.
    """
    spread = 1.0 - skew * ratio + (kurtosis - 1.0) / 4.0 * ratio**2
    if not spread > 0:
        return NAN
    return NormalDist().cdf((ratio - benchmark) * math.sqrt((bars - 1) / spread))


def hit_rate(outcomes: Floats) -> float:
    """Return the share of ``outcomes`` above 0 among those that are not 0; nan without any."""
    decided = outcomes[outcomes != 0]
    return float((decided > 0).mean()) if decided.size else NAN


def profit_factor(outcomes: Floats) -> float:
    """Return gains / losses in money; nan where nothing was lost."""
    lost = float(-outcomes[outcomes < 0].sum())
    return float(outcomes[outcomes > 0].sum()) / lost if lost > 0 else NAN


def mean(values: Floats) -> float:
    """Return the mean; nan without values."""
    return float(values.mean()) if values.size else NAN


def beta(returns: Floats, benchmark: Floats) -> float:
    """Return cov(returns, benchmark) / var(benchmark); nan for a flat benchmark."""
    if returns.size < 2 or is_flat(float(benchmark.std(ddof=1)), benchmark):
        return NAN
    centred = benchmark - benchmark.mean()
    return float(((returns - returns.mean()) * centred).sum() / (centred**2).sum())


def information_ratio(returns: Floats, benchmark: Floats, *, periods_per_year: float) -> float:
    """Return the Sharpe ratio of the difference to ``benchmark`` (Goodwin 1998).

    nan where both are the same but for rounding.
    """
    difference = returns - benchmark
    if is_flat(float(np.abs(difference).max(initial=0.0)), benchmark):
        return NAN
    return sharpe(difference, periods_per_year=periods_per_year)
