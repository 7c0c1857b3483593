"""A run of many trials: a sweep or a walk-forward, its tables, its digest, its continuation."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lakehouse import query
from lakehouse.lake import Lake
from lakehouse.scan import Where
from ledger import runs, specs, trials
from runtimes.backtest import (
    doubts,
    examining,
    pieces,
    playing,
    sources,
    staging,
    sweep,
    walk_forward,
)
from runtimes.backtest.playing import Ground, Players
from runtimes.backtest.scoring import Score
from runtimes.backtest.trial_tables import WHOLE, TrialTables
from runtimes.base import Outcome, refuse_divergence
from runtimes.context import RunContext
from runtimes.engine import summary
from runtimes.engine.summary import Looked
from runtimes.engine.validation.overfitting import blocks_for
from runtimes.specs.backtest import BacktestSpec
from runtimes.specs.trials import check
from topology.canonical import sha256
from topology.errors import RefusedError

RESUME = "resume_from"
"""The input that names the run whose finished trials are taken over."""
Known = dict[tuple[str, int], Score]


class TrialsRun:
    """One attempt of a run of many trials; what it has found when a halt comes is kept."""

    def __init__(self, spec: BacktestSpec) -> None:
        self._spec = spec
        self._tables: TrialTables | None = None

    def work(self, context: RunContext, snapshot_ids: Mapping[str, str]) -> Outcome:
        """Play every trial, judge them together, append rows and equity."""
        spec, limits = self._spec, context.workshop.topology.limits.sweep
        check(spec.planned_trials, limits.trials)
        known = context.attend(lambda: resumed(context, snapshot_ids))
        lake = context.workshop.lake
        grounds = context.attend(lambda: load(lake, spec, snapshot_ids))
        self._tables = tables = TrialTables(context)
        latch = np.frombuffer(context.latch().words(), dtype=np.int64)
        count = pieces.bars_of(next(iter(grounds.values())).window)
        blocks = 0 if spec.walk_forward else blocks_for(count, len(spec.trials))
        own = context.workshop.topology.limits.strategy
        with Players(context, latch, threads=limits.threads, limits=own, blocks=blocks) as players:
            if spec.walk_forward is None:
                found = self._swept(context, players, grounds, known, tables)
            else:
                found = self._walked(context, players, grounds, known, tables)
        context.checkpoint()
        locked = specs.get(context.workshop.pool, context.run.spec_sha256).created_at
        warnings = doubts.of_trials(spec, next(iter(grounds.values())).window, locked=locked)
        for warning in warnings:
            context.emit("warning", **warning)
        return self._outcome(context, found | {"warnings": warnings}, tables)

    def salvage(self, context: RunContext) -> Outcome | None:
        """Append the trials that were finished; the statistics say ``partial``."""
        tables = self._tables
        if tables is None or tables.empty:
            return None
        del context
        statistics = {"trials": tables.trials, "planned_trials": len(self._spec.trials)}
        return Outcome(
            statistics={**statistics, "partial": True, "warnings": []},
            result_tables=tables.write(),
            message=f"{tables.trials} trials were finished.",
        )

    def _swept(
        self,
        context: RunContext,
        players: Players,
        grounds: Mapping[Any, staging.Ground],
        known: Known,
        tables: TrialTables,
    ) -> dict[str, Any]:
        spec, own = self._spec, self._spec.sweep
        if own is None:
            raise AssertionError("a sweep has its block")
        on = playing.whole(grounds)
        earlier = {trial: score for (split, trial), score in known.items() if split == WHOLE}
        scores = sweep.tried(own, spec.trials, players, on, tables=tables, known=earlier)
        best = sweep.keep_the_best(own, spec.trials, scores, players, on, tables=tables)
        return self._deflated(context, sweep.judged(own, spec.trials, scores, best))

    def _walked(
        self,
        context: RunContext,
        players: Players,
        grounds: Mapping[Any, staging.Ground],
        known: Known,
        tables: TrialTables,
    ) -> dict[str, Any]:
        spec, walk = self._spec, self._spec.walk_forward
        if walk is None:
            raise AssertionError("a walk-forward has its block")
        window = next(iter(grounds.values())).window
        found = walk_forward.split(walk, window.market.timestamps[window.first :])
        walk_forward.check_history(found, max(trial.spec.warmup for trial in spec.trials))

        def lay(spans: Sequence[playing.Span]) -> Ground:
            return playing.parts(grounds, spans)

        folds = walk_forward.walked(
            walk, spec.trials, players, lay, found, tables=tables, known=known
        )
        stitched = walk_forward.paths(walk, folds, spec.trials)
        for number, path in enumerate(stitched):
            if path.failed:
                raise playing.failure(path)
            tables.add(path, {}, split=f"path-{number:03d}", keep=True)
        median = walk_forward.median(stitched)
        statistics = {
            **sweep.told(median, cash=spec.portfolio.cash, periods_per_year=spec.periods_per_year),
            "trials": len(spec.trials),
            "failed_trials": tables.failed,
            "trial_sharpes": sweep.sharpes(walk_forward.ratios(folds)),
            **walk_forward.judged(walk, folds, stitched),
        }
        return self._deflated(context, statistics)

    def _deflated(self, context: RunContext, statistics: dict[str, Any]) -> dict[str, Any]:
        """Deflate by every trial of the family or the person.

        Of the spread of these trials and that of all earlier ones the larger counts, as far as
        they are believed.
        """
        spec, own = self._spec, statistics["trial_sharpes"]
        counted = trials.count(context.workshop.pool, context.run, own=len(spec.trials))
        spreads = [
            examining.believed(own["count"], own["variance"]),
            examining.believed(counted.sharpes, counted.variance),
        ]
        variance = max((spread for spread in spreads if spread is not None), default=None)
        looked = Looked(counted.judging, variance)
        return statistics | summary.deflated(
            statistics, looked, periods_per_year=spec.periods_per_year
        )

    def _outcome(
        self, context: RunContext, statistics: Mapping[str, Any], tables: TrialTables
    ) -> Outcome:
        result_sha = sha256({"trials": tables.digest()})
        refuse_divergence(context, result_sha)
        taken = {RESUME: context.run.inputs[RESUME]} if RESUME in context.run.inputs else {}
        return Outcome(
            statistics={**statistics, **taken, "partial": False},
            result_tables=tables.write(),
            result_sha=result_sha,
            message=f"{tables.trials} trials done.",
        )


def widest(spec: BacktestSpec) -> dict[Any, BacktestSpec]:
    """Return by what trials need of the data the spec that looks back furthest."""
    found: dict[Any, BacktestSpec] = {}
    for trial in spec.trials:
        key = playing.needs(trial.spec)
        if key not in found or trial.spec.warmup > found[key].warmup:
            found[key] = trial.spec
    return {
        key: spec.model_copy(update={"strategy": own.strategy, "execution": own.execution})
        for key, own in found.items()
    }


def load(
    lake: Lake, spec: BacktestSpec, snapshot_ids: Mapping[str, str]
) -> dict[Any, staging.Ground]:
    """Return the window of each of `widest`, read once for all the trials that share it."""
    return {
        key: staging.ground(lake, own, snapshot_ids=snapshot_ids)
        for key, own in widest(spec).items()
    }


def pins(lake: Lake, spec: BacktestSpec) -> dict[str, str]:
    """Return the newest snapshot of every table that any trial reads; `sources.checked_pins`."""
    found: dict[str, str] = {}
    for own in widest(spec).values():
        found |= sources.checked_pins(lake, own)
    return found


def resumed(context: RunContext, snapshot_ids: Mapping[str, str]) -> Known:
    """Return the scores of the run that this one goes on with, or raise why that cannot be."""
    earlier_id = context.run.inputs.get(RESUME)
    if earlier_id is None:
        return {}
    earlier = runs.get(context.workshop.pool, str(earlier_id), "backtest")
    differs = {
        "spec": earlier.spec_sha256 != context.run.spec_sha256,
        "data": earlier.snapshot_ids != dict(snapshot_ids),
        "engine": earlier.engine != context.run.engine,
    }
    table = (earlier.result_tables or {}).get("trials")
    wrong = [name for name, other in differs.items() if other]
    if wrong or table is None:
        reason = f"its {' and '.join(wrong)} differ" if wrong else "it kept no trials"
        raise RefusedError(
            f"Run {earlier_id} cannot be continued: {reason}.",
            hint="Submit without resume_from: every trial is played again.",
            code="resume_refused",
            run_id=str(earlier_id),
        )
    rows = query.read(context.workshop.lake, table, where=Where(run_id=str(earlier_id)))
    none = np.zeros(0)
    return {
        (row["split"], row["trial"]): Score(
            row["trial"], none.astype(np.int64), none, json.loads(row["statistics"])
        )
        for row in rows.select(["split", "trial", "statistics"]).to_pylist()
    }
