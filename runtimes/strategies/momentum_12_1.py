"""Hold the symbols that rose most over a year, its last month left out.

Jegadeesh 1990 found that the last month reverses; twelve months less one are the momentum factor of
Fama and French's library and of Asness, Moskowitz and Pedersen 2013, "Value and Momentum
Everywhere". The long side.
"""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from runtimes.engine.arrays import Targets
from runtimes.part import Integer
from runtimes.strategies.base import (
    Strategy,
    StrategyParams,
    View,
    on_own_bars,
    starts_of_period,
    targets,
    top_parts,
)
from runtimes.strategies.equal_weight import Rebalance
from runtimes.strategies.momentum import trailing_return


class Momentum121Params(StrategyParams):
    """``lookback`` and, of it, ``skip`` in a symbol's own bars; ``top`` symbols are held."""

    lookback: Annotated[Integer, Field(ge=2, le=100_000)] = 252
    skip: Annotated[Integer, Field(ge=1, le=100_000)] = 21
    top: Annotated[Integer, Field(ge=1, le=10_000)] = 3
    rebalance: Rebalance = "monthly"

    @model_validator(mode="after")
    def _skip_within_lookback(self) -> Self:
        if self.skip >= self.lookback:
            raise PydanticCustomError("range", "skip must be below lookback.")
        return self


def decide(view: View, params: Momentum121Params) -> Targets:
    """Return 1/top for each of the ``top`` highest returns from a year to a month ago."""
    rows = starts_of_period(view.market.timestamps, params.rebalance, first=view.first)
    scores = on_own_bars(view.close, lambda own: trailing_return(own, params.lookback, params.skip))
    return targets(rows, top_parts(view.of_members(scores)[rows], params.top))


STRATEGY = Strategy(
    title="Hold the symbols that rose most over a year, its last month left out.",
    params=Momentum121Params,
    warmup=lambda params: params.lookback + 1,
    decide=decide,
)
