"""Hold the symbols that rose most over the look-back, in equal parts.

Jegadeesh and Titman 1993, "Returns to Buying Winners and Selling Losers", the long side.
"""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import Field

from runtimes.engine.arrays import Floats, Targets
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


class MomentumParams(StrategyParams):
    """``lookback`` in a symbol's own bars; ``top`` symbols are held."""

    lookback: Annotated[Integer, Field(ge=1, le=100_000)] = 126
    top: Annotated[Integer, Field(ge=1, le=10_000)] = 3
    rebalance: Rebalance = "monthly"


def decide(view: View, params: MomentumParams) -> Targets:
    """Return 1/top for each of the ``top`` highest returns over ``lookback`` bars.

    A symbol without a bar, or listed for too short a time, is skipped by the ranking; a place that
    nobody fills stays in cash. Equal returns rank by symbol.
    """
    rows = starts_of_period(view.market.timestamps, params.rebalance, first=view.first)
    scores = on_own_bars(view.close, lambda own: trailing_return(own, params.lookback))
    return targets(rows, top_parts(view.of_members(scores)[rows], params.top))


def trailing_return(close: Floats, lookback: int, skip: int = 0) -> Floats:
    """Return close[t - skip] / close[t - lookback] - 1, nan for the first ``lookback``; (K,)."""
    out = np.full(close.shape, np.nan)
    recent = close[lookback - skip : close.size - skip]
    out[lookback:] = recent / close[: recent.size] - 1.0
    return out


STRATEGY = Strategy(
    title="Hold the symbols that rose most over the look-back.",
    params=MomentumParams,
    warmup=lambda params: params.lookback + 1,
    decide=decide,
)
