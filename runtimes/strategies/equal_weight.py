"""Hold every listed symbol in equal parts, restored at the start of each period.

DeMiguel, Garlappi and Uppal 2009, "Optimal Versus Naive Diversification: How Inefficient is the 1/N
Portfolio Strategy?".
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from runtimes.engine.arrays import Targets
from runtimes.strategies.base import Strategy, StrategyParams, View, starts_of_period, targets

Rebalance = Literal["daily", "weekly", "monthly", "quarterly"]


class EqualWeightParams(StrategyParams):
    """How often the weights are restored."""

    rebalance: Rebalance = "monthly"


def decide(view: View, params: EqualWeightParams) -> Targets:
    """Return equal weights over the symbols that have a bar, at each period's first bar."""
    rows = starts_of_period(view.market.timestamps, params.rebalance, first=view.first)
    chosen = view.eligible[rows]
    count = np.maximum(chosen.sum(axis=1, keepdims=True), 1)
    return targets(rows, chosen / count)


STRATEGY = Strategy(
    title="Hold every listed symbol in equal parts, restored each period.",
    params=EqualWeightParams,
    warmup=lambda params: 1,
    decide=decide,
)
