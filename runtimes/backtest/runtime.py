"""One backtest: the spec by its hash, pinned snapshots, the engine, gold tables, honest digests."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from ledger import specs
from runtimes.backtest import bars, measuring, record, trials
from runtimes.base import Outcome, Runtime, refuse_divergence
from runtimes.context import RunContext
from runtimes.engine import params
from runtimes.engine.arrays import Ints
from runtimes.engine.identity import identity
from runtimes.engine.simulation import Simulation, drive
from runtimes.specs.backtest import BacktestSpec
from runtimes.strategies import STRATEGIES
from runtimes.strategies.base import plan
from topology.canonical import sha256
from topology.errors import FaultError
from topology.latch import CHANGES_WORD


class BacktestRuntime(Runtime):
    """Serves one attempt; what the simulation has reached is kept when a halt stops it."""

    kind: ClassVar[str] = "backtest"

    def __init__(self) -> None:
        self._reached: tuple[BacktestSpec, bars.Window, Simulation] | None = None
        self._trials: trials.TrialsRun | None = None

    def work(self, context: RunContext) -> Outcome:
        """Simulate the run's spec, check the digest against earlier runs, append the result."""
        spec = load(context)
        lake, snapshot_ids = context.workshop.lake, pin(context, spec)
        if spec.has_trials:
            self._trials = trials.TrialsRun(spec)
            return self._trials.work(context, snapshot_ids)
        window = context.attend(lambda: bars.window(lake, spec, snapshot_ids=snapshot_ids))
        latch = np.frombuffer(context.latch().words(), dtype=np.int64)
        simulation = context.attend(lambda: simulate(spec, window, latch))
        self._reached = (spec, window, simulation)
        drive(simulation, context)
        context.checkpoint()
        return self._outcome(context)

    def salvage(self, context: RunContext) -> Outcome | None:
        """Append the bars simulated or the trials done so far; statistics say ``partial``."""
        if self._trials is not None:
            return self._trials.salvage(context)
        if self._reached is None or not self._reached[2].current:
            return None
        return self._outcome(context, partial=True)

    def _outcome(self, context: RunContext, *, partial: bool = False) -> Outcome:
        if self._reached is None:
            raise FaultError("A result was asked for before there was a simulation.")
        spec, window, simulation = self._reached
        result = simulation.result()
        if partial:  # also where the halt came after the last bar: not everything is recorded
            result = dataclasses.replace(result, partial=True)
        warnings = [*warnings_of(spec, window), *result.warnings]
        for warning in warnings:
            context.emit("warning", **warning)
        result_sha = sha256(result.digests())
        if not result.partial:
            refuse_divergence(context, result_sha)
        statistics = measuring.measure(spec, window, result)
        return Outcome(
            statistics={**statistics, "warnings": warnings},
            result_tables=record.write(context, result, statistics),
            result_sha=None if result.partial else result_sha,
            message=f"{len(result.timestamps)} bars simulated.",
        )


def load(context: RunContext) -> BacktestSpec:
    """Return the locked spec of the run."""
    version = specs.get(context.workshop.pool, context.run.spec_sha256, kind="backtest")
    return BacktestSpec.model_validate(version.body)


def pin(context: RunContext, spec: BacktestSpec) -> Mapping[str, str]:
    """Write what this run reads and runs on, or take over what its first attempt wrote.

    ``run_sha`` is the hash of ``{spec_sha256, inputs, snapshot_ids, seed, engine}``.
    """
    found = context.run.snapshot_ids
    if found is None:
        found = context.attend(lambda: trials.pins(context.workshop.lake, spec))
    engine = identity()
    asked = {
        "spec_sha256": context.run.spec_sha256,
        "inputs": context.run.inputs,
        "snapshot_ids": found,
        "seed": spec.seed,
        "engine": engine,
    }
    context.pin(snapshot_ids=found, engine=engine, run_sha=sha256(asked))
    return found


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


def warnings_of(spec: BacktestSpec, window: bars.Window) -> list[dict[str, Any]]:
    """Return what the data alone makes doubtful; the engine warns of raw prices itself."""
    found = [
        (
            "unadjusted",
            "No adjustments are known for these symbols: their prices are raw.",
            () if spec.data.adjust == "none" else window.unadjusted,
        ),
        (
            "delisted",
            "Bars of these symbols end early: positions were paid out at the last close.",
            window.delisted,
        ),
        (
            "no_quotes",
            "These symbols have no quotes: they were traded without a spread.",
            window.unquoted,
        ),
    ]
    return [
        {"code": code, "message": message, "symbols": list(symbols)}
        for code, message, symbols in found
        if symbols
    ]
