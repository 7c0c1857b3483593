"""What a trial is worth: the statistics of its equity alone, as a single run has them."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from runtimes.engine import metrics
from runtimes.engine.arrays import Floats, Ints
from runtimes.engine.validation.overfitting import Blocks, block_sums
from runtimes.specs.sweep import OBJECTIVES


@dataclass(frozen=True, slots=True)
class Score:
    """A trial's equity (T,) at ``timestamps`` and its statistics, or the error it ended with."""

    trial: int
    timestamps: Ints
    equity: Floats
    statistics: Mapping[str, Any]

    @property
    def failed(self) -> bool:
        """Tell whether the trial ended with an error."""
        return "error" in self.statistics

    def value(self, objective: str) -> float:
        """Return how good the trial is, more is better; -inf where that is not defined."""
        found = self.statistics.get(objective)
        return -math.inf if found is None else OBJECTIVES[objective] * float(found)


def measured(
    equity: Floats, timestamps: Ints, *, cash: float, periods_per_year: float
) -> dict[str, Any]:
    """Return the statistics of ``equity`` (T,) as JSON values; nan becomes None."""
    returns = metrics.returns_of(equity, start=cash)
    growth = metrics.cagr(equity, timestamps, start=cash)
    deepest = metrics.max_drawdown(equity, start=cash)
    numbers = {
        "bars": int(equity.size),
        "end_equity": float(equity[-1]) if equity.size else cash,
        "total_return": metrics.total_return(equity, start=cash),
        "cagr": growth,
        "volatility": metrics.volatility(returns, periods_per_year=periods_per_year),
        "sharpe": metrics.sharpe(returns, periods_per_year=periods_per_year),
        "sortino": metrics.sortino(returns, periods_per_year=periods_per_year),
        "calmar": metrics.calmar(growth, deepest),
        "max_drawdown": deepest,
    }
    finite = {name: value if math.isfinite(value) else None for name, value in numbers.items()}
    return {**finite, "equity_sha": digest(equity)}


def digest(equity: Floats) -> str:
    """Return the SHA-256 of the little-endian bytes of ``equity``."""
    return hashlib.sha256(np.ascontiguousarray(equity, dtype="<f8").tobytes()).hexdigest()


def blocked(equity: Floats, *, cash: float, blocks: int) -> dict[str, Any]:
    """Return the sums by block that the probability of overfitting is made of, as JSON values."""
    returns = metrics.returns_of(equity, start=cash)
    centre, sums, squares = block_sums(returns, blocks=blocks)
    size = equity.size // blocks
    return {
        "centre": centre,
        "sums": sums.tolist(),
        "squares": squares.tolist(),
        "size": size,
    }


def stacked(parts: Sequence[Mapping[str, Any]]) -> Blocks:
    """Return the blocks of several trials side by side."""
    return Blocks(
        np.array([part["centre"] for part in parts]),
        np.array([part["sums"] for part in parts]).T,
        np.array([part["squares"] for part in parts]).T,
        int(parts[0]["size"]),
    )


def chained(equities: Sequence[Floats], *, cash: float) -> Floats:
    """Return one curve of curves that each began with ``cash``: the next begins where one ends."""
    found, level = [], cash
    for equity in equities:
        found.append(equity if level == cash else equity * (level / cash))
        level = float(found[-1][-1])
    return found[0] if len(found) == 1 else np.concatenate(found)


def closed_up(times: Sequence[Ints]) -> Ints:
    """Return the timestamps of consecutive pieces with the gaps between them taken out.

    The first bar of a piece comes as long after the one before as its own second bar after it.
    """
    found = [times[0]]
    for own in times[1:]:
        step = int(own[1] - own[0]) if own.size > 1 else 0
        found.append(own - own[0] + found[-1][-1] + step)
    return np.concatenate(found)


def best(scores: Sequence[Score], objective: str) -> Score:
    """Return the best score, the first of equal ones; failed ones never."""
    sound = [score for score in scores if not score.failed]
    return max(sound, key=lambda score: (score.value(objective), -score.trial))
