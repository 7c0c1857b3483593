"""Ask a strategy of weights for its decision at one close, as paper trading does."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from runtimes.engine.arrays import Floats, Market
from runtimes.strategies.base import Strategy, StrategyParams, View, plan


def decision(
    strategy: Strategy, params: StrategyParams, *, first: int, symbols: Sequence[str]
) -> Callable[[Market], Floats | None]:
    """Return a function from the bars up to a close (T, N) to the weights (N,) decided there.

    None where nothing was decided. ``first`` is the first bar that is traded. The strategy looks at
    all bars again, so a call costs what a plan does; that a past decision never changes is what
    makes this the plan of a backtest.
    """

    def at_the_close(market: Market) -> Floats | None:
        told = plan(strategy, params, View(market, first, symbols=tuple(symbols)))
        now = market.timestamps.size - 1
        return told.weights[-1] if told.rows.size and told.rows[-1] == now else None

    return at_the_close
