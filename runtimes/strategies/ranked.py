"""A signal to weights: whom it holds, how much of each, and when it decides anew."""

from __future__ import annotations

from runtimes.engine.arrays import Floats, Targets
from runtimes.strategies.base import StrategyParams, View, targets
from runtimes.strategies.ranking import Rank
from runtimes.strategies.timing import Timing, decisions
from runtimes.strategies.weighting import Equal, Weighting


class RankedParams(StrategyParams):
    """What every strategy of this shape takes beside its signal."""

    rank: Rank
    weights: Weighting = Equal()
    rebalance: Timing = "monthly"


def held(signal: Floats, view: View, params: RankedParams) -> Targets:
    """Return the decisions of a signal (T, N), nan for symbols that cannot be held.

    Places that nobody fills stay in cash; equal signals rank by symbol.
    """
    rows = decisions(view, params.rebalance)
    chosen = signal[rows]
    sides = params.rank.sides(chosen)
    found = params.weights.of(sides, chosen, view, rows, places=params.rank.places)
    return targets(rows, found)
