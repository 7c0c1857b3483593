"""Hold every symbol with the same part of the risk.

Maillard, Roncalli and Teiletche 2010, "The Properties of Equally Weighted Risk Contribution
Portfolios".
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from runtimes.engine.arrays import Targets
from runtimes.part import Integer
from runtimes.strategies.allocation import by_covariance, equal_risk
from runtimes.strategies.base import Strategy, StrategyParams, View, starts_of_period, targets
from runtimes.strategies.equal_weight import Rebalance


class RiskParityParams(StrategyParams):
    """``lookback`` bars of returns; keep it well above the number of symbols."""

    lookback: Annotated[Integer, Field(ge=2, le=100_000)] = 252
    rebalance: Rebalance = "monthly"


def decide(view: View, params: RiskParityParams) -> Targets:
    """Return the weights at each period's first bar, over the symbols with a whole look-back."""
    rows = starts_of_period(view.market.timestamps, params.rebalance, first=view.first)
    return targets(rows, by_covariance(view, rows, params.lookback, equal_risk))


STRATEGY = Strategy(
    title="Hold every symbol with the same part of the risk.",
    params=RiskParityParams,
    warmup=lambda params: params.lookback + 1,
    decide=decide,
)
