"""Hold what a column of a lake table ranks highest (or lowest): what models and agents write.

The table is read at one snapshot, which belongs to the run's identity; a value counts from the
moment it was known.
"""

from __future__ import annotations

from runtimes.engine.arrays import Floats, Targets
from runtimes.strategies import signals, weighting
from runtimes.strategies.base import Strategy, View
from runtimes.strategies.ranked import RankedParams, held


class SignalTableParams(RankedParams, signals.TableColumn):
    """Which column of which table; then whom it holds, how much of each, and when."""


def decide(view: View, params: SignalTableParams) -> Targets:
    """Return the weights at each decision.

    A symbol keeps its last known value until a later row or ``max_age_days``; a row without a
    value (null, NaN, an infinity) says that there is none, and a symbol without rows has none.
    """
    return held(signal(view, params), view, params)


def signal(view: View, params: SignalTableParams) -> Floats:
    """Return what symbols are ranked by (T, N)."""
    return signals.evaluate(params, view)


STRATEGY = Strategy(
    title="Rank by a column of a lake table, and hold the ends.",
    params=SignalTableParams,
    warmup=lambda params: weighting.lookback(params.weights) + 1,
    decide=decide,
    inputs=lambda params: (params.reading,),
    signal=signal,
)
