"""Regression of returns on factor returns, with t-statistics that memory does not flatter."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from runtimes.engine.arrays import Floats
from runtimes.engine.metrics import NAN, is_flat


@dataclass(frozen=True, slots=True)
class Regression:
    """Ordinary least squares of returns on a constant and K factors, over ``bars`` bars.

    ``alpha`` is per bar. ``t`` (1 + K,), the constant first, divide by Newey-West errors of
    ``lags`` lags. ``residual`` is the residuals' standard deviation per bar, n - 1 - K degrees of
    freedom.
    """

    alpha: float
    betas: Floats
    t: Floats
    r_squared: float
    residual: float
    lags: int
    bars: int


def regress(returns: Floats, factors: Floats, *, lags: int | None = None) -> Regression:
    """Return the regression of ``returns`` (B,) on ``factors`` (B, K).

    Rows with a nan are left out. Errors are Newey and West's (1987, Bartlett weights, no small
    sample correction) with ``lags`` or floor(4 (B/100)^(2/9)) lags (their rule of 1994). All nan
    where there are not more bars than coefficients plus one or the factors depend on each other.
    """
    kept = ~(np.isnan(returns) | np.isnan(factors).any(axis=1))
    y = returns[kept]
    x = np.column_stack([np.ones(y.size), factors[kept]])
    bars, width = x.shape
    reach = automatic_lags(bars) if lags is None else lags
    if bars <= width + 1 or _degenerate(x):
        nothing = np.full(width, NAN)
        return Regression(NAN, nothing[1:], nothing, NAN, NAN, reach, bars)
    inverse = np.linalg.inv(x.T @ x)
    found = inverse @ (x.T @ y)
    left = y - x @ found
    errors = np.sqrt(np.diag(inverse @ _long_run(x * left[:, None], reach) @ inverse))
    flat = is_flat(float(y.std()), y)
    lost, total = float(left @ left), float(((y - y.mean()) ** 2).sum())
    return Regression(
        float(found[0]),
        found[1:],
        np.full(width, NAN) if flat else found / errors,
        NAN if flat else 1.0 - lost / total,
        math.sqrt(lost / (bars - width)),
        reach,
        bars,
    )


def measures(
    names: Sequence[str], found: Regression, *, periods_per_year: float
) -> dict[str, float | int]:
    """Return the regression as statistics: ``factor_beta.NAME`` and ``factor_t.NAME`` a factor."""
    return {
        "factor_alpha": found.alpha * periods_per_year,
        "factor_alpha_t": float(found.t[0]),
        "factor_r_squared": found.r_squared,
        "factor_residual_volatility": found.residual * math.sqrt(periods_per_year),
        "factor_lags": found.lags,
        "factor_bars": found.bars,
        **{f"factor_beta.{name}": float(b) for name, b in zip(names, found.betas, strict=True)},
        **{f"factor_t.{name}": float(t) for name, t in zip(names, found.t[1:], strict=True)},
    }


def automatic_lags(bars: int) -> int:
    """Return floor(4 (bars/100)^(2/9)): how far a return may remember (Newey and West 1994)."""
    return int(4.0 * (bars / 100.0) ** (2.0 / 9.0))


def _long_run(scores: Floats, lags: int) -> Floats:
    """Return the sum over lags of Bartlett weight times the scores' cross products."""
    total = scores.T @ scores
    for lag in range(1, min(lags, len(scores) - 1) + 1):
        crossed = scores[lag:].T @ scores[:-lag]
        total = total + (1.0 - lag / (lags + 1.0)) * (crossed + crossed.T)
    return np.asarray(total)


def _degenerate(x: Floats) -> bool:
    """Tell whether columns are constant or depend on each other, sizes of factors aside."""
    if any(is_flat(float(column.std()), column) for column in x[:, 1:].T):
        return True
    scaled = x / np.abs(x).max(axis=0)
    return bool(np.linalg.matrix_rank(scaled) < x.shape[1])
