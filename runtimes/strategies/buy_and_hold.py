"""Buy every listed symbol once, in equal parts, and hold.

Perold and Sharpe 1988, "Dynamic Strategies for Asset Allocation", the strategy that never trades.
"""

from __future__ import annotations

import numpy as np

from runtimes.engine.arrays import Targets
from runtimes.strategies.base import Strategy, StrategyParams, View, targets


class BuyAndHoldParams(StrategyParams):
    """No parameters."""


def decide(view: View, params: BuyAndHoldParams) -> Targets:
    """Return one decision: equal weights at the first bar that any symbol has.

    A symbol that lists later is never bought; the engine's ``late_listing`` warning names it.
    """
    present = view.eligible[view.first :]
    bars = np.flatnonzero(present.any(axis=1))[:1]
    chosen = present[bars]
    count = np.maximum(chosen.sum(axis=1, keepdims=True), 1)
    return targets(bars + view.first, chosen / count)


STRATEGY = Strategy(
    title="Buy every listed symbol once, in equal parts, and hold.",
    params=BuyAndHoldParams,
    warmup=lambda params: 1,
    decide=decide,
)
