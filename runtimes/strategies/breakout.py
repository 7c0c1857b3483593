"""Buy a new high, leave at a lower low: Donchian's channel.

Donchian 1960, "High Finance in Copper"; the lengths 20 and 10 are those of the Turtles' first
system (Faith 2007, "Way of the Turtle").
"""

from __future__ import annotations

from typing import Annotated, Self

import numpy as np
from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from runtimes.engine.arrays import Floats, Market, Targets
from runtimes.part import Integer
from runtimes.strategies.base import (
    Strategy,
    StrategyParams,
    View,
    held,
    on_change,
    on_own_market,
    rolling,
)

Length = Annotated[Integer, Field(ge=1, le=100_000)]


class BreakoutParams(StrategyParams):
    """Channel lengths in a symbol's own bars, ``leave`` at most ``enter``; ``short`` the mirror."""

    enter: Length = 20
    leave: Length = 10
    short: bool = False

    @model_validator(mode="after")
    def _leave_within_enter(self) -> Self:
        if self.leave > self.enter:
            raise PydanticCustomError("range", "leave must not be above enter.")
        return self


def decide(view: View, params: BreakoutParams) -> Targets:
    """Return 1/N (short -1/N) for each symbol beyond its channel, at every change of sides."""
    sides = on_own_market(view.market, lambda own: side(own, params), fill_forward=True)
    return on_change(sides, view)


def side(own: Market, params: BreakoutParams) -> Floats:
    """Return 1 from a close above the earlier highs to one below the earlier lows; (K,).

    The bar itself does not belong to its channel. With ``short`` -1 for the mirror image.
    """
    close = own.close
    long = held(close > highest(own.high, params.enter), close < lowest(own.low, params.leave))
    if not params.short:
        return long
    return long - held(
        close < lowest(own.low, params.enter), close > highest(own.high, params.leave)
    )


def highest(high: Floats, length: int) -> Floats:
    """Return the highest of the ``length`` highs before each bar, nan before there are; (K,)."""
    return _before(rolling(high, length, lambda window: window.max(axis=1)))


def lowest(low: Floats, length: int) -> Floats:
    """Return the lowest of the ``length`` lows before each bar, nan before there are; (K,)."""
    return _before(rolling(low, length, lambda window: window.min(axis=1)))


def _before(values: Floats) -> Floats:
    return np.concatenate([[np.nan], values[:-1]])


STRATEGY = Strategy(
    title="Buy a new high of the channel, leave at a lower low.",
    params=BreakoutParams,
    warmup=lambda params: params.enter + 1,
    decide=decide,
)
