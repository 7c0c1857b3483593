"""How much of a result is selection: deflated Sharpe, track record, probability of overfitting.

Sharpe ratios here are per bar, not annualised. A series without variance has none (nan).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations, islice
from statistics import NormalDist

import numpy as np

from runtimes.engine import metrics
from runtimes.engine.arrays import Floats
from topology.errors import BadInputError

EULER = 0.57721566490153286
AT_ONCE = 1_024
"""Combinations that are judged together: bounds the memory of many columns."""
NORMAL = NormalDist()


def expected_best(trials: float, variance: float) -> float:
    """Return the Sharpe ratio per bar that the best of ``trials`` worthless trials is expected at.

    sqrt(V) ((1 - c) Z(1 - 1/N) + c Z(1 - 1/(N e))), c Euler's constant, ``variance`` V that of the
    trials' ratios (Bailey and Lopez de Prado 2014, eq. 2). One trial or fewer: 0, nothing was
    selected.
    """
    if trials <= 1 or not variance > 0:
        return 0.0
    upper = NORMAL.inv_cdf(1.0 - 1.0 / trials)
    beyond = NORMAL.inv_cdf(1.0 - 1.0 / (trials * math.e))
    return math.sqrt(variance) * ((1.0 - EULER) * upper + EULER * beyond)


def deflated_sharpe(returns: Floats, *, trials: float, variance: float) -> float:
    """Return the probability that ``returns`` (B,) beat the best of ``trials`` worthless ones.

    The probabilistic Sharpe ratio against `expected_best`. nan for a flat series.
    """
    return metrics.probabilistic_sharpe(returns, benchmark=expected_best(trials, variance))


def minimum_track_record(returns: Floats, *, benchmark: float = 0.0, alpha: float = 0.05) -> float:
    """Return how many bars would show a ratio above ``benchmark`` at confidence 1 - ``alpha``.

    1 + (1 - g SR + (k - 1)/4 SR^2) (Z(1 - alpha) / (SR - SR*))^2 (the same, eq. 13). inf where the
    ratio does not exceed the benchmark, nan for a flat series.
    """
    ratio = metrics.sharpe(returns, periods_per_year=1.0)
    skew, kurtosis = metrics.moments(returns)
    return track_record(ratio, benchmark=benchmark, alpha=alpha, skew=skew, kurtosis=kurtosis)


def track_record(
    ratio: float, *, benchmark: float, alpha: float, skew: float, kurtosis: float
) -> float:
    """Return `minimum_track_record` from a ratio and its moments."""
    spread = 1.0 - skew * ratio + (kurtosis - 1.0) / 4.0 * ratio**2
    if math.isnan(spread):
        return metrics.NAN
    if not ratio > benchmark:
        return math.inf
    return 1.0 + spread * (NORMAL.inv_cdf(1.0 - alpha) / (ratio - benchmark)) ** 2


@dataclass(frozen=True, slots=True)
class Overfitting:
    """What CSCV says of a set of trials.

    ``pbo`` is the share of combinations whose best trial in sample is below the median out of
    sample; ``loss`` the share where it loses money there; ``slope`` that of its ratio out of
    sample on the one in sample (below 0: the better it looked, the worse it did).
    """

    pbo: float
    loss: float
    slope: float
    combinations: int
    trials: int


@dataclass(frozen=True, slots=True)
class Blocks:
    """Returns of M trials summed over S even blocks of ``size`` bars, about each trial's mean.

    ``centre`` (M,), ``sums`` and ``squares`` (S, M): all that the probability needs of them.
    """

    centre: Floats
    sums: Floats
    squares: Floats
    size: int


def probability_of_overfitting(returns: Floats, *, blocks: int = 16) -> Overfitting:
    """Return the probability of backtest overfitting of ``returns`` (T, M), M trials.

    `overfitting` of their `blocks_of`. Fewer than two trials, an odd number of blocks or fewer than
    two bars a block raise.
    """
    return overfitting(blocks_of(returns, blocks=blocks))


def blocks_for(bars: int, trials: int) -> int:
    """Return how many blocks are used: 16, fewer for many trials or few bars; 0 for too few.

    The combinations of 16 blocks times 10,000 trials would take minutes; 10 blocks have 252.
    """
    wanted = 16 if trials <= 64 else 12 if trials <= 512 else 10
    most = min(wanted, bars // 2)
    return most - most % 2


def blocks_of(returns: Floats, *, blocks: int) -> Blocks:
    """Return ``returns`` (T, M) cut into even blocks; the oldest bars that do not divide go."""
    bars = len(returns)
    _refuse(blocks < 2 or blocks % 2 == 1, "blocks", blocks, "Write an even number of blocks.")
    _refuse(bars < 2 * blocks, "blocks", blocks, f"There are only {bars} bars.")
    _refuse(not np.isfinite(returns).all(), "returns", None, "Every return is a finite number.")
    each = [block_sums(column, blocks=blocks) for column in np.ascontiguousarray(returns.T)]
    centre, sums, squares = (np.array(part) for part in zip(*each, strict=True))
    return Blocks(centre, sums.T, squares.T, bars // blocks)


def block_sums(returns: Floats, *, blocks: int) -> tuple[float, Floats, Floats]:
    """Return the mean of ``returns`` (T,), and by block sum and sum of squares about it (S,)."""
    size, centre = returns.size // blocks, float(returns.mean())
    kept = (returns[returns.size - size * blocks :] - centre).reshape(blocks, size)
    return centre, kept.sum(axis=1), (kept**2).sum(axis=1)


def overfitting(blocks: Blocks) -> Overfitting:
    """Return what combinatorially symmetric cross-validation says of the trials in ``blocks``.

    For each half of the blocks the best trial by Sharpe ratio is ranked on the other half (Bailey,
    Borwein, Lopez de Prado and Zhu 2017). A trial without variance ranks last. Fewer than two
    trials raise.
    """
    count, trials = blocks.sums.shape
    _refuse(trials < 2, "trials", trials, "Two trials or more can be compared.")
    bars = blocks.size * count // 2
    inside, outside, below = [], [], []
    for halves in _halves(count):
        judged = [
            _ratios(half @ blocks.sums, half @ blocks.squares, blocks.centre, bars)
            for half in (halves, 1.0 - halves)
        ]
        best = np.argmax(judged[0], axis=1)[:, None]
        chosen = [np.take_along_axis(ratios, best, axis=1)[:, 0] for ratios in judged]
        inside.append(chosen[0])
        outside.append(chosen[1])
        below.append(_rank(judged[1], chosen[1]) / (trials + 1) <= 0.5)
    return _told(np.concatenate(inside), np.concatenate(outside), np.concatenate(below), trials)


def _halves(blocks: int) -> Iterator[Floats]:
    """Yield (up to `AT_ONCE`, blocks) arrays of 1 for the blocks in sample, 0 for the others."""
    chosen = combinations(range(blocks), blocks // 2)
    while batch := list(islice(chosen, AT_ONCE)):
        halves = np.zeros((len(batch), blocks))
        np.put_along_axis(halves, np.array(batch), 1.0, axis=1)
        yield halves


def _ratios(sums: Floats, squares: Floats, centre: Floats, bars: int) -> Floats:
    """Return Sharpe ratios (C, M) from sums over centred returns; -inf without variance."""
    mean = sums / bars
    variance = np.maximum(squares / bars - mean**2, 0.0)
    flat = variance <= (metrics.FLAT * np.abs(mean + centre)) ** 2
    deviation = np.sqrt(np.where(flat, 1.0, variance))
    return np.asarray(np.where(flat, -np.inf, (mean + centre) / deviation))


def _rank(ratios: Floats, chosen: Floats) -> Floats:
    """Return the average rank from 1 of each row's ``chosen`` among its ``ratios``."""
    below = (ratios < chosen[:, None]).sum(axis=1)
    same = (ratios == chosen[:, None]).sum(axis=1)
    return np.asarray(below + (same + 1) / 2.0)


def _told(inside: Floats, outside: Floats, below: Floats, trials: int) -> Overfitting:
    finite = np.isfinite(inside) & np.isfinite(outside)
    x, y = inside[finite], outside[finite]
    spread = float(((x - x.mean()) ** 2).sum()) if x.size else 0.0
    slope = float(((x - x.mean()) * (y - y.mean())).sum()) / spread if spread > 0 else metrics.NAN
    return Overfitting(
        pbo=float(below.mean()),
        loss=float((outside < 0).mean()),
        slope=slope,
        combinations=int(below.size),
        trials=trials,
    )


def _refuse(wrong: bool, path: str, value: object, problem: str) -> None:
    if wrong:
        raise BadInputError(
            f"The probability of overfitting cannot be told: {problem}",
            hint="Compare at least two trials over at least two bars a block.",
            errors=[{"path": path, "value": value, "problem": problem}],
        )
