"""Weights from a covariance: minimum variance and equal risk, without a solver.

A covariance is (A, A), ddof 1; weights are (A,), at least 0, and sum to 1.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from runtimes.engine.arrays import Floats, Ints
from runtimes.strategies.base import View

PASSES = 10
"""Times the number of assets: bound of the active-set passes."""
STEPS = 50
"""Bound of the Newton steps; ten are plenty for anything that is a covariance."""
CLOSE = 1e-14
STILL = 1e-13
"""Where a gradient of parts of 1 counts as zero."""


def minimum_variance(covariance: Floats) -> Floats:
    """Return the long-only weights of least variance (Markowitz 1952).

    Active set: solve S w = 1 over the active assets, drop negative ones, take back those whose
    marginal variance is below the active ones', until nothing changes. A singular covariance takes
    the least-norm solution.
    """
    count = len(covariance)
    active = np.ones(count, dtype=np.bool_)
    weights = np.zeros(count)
    for _ in range(PASSES * count):
        weights = np.zeros(count)
        weights[active] = _solved(covariance[np.ix_(active, active)])
        if (weights < 0).any():
            active &= weights > 0
            if not active.any():
                return inverse_volatility(covariance)
            continue
        marginal = covariance @ weights
        level = float(weights @ marginal) / max(float(weights.sum()), CLOSE)
        better = ~active & (marginal < level * (1.0 - CLOSE))
        if not better.any():
            break
        active |= better
    return np.asarray(weights / weights.sum())


def equal_risk(covariance: Floats) -> Floats:
    """Return the long-only weights whose parts of the risk are equal.

    Maillard, Roncalli and Teiletche 2010: Newton on y'Cy/2 - mean(log y), C the correlation, the
    step halved until y stays above 0; weights are y over the deviations.
    """
    deviation = np.sqrt(np.diag(covariance))
    correlation = covariance / np.outer(deviation, deviation)
    count = len(covariance)
    y = np.full(count, 1.0 / np.sqrt(max(float(correlation.sum()), CLOSE)))
    for _ in range(STEPS):
        gradient = correlation @ y - 1.0 / (count * y)
        if float(np.abs(gradient).max()) < STILL:
            break
        step = np.linalg.solve(correlation + np.diag(1.0 / (count * y**2)), gradient)
        size = 1.0
        while (y - size * step <= 0).any():
            size /= 2.0
        y = y - size * step
    weights = y / deviation
    return np.asarray(weights / weights.sum())


def inverse_volatility(covariance: Floats) -> Floats:
    """Return weights in proportion to 1 / deviation."""
    weights = 1.0 / np.sqrt(np.diag(covariance))
    return np.asarray(weights / weights.sum())


def by_covariance(
    view: View, rows: Ints, lookback: int, allocate: Callable[[Floats], Floats]
) -> Floats:
    """Return (R, N) weights of ``allocate`` on the covariance of each row's last returns.

    Members with a bar at each of the last ``lookback`` + 1 rows and some movement take part; with
    fewer than ``lookback`` rows behind it a decision holds nothing.
    """
    weights = np.zeros((rows.size, view.close.shape[1]))
    belong = view.members
    for place, row in enumerate(rows.tolist()):
        if row < lookback:
            continue
        window = view.close[row - lookback : row + 1]
        returns = window[1:] / window[:-1] - 1.0
        whole = ~np.isnan(window).any(axis=0) & (np.ptp(returns, axis=0) > 0)
        chosen = np.flatnonzero(whole & belong[row])
        if chosen.size == 1:
            weights[place, chosen] = 1.0
        elif chosen.size:
            covariance = np.cov(returns[:, chosen], rowvar=False, ddof=1)
            weights[place, chosen] = allocate(covariance)
    return weights


def _solved(covariance: Floats) -> Floats:
    ones = np.ones(len(covariance))
    try:
        found = np.linalg.solve(covariance, ones)
    except np.linalg.LinAlgError:
        found = np.linalg.lstsq(covariance, ones, rcond=None)[0]
    return np.asarray(found / np.abs(found).sum())
