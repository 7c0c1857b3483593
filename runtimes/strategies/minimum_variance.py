"""Hold the weights of least variance, long only.

Markowitz 1952, "Portfolio Selection"; Clarke, de Silva and Thorley 2006, "Minimum-Variance
Portfolios in the U.S. Equity Market".
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from runtimes.engine.arrays import Targets
from runtimes.part import Integer
from runtimes.strategies.allocation import by_covariance, minimum_variance
from runtimes.strategies.base import Strategy, StrategyParams, View, starts_of_period, targets
from runtimes.strategies.equal_weight import Rebalance


class MinimumVarianceParams(StrategyParams):
    """``lookback`` bars of returns; keep it well above the number of symbols."""

    lookback: Annotated[Integer, Field(ge=2, le=100_000)] = 252
    rebalance: Rebalance = "monthly"


def decide(view: View, params: MinimumVarianceParams) -> Targets:
    """Return the weights at each period's first bar, over the symbols with a whole look-back."""
    rows = starts_of_period(view.market.timestamps, params.rebalance, first=view.first)
    return targets(rows, by_covariance(view, rows, params.lookback, minimum_variance))


STRATEGY = Strategy(
    title="Hold the weights of least variance, long only.",
    params=MinimumVarianceParams,
    warmup=lambda params: params.lookback + 1,
    decide=decide,
)
