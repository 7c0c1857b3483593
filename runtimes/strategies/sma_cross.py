"""Hold a symbol while its fast simple moving average is above the slow one."""

from __future__ import annotations

from typing import Annotated, Self

import numpy as np
from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from runtimes.engine.arrays import Floats, Targets
from runtimes.part import Integer
from runtimes.strategies.base import (
    Strategy,
    StrategyParams,
    View,
    on_change,
    on_own_bars,
    rolling,
)


class SmaCrossParams(StrategyParams):
    """Lengths of both averages in a symbol's own bars; ``fast`` below ``slow``."""

    fast: Annotated[Integer, Field(ge=1, le=100_000)] = 20
    slow: Annotated[Integer, Field(ge=2, le=100_000)] = 50

    @model_validator(mode="after")
    def _fast_below_slow(self) -> Self:
        if self.fast >= self.slow:
            raise PydanticCustomError("range", "fast must be below slow.")
        return self


def decide(view: View, params: SmaCrossParams) -> Targets:
    """Return 1/N for each symbol whose fast average is above its slow one, else 0.

    A decision falls at ``first`` and wherever a symbol changes sides; it restores all weights.
    Where a symbol has no bar it keeps its side.
    """
    sides = on_own_bars(view.close, lambda own: side(own, params), fill_forward=True)
    return on_change(sides, view)


def side(close: Floats, params: SmaCrossParams) -> Floats:
    """Return 1 where the fast average is above the slow one, else 0; (K,)."""
    fast, slow = (moving_average(close, length) for length in (params.fast, params.slow))
    return (fast > slow).astype(np.float64)


def moving_average(close: Floats, length: int) -> Floats:
    """Return the mean of the last ``length`` closes, nan before there are that many; (K,)."""
    return rolling(close, length, lambda window: window.mean(axis=1))


STRATEGY = Strategy(
    title="Hold a symbol while its fast moving average is above the slow one.",
    params=SmaCrossParams,
    warmup=lambda params: params.slow,
    decide=decide,
)
