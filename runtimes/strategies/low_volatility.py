"""Hold the symbols that moved least, in equal parts.

Blitz and van Vliet 2007, "The Volatility Effect: Lower Risk without Lower Return".
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
    rolling,
    starts_of_period,
    targets,
    top_parts,
)
from runtimes.strategies.equal_weight import Rebalance


class LowVolatilityParams(StrategyParams):
    """``lookback`` returns of a symbol's own bars; ``top`` symbols are held."""

    lookback: Annotated[Integer, Field(ge=2, le=100_000)] = 126
    top: Annotated[Integer, Field(ge=1, le=10_000)] = 3
    rebalance: Rebalance = "monthly"


def decide(view: View, params: LowVolatilityParams) -> Targets:
    """Return 1/top for each of the ``top`` lowest volatilities; equal ones rank by symbol."""
    rows = starts_of_period(view.market.timestamps, params.rebalance, first=view.first)
    spread = on_own_bars(view.close, lambda own: volatility(own, params.lookback))
    return targets(rows, top_parts(-view.of_members(spread)[rows], params.top))


def volatility(close: Floats, length: int) -> Floats:
    """Return the deviation (ddof 1) of the last ``length`` returns, nan before there are; (K,)."""
    returns = np.concatenate([[np.nan], np.diff(close) / close[:-1]])
    return rolling(returns, length, lambda window: window.std(axis=1, ddof=1))


STRATEGY = Strategy(
    title="Hold the symbols that moved least.",
    params=LowVolatilityParams,
    warmup=lambda params: params.lookback + 1,
    decide=decide,
)
