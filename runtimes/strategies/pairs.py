"""Bet on two prices that moved together coming together again.

Gatev, Goetzmann and Rouwenhorst 2006, "Pairs Trading: Performance of a Relative-Value Arbitrage
Rule"; the hedge is a regression of log prices over the look-back (Vidyamurthy 2004).
"""

from __future__ import annotations

from typing import Annotated, Self

import numpy as np
from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from runtimes.engine import metrics
from runtimes.engine.arrays import Floats, Targets
from runtimes.part import Finite, Integer
from runtimes.strategies.base import Strategy, StrategyParams, View, held, on_change, windows

Deviations = Annotated[Finite, Field(ge=0, le=100)]


class PairsParams(StrategyParams):
    """``lookback`` common bars; ``enter`` and ``leave`` in deviations of the spread."""

    lookback: Annotated[Integer, Field(ge=3, le=100_000)] = 60
    enter: Deviations = 2.0
    leave: Deviations = 0.0

    @model_validator(mode="after")
    def _leave_before_enter(self) -> Self:
        if self.leave >= self.enter:
            raise PydanticCustomError("range", "leave must be below enter.")
        return self


def decide(view: View, params: PairsParams) -> Targets:
    """Return long and short halves of each pair whose spread is wide, at every change.

    The symbols are paired as they are sorted: first with second, third with fourth; an odd one out
    stays in cash. Each leg weighs 1/N; a pair of which one leaves the universe is closed.
    """
    close, belong = view.close, view.members
    sides: Floats = np.zeros(close.shape)
    for left in range(0, int(sides.shape[-1]) - 1, 2):
        side = _side(close[:, left], close[:, left + 1], params)
        side = np.where(belong[:, left] & belong[:, left + 1], side, 0.0)
        sides[:, left], sides[:, left + 1] = side, -side
    return on_change(sides, view)


def _side(left: Floats, right: Floats, params: PairsParams) -> Floats:
    """Return +1 where the left leg is to be long, -1 short, 0 out (T,); kept between bars."""
    both = np.flatnonzero(~np.isnan(left) & ~np.isnan(right))
    out = np.zeros(left.shape)
    if both.size < params.lookback:
        return out
    distance = np.full(both.size, np.nan)
    distance[params.lookback - 1 :] = spread(
        np.log(left[both]), np.log(right[both]), params.lookback
    )
    side = held(distance < -params.enter, distance >= -params.leave)
    side = side - held(distance > params.enter, distance <= params.leave)
    place = np.searchsorted(both, np.arange(out.size), side="right") - 1
    return np.where(place >= 0, side[place], 0.0)


def spread(left: Floats, right: Floats, length: int) -> Floats:
    """Return the last residual of left on right over each window, in deviations; (K - length + 1,).

    nan where the residuals are flat. ddof is 1 for the deviation, the residuals' mean is 0.
    """
    x, y = windows(right, length), windows(left, length)
    dx = x - x.mean(axis=1, keepdims=True)
    dy = y - y.mean(axis=1, keepdims=True)
    moved = (dx**2).sum(axis=1)
    slope = np.where(moved > 0, (dx * dy).sum(axis=1) / np.where(moved > 0, moved, 1.0), 0.0)
    residual = dy - slope[:, None] * dx
    deviation = np.sqrt((residual**2).sum(axis=1) / (length - 1))
    flat = ~(deviation > metrics.FLAT * np.abs(y).max(axis=1))
    return np.where(flat, np.nan, residual[:, -1] / np.where(flat, 1.0, deviation))


STRATEGY = Strategy(
    title="Bet on two prices that moved together coming together again.",
    params=PairsParams,
    warmup=lambda params: params.lookback,
    decide=decide,
)
