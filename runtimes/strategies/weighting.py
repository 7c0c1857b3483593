"""How much of each side is held: equal parts, by the signal, or by the inverse of the risk.

Sides (R, N) say who is held long (1) or short (-1); weights (R, N) are parts of equity.
"""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from runtimes.engine.arrays import Floats, Ints
from runtimes.part import Finite, Integer, Part
from runtimes.strategies.base import View, on_own_bars
from runtimes.strategies.low_volatility import volatility
from runtimes.words import choose

TOLERANCE = 1e-12
"""What rounding may make of equal sides."""


class Weights(Part):
    """What every way of weighting has.

    ``gross`` is the sum of absolute weights; ``neutral`` gives each side half of it, and nothing
    where one side is empty; no weight is above ``cap``, whose excess goes to the side's others.
    """

    gross: Annotated[Finite, Field(gt=0, le=100)] = 1.0
    neutral: bool = False
    cap: Annotated[Finite, Field(gt=0, le=100)] | None = None

    def of(self, sides: Floats, signal: Floats, view: View, rows: Ints, *, places: int) -> Floats:
        """Return (R, N) weights of ``sides`` decided at ``rows``.

        Of ``places`` those that nobody fills stay in cash; 0: all of ``gross`` is given away.
        """
        parts = self.parts(sides, signal, view, rows) * (sides != 0)
        weights = np.zeros(sides.shape)
        for row in range(len(sides)):
            filled = int((sides[row] != 0).sum())
            gross = self.gross * min(filled / places, 1.0) if places else self.gross
            weights[row] = self._row(sides[row], parts[row], gross)
        return weights

    def parts(self, sides: Floats, signal: Floats, view: View, rows: Ints) -> Floats:
        """Return (R, N): how much of its side each is in proportion, at least 0."""
        raise NotImplementedError

    def _row(self, sides: Floats, parts: Floats, gross: float) -> Floats:
        if not self.neutral:
            return sides * spread(parts, gross, self.cap)
        long, short = (
            spread(np.where(sides == side, parts, 0.0), gross / 2.0, self.cap) for side in (1, -1)
        )
        both = float(long.sum()), float(short.sum())
        if not all(both):
            return np.zeros(sides.shape)
        return np.asarray(long * (min(both) / both[0]) - short * (min(both) / both[1]))


class Equal(Weights):
    """The same part of each."""

    method: Literal["equal"] = "equal"

    def parts(self, sides: Floats, signal: Floats, view: View, rows: Ints) -> Floats:
        """Return ones."""
        return np.ones(sides.shape)


class BySignal(Weights):
    """In proportion to the signal: above 0 on the long side, below 0 on the short side."""

    method: Literal["signal"] = "signal"

    def parts(self, sides: Floats, signal: Floats, view: View, rows: Ints) -> Floats:
        """Return the signal of each side's own sign, else 0."""
        return np.maximum(np.nan_to_num(signal * sides), 0.0)


class InverseVolatility(Weights):
    """In proportion to 1 / the deviation of the last ``bars`` own returns; without one, nothing."""

    method: Literal["inverse_volatility"] = "inverse_volatility"
    bars: Annotated[Integer, Field(ge=2, le=100_000)] = 60

    def parts(self, sides: Floats, signal: Floats, view: View, rows: Ints) -> Floats:
        """Return the inverse deviations, 0 where nothing moved."""
        moved = on_own_bars(view.close, lambda own: volatility(own, self.bars))[rows]
        there = moved > 0
        return np.where(there, 1.0 / np.where(there, moved, 1.0), 0.0)


WEIGHTS: dict[str, type[Part]] = {
    "equal": Equal,
    "signal": BySignal,
    "inverse_volatility": InverseVolatility,
}
Weighting = Annotated[
    Equal | BySignal | InverseVolatility, choose("weighting", WEIGHTS, key="method")
]


def lookback(weighting: Weights) -> int:
    """Return how many earlier bars the weighting needs."""
    return weighting.bars if isinstance(weighting, InverseVolatility) else 0


def spread(parts: Floats, total: float, cap: float | None) -> Floats:
    """Return (N,) ``total`` in proportion to ``parts``, none above ``cap``; nothing of no parts.

    What a cap cuts off goes to the others in proportion, until nobody is above it; where all are
    at the cap the rest stays in cash.
    """
    weights = np.zeros(parts.shape)
    waiting, left = parts > 0, total
    while waiting.any():
        open_ = np.where(waiting, parts, 0.0)
        open_ /= open_.max()  # so that the sum is neither tiny nor infinite
        share = open_ / open_.sum() * left
        over = share > (np.inf if cap is None else cap + TOLERANCE)
        if not over.any():
            return np.asarray(weights + share)
        weights[over] = cap
        left -= float(cap or 0.0) * int(over.sum())
        waiting &= ~over
    return weights
