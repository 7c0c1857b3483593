"""A job's simulation: by the standard rules or Lean's, of target weights or of a script."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import numpy as np

from lakehouse.nursery import Nursery
from runtimes.backtest.job import BAR, LATCH, Job
from runtimes.backtest.lean import Decided, account_of
from runtimes.engine import params
from runtimes.engine.arrays import CHUNK, DONE, Ints, Targets
from runtimes.engine.arrays import LATCH as LATCHED
from runtimes.engine.desk import Desk
from runtimes.engine.errors import StrategyError
from runtimes.engine.lean.data import LeanData
from runtimes.engine.lean.running import lean_desk
from runtimes.engine.results import Result
from runtimes.engine.script import Account, OrderEvent, Script
from runtimes.engine.scripting import play
from runtimes.engine.simulation import Simulation, drive
from runtimes.sandbox.keeper import Cell, Guest
from runtimes.sandbox.source import scan
from runtimes.specs.backtest import BacktestSpec
from runtimes.strategies.base import Strategy, View, plan
from topology.errors import AlphaSwarmError
from topology.frames import Progress

NOTED = ("order", "update", "cancel", "target")
WEIGHTS = "weights"
"""What a call of target weights is noted as; its arguments are the weights themselves."""


class ReachedError(AlphaSwarmError):
    """The bar was reached before which the job ends."""


class Watched(Script):
    """A script whose bar is written down before its code runs."""

    def __init__(self, script: Script, words: Ints, until: int | None) -> None:
        self._script, self._words, self._until = script, words, until

    def on_start(self, account: Account) -> None:
        """Let it prepare."""
        self._script.on_start(account)

    def on_bar(self, account: Account) -> None:
        """Let it decide."""
        self._note(account)
        self._script.on_bar(account)

    def on_order(self, account: Account, event: OrderEvent) -> None:
        """Let it hear."""
        self._note(account)
        self._script.on_order(account, event)

    def _note(self, account: Account) -> None:
        bar = account.bar
        if bar == self._until:
            raise ReachedError("The bar before which this run ends.")
        self._words[BAR] = bar


class Act:
    """One job and how far it came."""

    def __init__(self, job: Job, words: Ints, cells: Nursery) -> None:
        self._job, self._words, self._cells = job, words, cells
        self._spec = BacktestSpec.model_validate(dict(job.body))
        self._simulation: Simulation | None = None
        self._desk: Desk | None = None
        self.calls: list[Any] = []

    def play(self, progress: Progress) -> None:
        """Simulate to the end; what the strategy does wrong is raised."""
        strategy = self._spec.strategy.member
        with contextlib.ExitStack() as self._ending:
            if self._job.lean is None:
                self._play_standard(strategy, progress)
            else:
                self._play_lean(strategy, self._job.lean, progress)

    def result(self) -> Result | None:
        """Return what there is up to the bar that was reached, None where nothing is."""
        if self._simulation is None:
            return None
        while self._desk and (behind := self._desk.now - self._simulation.bar) > 0:
            status = self._simulation.advance(behind)
            if status == LATCHED:
                self._simulation.calmed()  # whoever pressed it waits for this
            elif status not in (CHUNK, DONE):
                break
        return self._simulation.result() if self._simulation.current else None

    def _play_standard(self, strategy: Any, progress: Progress) -> None:
        job, spec = self._job, self._spec
        if job.market is None:
            raise StrategyError("There are no bars.")
        view = View(job.market, job.first, job.member, job.panels, job.symbols)
        weights = isinstance(strategy, Strategy)
        targets = Targets(np.zeros(0, np.int64), np.zeros((0, len(job.symbols))))
        if weights:
            targets = plan(strategy, spec.strategy.params, view)
            self._note(targets)
        simulation = self._simulation = Simulation(
            job.market,
            job.symbols,
            targets,
            params.make(**{**spec.rules(), **job.again}),
            conditions=job.conditions,
            first=job.first,
            latch=self._words[LATCH : LATCH + 1],
            adjust=spec.data.adjust,
            raw=job.unadjusted,
            warmup=spec.warmup,
        )
        if weights:
            drive(simulation, progress)
        else:
            script = self._script(strategy, view, progress)
            self._play(script, Desk(simulation, progress), progress)

    def _play_lean(self, strategy: Any, data: LeanData, progress: Progress) -> None:
        spec = self._spec
        desk, simulation = lean_desk(
            data,
            account_of(spec),
            start=spec.data.start,
            progress=progress,
            latch=self._words[LATCH : LATCH + 1],
        )
        self._simulation = simulation
        view = View(simulation.market, simulation.first, symbols=simulation.symbols)
        if isinstance(strategy, Strategy):
            decided = plan(strategy, spec.strategy.params, view)
            script: Script = Decided(decided, simulation.symbols, first=simulation.first)
        else:
            script = self._script(strategy, view, progress)
        self._play(script, desk, progress)

    def _script(self, strategy: Any, view: View, progress: Progress) -> Script:
        """Return a new script of ``strategy``: an object here, or one that calls into a cell."""
        code = self._spec.strategy.code
        if code is None:
            return _built(strategy, self._spec, view)
        guest = Guest(
            code,
            scan(code).name,
            self._spec.strategy.params.model_dump(mode="json"),
            seed=self._spec.seed,
            memory_mb=self._job.memory_mb,
            cpu_s=self._job.cpu_s,
        )
        cell = self._ending.enter_context(Cell(self._cells, progress))
        return cell.admit(guest, view.market, view.symbols, view.first)

    def _play(self, script: Script, desk: Desk, progress: Progress) -> None:
        if self._simulation is None:
            raise StrategyError("There is nothing to play.")
        self._desk = desk
        if self._job.noted:
            for name in NOTED:
                setattr(desk, name, self._noting(desk, name))
        watched = Watched(script, self._words, self._job.until)
        play(watched, self._simulation, progress, desk=desk)

    def _note(self, targets: Targets) -> None:
        if self._job.noted:
            rows = zip(targets.rows.tolist(), targets.weights.tolist(), strict=True)
            self.calls = [[row - self._job.first, WEIGHTS, weights] for row, weights in rows]

    def _noting(self, desk: Desk, name: str) -> Callable[..., Any]:
        done = getattr(desk, name)

        def call(*given: Any, **named: Any) -> Any:
            self.calls.append([desk.now - desk.first, name, repr((given, sorted(named.items())))])
            return done(*given, **named)

        return call


def _built(strategy: Any, spec: BacktestSpec, view: View) -> Script:
    try:
        script: Script = strategy.build(spec.strategy.params, view)
    except AlphaSwarmError:
        raise
    except Exception as error:
        raise StrategyError(
            f"The strategy cannot be built: {type(error).__name__}.",
            hint="Check its parameters against the data.",
            error=str(error)[:200],
        ) from error
    if not isinstance(script, Script):
        raise StrategyError(
            f"The strategy built a {type(script).__name__}, no Script.",
            hint="Return an instance of runtimes.engine.script.Script from build.",
        )
    return script
