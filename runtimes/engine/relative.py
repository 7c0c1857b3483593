"""A return series beside a benchmark's: both (B,), simple returns over the same bars.

A bar counts where the benchmark has this and an earlier close; over a gap of it the own return is
compounded. What needs two bars, or something that moves, is nan without it. Risk-free rate 0.
"""

from __future__ import annotations

import math

import numpy as np

from runtimes.engine import metrics
from runtimes.engine.arrays import Floats
from runtimes.engine.metrics import NAN, is_flat


def alongside(returns: Floats, closes: Floats) -> tuple[Floats, Floats]:
    """Return own and benchmark returns over the bars between two known ``closes`` (T,)."""
    known = np.flatnonzero(~np.isnan(closes))
    if known.size < 2:
        return np.zeros(0), np.zeros(0)
    own = np.cumprod(1.0 + returns)[known]
    ours = np.divide(own[1:], own[:-1], out=np.ones(known.size - 1), where=own[:-1] != 0.0) - 1.0
    theirs = closes[known][1:] / closes[known][:-1] - 1.0
    return ours, theirs


def compare(returns: Floats, closes: Floats, *, periods_per_year: float) -> dict[str, float | int]:
    """Return every measure of ``returns`` (T,) against the benchmark's ``closes`` (T,)."""
    ours, theirs = alongside(returns, closes)
    slope, periods = metrics.beta(ours, theirs), periods_per_year
    known = closes[~np.isnan(closes)]
    return {
        "benchmark_return": float(known[-1] / known[0] - 1.0) if known.size > 1 else NAN,
        "benchmark_alpha": alpha(ours, theirs, periods_per_year=periods),
        "benchmark_beta": slope,
        "benchmark_correlation": correlation(ours, theirs),
        "tracking_error": tracking_error(ours, theirs, periods_per_year=periods),
        "information_ratio": metrics.information_ratio(ours, theirs, periods_per_year=periods),
        "treynor": treynor(ours, theirs, periods_per_year=periods),
        "up_capture": capture(ours, theirs, up=True),
        "down_capture": capture(ours, theirs, up=False),
        "batting_average": batting_average(ours, theirs),
    }


def alpha(returns: Floats, benchmark: Floats, *, periods_per_year: float) -> float:
    """Return (mean(returns) - beta * mean(benchmark)) * periods (Jensen 1968)."""
    slope = metrics.beta(returns, benchmark)
    if math.isnan(slope):
        return NAN
    return float(returns.mean() - slope * benchmark.mean()) * periods_per_year


def correlation(returns: Floats, benchmark: Floats) -> float:
    """Return Pearson's correlation; nan where either series is flat."""
    slope = metrics.beta(returns, benchmark)
    deviation = float(returns.std()) if returns.size else 0.0
    if is_flat(deviation, returns):
        return NAN
    return slope * float(benchmark.std()) / deviation


def tracking_error(returns: Floats, benchmark: Floats, *, periods_per_year: float) -> float:
    """Return std(returns - benchmark, ddof 1) * sqrt(periods); nan below two bars."""
    return metrics.volatility(returns - benchmark, periods_per_year=periods_per_year)


def treynor(returns: Floats, benchmark: Floats, *, periods_per_year: float) -> float:
    """Return mean(returns) * periods / beta (Treynor 1965); nan where beta is rounding of 0."""
    slope = metrics.beta(returns, benchmark)
    if math.isnan(slope) or abs(slope) <= metrics.FLAT:
        return NAN
    return float(returns.mean()) * periods_per_year / slope


def capture(returns: Floats, benchmark: Floats, *, up: bool) -> float:
    """Return the geometric mean return over the benchmark's up (or down) bars, as part of its own.

    Morningstar's up and down capture ratio, as a fraction. nan where it has no such bar, or all
    was lost on them.
    """
    chosen = benchmark > 0 if up else benchmark < 0
    if not chosen.any():
        return NAN
    theirs, ours = _geometric(benchmark[chosen]), _geometric(returns[chosen])
    return ours / theirs if theirs != 0.0 else NAN


def batting_average(returns: Floats, benchmark: Floats) -> float:
    """Return the share of bars on which the return was above the benchmark's; nan without bars."""
    return float((returns > benchmark).mean()) if returns.size else NAN


def _geometric(returns: Floats) -> float:
    """Return the mean return that compounds to the same; nan where more than all was lost."""
    if not (returns > -1.0).all():
        return NAN
    return math.expm1(float(np.log1p(returns).mean()))
