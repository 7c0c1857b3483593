"""Hold what an expression over the bars ranks highest (or lowest), in the language of features.

The language is Qlib's (`lakehouse.features`); an expression that refers to later bars is refused
where it stands. Nothing of it is ever run as code.
"""

from __future__ import annotations

from runtimes.engine.arrays import Floats, Targets
from runtimes.strategies import signals, weighting
from runtimes.strategies.base import Strategy, View
from runtimes.strategies.ranked import RankedParams, held


class ExpressionParams(RankedParams):
    """``signal`` is an expression; then whom it holds, how much of each, and when."""

    signal: signals.Expression


def decide(view: View, params: ExpressionParams) -> Targets:
    """Return the weights at each decision."""
    return held(signal(view, params), view, params)


def signal(view: View, params: ExpressionParams) -> Floats:
    """Return what symbols are ranked by (T, N)."""
    return signals.evaluate(params.signal, view)


STRATEGY = Strategy(
    title="Rank by an expression over the bars, and hold the ends.",
    params=ExpressionParams,
    warmup=lambda params: max(
        signals.needed(params.signal), weighting.lookback(params.weights) + 1
    ),
    decide=decide,
    signal=signal,
    symbols=lambda params: signals.symbols(params.signal),
)
