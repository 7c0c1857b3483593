"""Buy what fell far below its average, sell when it is back.

Bollinger 2001, "Bollinger on Bollinger Bands": the distance from the moving average in standard
deviations of the same window.
"""

from __future__ import annotations

from typing import Annotated, Self

import numpy as np
from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from runtimes.engine import metrics
from runtimes.engine.arrays import Floats, Targets
from runtimes.part import Finite, Integer
from runtimes.strategies.base import (
    Strategy,
    StrategyParams,
    View,
    held,
    on_change,
    on_own_bars,
    rolling,
)

Deviations = Annotated[Finite, Field(ge=0, le=100)]


class MeanReversionParams(StrategyParams):
    """``lookback`` in own bars; ``enter`` and ``leave`` in deviations, ``short`` the mirror."""

    lookback: Annotated[Integer, Field(ge=2, le=100_000)] = 20
    enter: Deviations = 2.0
    leave: Deviations = 0.0
    short: bool = False

    @model_validator(mode="after")
    def _leave_before_enter(self) -> Self:
        if self.leave >= self.enter:
            raise PydanticCustomError("range", "leave must be below enter.")
        return self


def decide(view: View, params: MeanReversionParams) -> Targets:
    """Return 1/N (short -1/N) for each symbol that waits for its average to come back."""
    sides = on_own_bars(view.close, lambda own: side(own, params), fill_forward=True)
    return on_change(sides, view)


def side(close: Floats, params: MeanReversionParams) -> Floats:
    """Return 1 from ``enter`` deviations below the average to ``leave`` below it; (K,)."""
    distance = deviations(close, params.lookback)
    long = held(distance < -params.enter, distance >= -params.leave)
    if not params.short:
        return long
    return long - held(distance > params.enter, distance <= params.leave)


def deviations(close: Floats, length: int) -> Floats:
    """Return (close - mean) / std (ddof 1) over the window; nan where it is flat or short; (K,)."""
    mean = rolling(close, length, lambda window: window.mean(axis=1))
    spread = rolling(close, length, lambda window: window.std(axis=1, ddof=1))
    flat = ~(spread > metrics.FLAT * np.abs(mean))
    return np.where(flat, np.nan, (close - mean) / np.where(flat, 1.0, spread))


STRATEGY = Strategy(
    title="Buy what fell far below its average, sell when it is back.",
    params=MeanReversionParams,
    warmup=lambda params: params.lookback,
    decide=decide,
)
