"""Hold a symbol while its fast simple moving average is above the slow one.

Brock, Lakonishok and LeBaron 1992, "Simple Technical Trading Rules and the Stochastic Properties of
Stock Returns": the variable-length moving average, the long side, without a band.
"""

from __future__ import annotations

from functools import partial
from typing import Annotated, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from runtimes.engine.arrays import Floats, Targets
from runtimes.part import Integer
from runtimes.strategies.base import (
    Flags,
    Strategy,
    StrategyParams,
    View,
    carried,
    on_change,
    on_own_bars,
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
    if view.shared is None:
        sides: Floats | Flags = on_own_bars(
            view.close, partial(crossed, fast=params.fast, slow=params.slow)
        )
    else:
        fast, slow = (
            view.windowed("mean", length, partial(moving_average, length=length))
            for length in (params.fast, params.slow)
        )
        sides = fast > slow
    return on_change(carried(sides, view.close), view)


def moving_average(close: Floats, length: int) -> Floats:
    """Return the mean of the last ``length`` closes, nan before there are that many; (K,).

    `runtimes.engine.rolling.mean`, loaded here: who only reads parameters needs no compiler.
    """
    from runtimes.engine.rolling import mean

    return mean(close, length)


def crossed(close: Floats, fast: int, slow: int) -> Flags:
    """Tell where the ``fast`` `moving_average` is above the ``slow`` one; (K,)."""
    from runtimes.engine.rolling import above

    return above(close, fast, slow)


STRATEGY = Strategy(
    title="Hold a symbol while its fast moving average is above the slow one.",
    params=SmaCrossParams,
    warmup=lambda params: params.slow,
    decide=decide,
)
