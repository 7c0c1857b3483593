"""Hold fixed parts of equity, such as 60/40, restored at the start of each period.

Perold and Sharpe 1988, "Dynamic Strategies for Asset Allocation": the constant mix.
"""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import AfterValidator, Field

from runtimes.engine.arrays import Targets
from runtimes.part import Finite
from runtimes.strategies.base import Strategy, StrategyParams, View, targets
from runtimes.strategies.timing import Timing, decisions
from runtimes.words import SymbolText


def _sorted(weights: dict[str, float]) -> dict[str, float]:
    """Return the weights by symbol: their order means nothing and is not hashed."""
    return dict(sorted(weights.items()))


class TargetWeightsParams(StrategyParams):
    """``weights`` are parts of equity by symbol, short below 0; whoever is not named weighs 0."""

    weights: Annotated[
        dict[SymbolText, Annotated[Finite, Field(ge=-100, le=100)]],
        Field(min_length=1, max_length=5_000),
        AfterValidator(_sorted),
    ]
    rebalance: Timing = "quarterly"


def decide(view: View, params: TargetWeightsParams) -> Targets:
    """Return the weights at each decision; a symbol that has no bar yet waits in cash."""
    wanted = np.array([params.weights.get(symbol, 0.0) for symbol in view.symbols])
    rows = decisions(view, params.rebalance)
    return targets(rows, np.where(view.begun[rows], wanted, 0.0))


STRATEGY = Strategy(
    title="Hold fixed parts of equity, restored each period.",
    params=TargetWeightsParams,
    warmup=lambda params: 1,
    decide=decide,
    symbols=lambda params: tuple(params.weights),
)
