"""How one backtest is played: in this process, or where a strategy's code runs, in one of its own.

Ours that decide weights are played here. Scripts, what installed packages bring, and everything by
Lean's rules (a script's way with orders) are played apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from lakehouse.lake import Lake
from runtimes.backtest import bars, factoring, lean_bars
from runtimes.backtest.job import Job
from runtimes.backtest.lean import rates_of
from runtimes.backtest.measuring import LeanFacts
from runtimes.backtest.outside import Played, Theatre
from runtimes.engine import params
from runtimes.engine.arrays import Floats, Ints
from runtimes.engine.lean.data import LeanData, prepared
from runtimes.engine.lean.sampling import midnight
from runtimes.engine.results import Result
from runtimes.engine.simulation import Simulation, drive
from runtimes.specs.backtest import BacktestSpec
from runtimes.strategies import STRATEGIES
from runtimes.strategies.base import Strategy, plan
from topology.frames import Progress
from topology.latch import CHANGES_WORD
from topology.sections import StrategyLimits


@dataclass(frozen=True, slots=True)
class Ground:
    """What the lake holds for a run: its bars, and by Lean's rules what Lean would have read."""

    window: bars.Window
    data: LeanData | None = None
    facts: LeanFacts | None = None


class Play(Protocol):
    """A backtest that is played once; what it has come to can be asked for at any time."""

    def play(self, progress: Progress) -> None:
        """Play to the end, or raise what ended it."""

    def result(self) -> Result | None:
        """Return the records so far, None where nothing was simulated."""


def apart(spec: BacktestSpec) -> bool:
    """Tell whether the strategy's code runs in a process of its own."""
    ours = STRATEGIES.origin(spec.strategy.name) is None
    return spec.execution.by_lean or not (ours and isinstance(spec.strategy.member, Strategy))


def ground(lake: Lake, spec: BacktestSpec, *, snapshot_ids: Mapping[str, str]) -> Ground:
    """Read what a run needs, as of ``snapshot_ids``."""
    if not spec.execution.by_lean:
        return Ground(bars.window(lake, spec, snapshot_ids=snapshot_ids))
    found = lean_bars.window(lake, spec, snapshot_ids=snapshot_ids)
    market = prepared(found.data).market
    first = int(np.searchsorted(market.timestamps, midnight(spec.data.start)))
    window = bars.Window(
        market,
        tuple(found.data.symbols),
        first,
        None if spec.benchmark is None else _known(market.timestamps, *found.benchmark),
        unadjusted=found.unadjusted,
        factors=factoring.load(lake, spec, market.timestamps, snapshot_ids=snapshot_ids),
    )
    days = spec.execution.lean.trading_days
    return Ground(window, found.data, LeanFacts(found.benchmark, rates_of(spec), days))


def job(spec: BacktestSpec, on: Ground, *, limits: StrategyLimits, **more: Any) -> Job:
    """Return what a process of its own needs to play ``spec``; ``more`` are fields of `Job`."""
    window, memory_mb, cpu_s = on.window, limits.memory_mb, limits.cpu_s
    if on.data is not None:
        return Job(spec.body(), memory_mb, cpu_s=cpu_s, lean=on.data, **more)
    return Job(
        spec.body(),
        memory_mb,
        cpu_s=cpu_s,
        market=window.market,
        symbols=window.symbols,
        first=window.first,
        conditions=window.conditions,
        member=window.member,
        panels=window.panels,
        unadjusted=window.unadjusted,
        **more,
    )


def staged(spec: BacktestSpec, on: Ground, *, latch: Ints, limits: StrategyLimits) -> Play:
    """Return the play of ``spec``, before its first bar; ``latch`` are the words of the latch."""
    if not apart(spec):
        return Here(simulate(spec, on.window, latch))
    times = on.window.market.timestamps[on.window.first :]
    return Apart(Theatre(job(spec, on, limits=limits), limits, times=times))


class Here:
    """A play in this process."""

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation

    def play(self, progress: Progress) -> None:
        """Simulate to the end."""
        drive(self._simulation, progress)

    def result(self) -> Result | None:
        """Return the records so far."""
        return self._simulation.result() if self._simulation.current else None


class Apart:
    """A play in a process of its own."""

    def __init__(self, theatre: Theatre) -> None:
        self._theatre = theatre

    def play(self, progress: Progress) -> None:
        """Follow the process to its end; what the strategy did wrong is raised."""
        error = self._theatre.play(progress).error
        if error is not None:
            raise error

    def result(self) -> Result | None:
        """Return what the process handed over."""
        return None if self._theatre.played is None else self._theatre.played.result


def simulate(spec: BacktestSpec, window: bars.Window, latch: Ints) -> Simulation:
    """Return a simulation that stands before its first bar and watches the words of ``latch``."""
    strategy = STRATEGIES.weights(spec.strategy.name)
    return Simulation(
        window.market,
        window.symbols,
        plan(strategy, spec.strategy.params, window.view),
        params.make(**spec.rules()),
        conditions=window.conditions,
        first=window.first,
        latch=latch[CHANGES_WORD : CHANGES_WORD + 1],
        adjust=spec.data.adjust,
        raw=window.unadjusted,
        warmup=spec.warmup,
    )


def again(
    spec: BacktestSpec,
    on: Ground,
    progress: Progress,
    *,
    limits: StrategyLimits,
    cost_scale: float = 1.0,
    delay: int = 0,
) -> Played:
    """Play a script once more, with every call that it made to its desk: (bar, name, arguments).

    Costs are multiplied by ``cost_scale``; orders meet the market ``delay`` bars later.
    """
    lag = spec.rules().get("lag", 1) + delay
    changed = {"cost_scale": cost_scale, "lag": lag}
    asked = job(spec, on, limits=limits, again=changed, noted=True)
    times = on.window.market.timestamps[on.window.first :]
    return Theatre(asked, limits, times=times).play(progress)


def _known(times: Ints, ends: Ints, closes: Floats) -> Floats:
    """Return the last close that had ended at each of ``times``, NaN before the first."""
    place = np.searchsorted(ends, times, side="right") - 1
    return np.where(place >= 0, closes[np.maximum(place, 0)], np.nan)
