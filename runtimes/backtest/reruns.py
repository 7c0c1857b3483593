"""A run of target weights again: on another market, with other costs, or with a later hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from runtimes.backtest.audit import Seen, Trace, filled, traced
from runtimes.backtest.bars import Window
from runtimes.engine import params
from runtimes.engine.arrays import Targets
from runtimes.engine.results import Result
from runtimes.engine.simulation import Simulation
from runtimes.specs.backtest import BacktestSpec
from runtimes.strategies.base import Strategy, plan


@dataclass(frozen=True, slots=True)
class Begun:
    """What the whole run decided, and how it is traded with other costs and a later hand."""

    decisions: Trace
    trade: Callable[[float, int], Result]


@dataclass(frozen=True, slots=True)
class Reruns:
    """Does the work of ``spec`` again, in memory and without a latch: nothing is recorded."""

    spec: BacktestSpec
    strategy: Strategy

    def decide(self, window: Window) -> Targets:
        """Return the decisions over ``window``."""
        return plan(self.strategy, self.spec.strategy.params, window.view)

    def trade(
        self,
        window: Window,
        targets: Targets,
        *,
        bars: int | None = None,
        cost_scale: float = 1.0,
        delay: int = 0,
    ) -> Result:
        """Return what ``targets`` come to over the first ``bars`` traded bars, None for all.

        Fees and slippage are multiplied by ``cost_scale``; decisions reach the market ``delay``
        bars later than the spec says.
        """
        rules = {**self.spec.rules(), "cost_scale": cost_scale}
        rules["lag"] = rules.get("lag", 1) + delay
        simulation = Simulation(
            window.market,
            window.symbols,
            targets,
            params.make(**rules),
            conditions=window.conditions,
            first=window.first,
        )
        wanted = simulation.total if bars is None else min(bars, simulation.total)
        while simulation.current < wanted:
            simulation.advance(wanted - simulation.current)
        return simulation.result()

    def begun(self, window: Window) -> Begun:
        """Decide over the whole window, once for all repetitions."""
        targets = self.decide(window)

        def trade(factor: float, delay: int) -> Result:
            return self.trade(window, targets, cost_scale=factor, delay=delay)

        return Begun(traced(targets), trade)

    def see(self, window: Window, bars: int) -> Seen:
        """Decide and trade over ``window``, as far as ``bars`` traded bars."""
        targets = self.decide(window)
        return Seen(traced(targets), filled(self.trade(window, targets, bars=bars).fills))
