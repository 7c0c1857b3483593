"""One backtest: the spec by its hash, pinned snapshots, the engine, gold tables, honest digests."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from ledger import specs
from runtimes.backtest import audit, doubts, examining, measuring, record, sources, staging, trials
from runtimes.base import Outcome, Runtime, refuse_divergence
from runtimes.context import RunContext
from runtimes.engine.identity import identity
from runtimes.specs.backtest import BacktestSpec
from runtimes.strategies import STRATEGIES
from topology.canonical import sha256
from topology.errors import FaultError


class BacktestRuntime(Runtime):
    """Serves one attempt; what the simulation has reached is kept when a halt stops it."""

    kind: ClassVar[str] = "backtest"

    def __init__(self) -> None:
        self._reached: tuple[BacktestSpec, staging.Ground, staging.Play] | None = None
        self._trials: trials.TrialsRun | None = None
        self._ended: Outcome | None = None

    def work(self, context: RunContext) -> Outcome:
        """Simulate the run's spec, check the digest against earlier runs, append the result."""
        spec = load(context)
        lake, snapshot_ids = context.workshop.lake, pin(context, spec)
        examining.remember(context, spec, snapshot_ids)
        if spec.has_trials:
            self._trials = trials.TrialsRun(spec)
            outcome = self._trials.work(context, snapshot_ids)
            return dataclasses.replace(
                outcome, statistics=examining.judged(spec, outcome.statistics)
            )
        ground = context.attend(lambda: staging.ground(lake, spec, snapshot_ids=snapshot_ids))
        latch = np.frombuffer(context.latch().words(), dtype=np.int64)
        limits = context.workshop.topology.limits.strategy
        play = context.attend(lambda: staging.staged(spec, ground, latch=latch, limits=limits))
        self._reached = (spec, ground, play)
        play.play(context)
        context.checkpoint()
        return self._outcome(context)

    def salvage(self, context: RunContext) -> Outcome | None:
        """Append the bars simulated or the trials done so far; statistics say ``partial``."""
        if self._trials is not None:
            return self._trials.salvage(context)
        if self._ended is not None:
            return self._ended
        if self._reached is None or self._reached[2].result() is None:
            return None
        return self._outcome(context, partial=True)

    def _outcome(self, context: RunContext, *, partial: bool = False) -> Outcome:
        if self._reached is None or (result := self._reached[2].result()) is None:
            raise FaultError("A result was asked for before there was a simulation.")
        spec, ground, _ = self._reached
        window = ground.window
        if partial:  # also where the halt came after the last bar: not everything is recorded
            result = dataclasses.replace(result, partial=True)
        locked = version(context).created_at
        warnings = [*doubts.of(spec, window, locked=locked), *result.warnings]
        for warning in warnings:
            context.emit("warning", **warning)
        result_sha = sha256(result.digests())
        if not result.partial:
            refuse_divergence(context, result_sha)
        count = examining.counting(context)
        statistics = measuring.measure(spec, window, result, count=count, facts=ground.facts)
        statistics |= {"warnings": warnings, **examining.examined(context, spec, ground, result)}
        cheats = statistics["audit"]["passed"] is False
        statistics["partial"] |= cheats
        outcome = Outcome(
            statistics=examining.judged(spec, statistics),
            result_tables=record.write(context, result, statistics),
            result_sha=None if result.partial or cheats else result_sha,
            message=f"{len(result.timestamps)} bars simulated.",
        )
        if cheats:
            self._ended = outcome
            audit.refuse(statistics["audit"])
        return outcome


def load(context: RunContext) -> BacktestSpec:
    """Return the locked spec of the run."""
    return BacktestSpec.model_validate(version(context).body)


def version(context: RunContext) -> specs.SpecVersion:
    """Return the version of the spec that the run names."""
    return specs.get(context.workshop.pool, context.run.spec_sha256, kind="backtest")


def pin(context: RunContext, spec: BacktestSpec) -> Mapping[str, str]:
    """Write what this run reads and runs on, or take over what its first attempt wrote.

    ``run_sha`` is the hash of ``{spec_sha256, inputs, snapshot_ids, seed, engine}``.
    """
    found = context.run.snapshot_ids
    if found is None:
        of = trials.pins if spec.has_trials else sources.checked_pins
        found = context.attend(lambda: of(context.workshop.lake, spec))
    engine = {**identity(), **STRATEGIES.identity(spec.strategy.name)}
    asked = {
        "spec_sha256": context.run.spec_sha256,
        "inputs": context.run.inputs,
        "snapshot_ids": found,
        "seed": spec.seed,
        "engine": engine,
    }
    context.pin(snapshot_ids=found, engine=engine, run_sha=sha256(asked))
    return found
