"""Task ``features``: a set of expressions over pinned bars, to its gold feature tables."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from lakehouse import universe
from lakehouse.asof import time_of
from lakehouse.features.featureset import FeatureSet
from runtimes.base import Outcome
from runtimes.context import RunContext
from runtimes.data.pins import pin
from runtimes.engine.errors import EmptyWindowError
from runtimes.specs.features import FeaturesSpec
from runtimes.specs.universe import Members
from topology.canonical import sha256

if TYPE_CHECKING:  # the folder of compiled code is named before the kernels are imported
    from lakehouse.features.gold import Task, Written

THREADS = max(1, min(4, (os.cpu_count() or 1) - 1))
"""Threads of one run; the worker's other runs need a core too."""
NAMED = 20
"""Symbols that a warning names."""


def work(context: RunContext, spec: FeaturesSpec) -> Outcome:
    """Bring the tables of the spec's features and labels up to date with their bars."""
    tasks = _tasks(spec)
    beside = [*_companions(spec), *(name for task in tasks.values() for name in task.tables)]
    required = [spec.data.table, *([_universes(spec)] if _named(spec) else [])]
    pins = pin(context, beside, required=required, as_of=spec.as_of)
    known = _members(context, spec, pins)
    written = {
        role: _materialised(context, _pinned(task, pins, known, spec), role)
        for role, task in tasks.items()
    }
    _warn(context, next(iter(written.values())))
    kept = {role: one for role, one in written.items() if one.snapshot_id is not None}
    if not kept:
        raise EmptyWindowError(
            f"No bar of these symbols lies between {spec.data.start} and {spec.data.end}.",
            hint="describe_table shows the coverage; labels wait for the bars they look at.",
        )
    return _outcome(spec, tasks, kept)


def _tasks(spec: FeaturesSpec) -> dict[str, Task]:
    """Return what to compute by its role: features and labels have a table each."""
    from lakehouse.features.gold import Task
    from lakehouse.features.loading import Asked

    asked = Asked(
        symbols=() if isinstance(spec.universe, Members) else spec.universe.symbols,
        universe=_named(spec),
        table=spec.data.table,
        start=spec.data.start,
        end=spec.data.end,
        adjust=spec.data.adjust,
        rows=spec.rows,
        groups=spec.groups,
        as_of=spec.as_of,
    )
    whole = spec.features()
    parts = {
        "features": FeatureSet(whole.features, {}, whole.semantics),
        "labels": FeatureSet({}, whole.labels, whole.semantics),
    }
    return {
        role: Task(spec.name if role == "features" else f"{spec.name}_labels", part, asked)
        for role, part in parts.items()
        if part.names
    }


def _named(spec: FeaturesSpec) -> str | None:
    return spec.universe.name if isinstance(spec.universe, Members) else None


def _universes(spec: FeaturesSpec) -> str:
    return f"{spec.data.table.partition('.')[0]}.universes"


def _companions(spec: FeaturesSpec) -> list[str]:
    """Return the tables that belong to the bars, there or not."""
    namespace = spec.data.table.partition(".")[0]
    adjustments = [f"{namespace}.adjustments"] if spec.data.adjust != "none" else []
    return [f"{spec.data.table}_revisions", f"{namespace}.symbol_map", *adjustments]


def _members(
    context: RunContext, spec: FeaturesSpec, pins: Mapping[str, str]
) -> dict[str, list[tuple[Any, Any]]] | None:
    """Return on which days each symbol belongs to the spec's universe; None for a plain list."""
    name = _named(spec)
    if name is None:
        return None
    table = _universes(spec)
    found = universe.members(
        context.workshop.lake,
        name,
        spec.data.start,
        spec.data.end,
        table=table,
        as_of=spec.as_of if time_of(spec.as_of) else pins[table],
    )
    return found.days()


def _pinned(
    task: Task,
    pins: Mapping[str, str],
    members: dict[str, list[tuple[Any, Any]]] | None,
    spec: FeaturesSpec,
) -> Task:
    symbols = task.asked.symbols if members is None else tuple(sorted(members))
    del spec
    asked = replace(task.asked, symbols=symbols, members=members, snapshot_ids=pins)
    return replace(task, asked=asked)


def _materialised(context: RunContext, task: Task, role: str) -> Written:
    from lakehouse.features.gold import Bench, materialise

    workshop, run = context.workshop, context.run

    def say(current: int, total: int) -> None:
        message = f"{role}: {current} of {total} symbols."
        context.emit("rows.processed", message, current=current, total=total, table=task.table)

    written = materialise(
        task,
        Bench(
            workshop.lake,
            workshop.log,
            run.run_id,
            run.spec_sha256,
            run.created_at,
            THREADS,
            context.attend,
            context.hold,
            say,
        ),
    )
    context.emit(
        "layer.done",
        f"{written.new} new rows, {written.corrected} corrected.",
        table=written.table,
        rows=written.new,
        rejected=0,
        snapshot_id=written.snapshot_id,
    )
    return written


def _warn(context: RunContext, written: Written) -> None:
    for code, symbols, message in (
        ("no_bars", written.without_bars, "symbols have no bars at all"),
        ("unadjusted", written.unadjusted, "symbols have no adjustments: their prices stay raw"),
    ):
        if symbols:
            text = f"{len(symbols)} {message}."
            context.emit("warning", text, code=code, symbols=list(symbols[:NAMED]))


def _outcome(
    spec: FeaturesSpec, tasks: Mapping[str, Task], written: Mapping[str, Written]
) -> Outcome:
    first = next(iter(written.values()))
    fields = frozenset().union(*(task.features.fields for task in tasks.values()))
    statistics: dict[str, Any] = {
        "rows": sum(one.rows for one in written.values()),
        "new": sum(one.new for one in written.values()),
        "corrected": sum(one.corrected for one in written.values()),
        "symbols": first.symbols,
        "without_bars": len(first.without_bars),
        "features": len(spec.features().features),
        "labels": len(spec.features().labels),
        "feature_set": spec.features().sha256,
        "semantics": spec.semantics,
        "survivorship": _named(spec) is None,
        "typical_vwap": "vwap" in fields,
        "partial": False,
    }
    return Outcome(
        statistics=statistics,
        result_tables={role: one.table for role, one in written.items()},
        result_sha=sha256({role: one.digest for role, one in written.items()}),
        message=f"{statistics['new']} new rows of {len(spec.features().names)} columns.",
    )
