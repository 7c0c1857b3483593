"""Task ``export``: rows of a table to one Parquet file below ``artifacts/exports``."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

from lakehouse import export
from lakehouse.export import Rows, Wanted
from runtimes.base import Outcome, refuse_divergence
from runtimes.context import RunContext
from runtimes.data import artifacts
from runtimes.data.pins import pin
from runtimes.specs.export import ExportSpec
from topology.home import explaining

URI = "data://exports/{run_id}"
LET_GO_S = 5
"""How long a thread may take to let go of what it computes; it takes milliseconds."""
T = TypeVar("T")
NAMED = 20
"""Symbols that a warning names."""


def work(context: RunContext, spec: ExportSpec) -> Outcome:
    """Write what the spec asks for; a second attempt begins anew and makes the same bytes."""
    workshop, run_id = context.workshop, context.run.run_id
    wanted = Wanted(**{one.name: getattr(spec, one.name) for one in fields(Wanted)})
    export.check(workshop.lake, wanted)
    required, beside = wanted.tables()
    pins = pin(context, beside, required=required, as_of=spec.as_of)
    now, keep_s = workshop.clock.now(), workshop.topology.limits.exports_s
    artifacts.sweep(workshop.home, now=now, keep_s=keep_s)
    folder = artifacts.exports(workshop.home)
    part, spill = folder / f".{run_id}.part", folder / f".{run_id}.spill"
    try:
        with (
            explaining(part),
            export.opened(workshop.lake, wanted, snapshot_ids=pins, spill=spill) as rows,
        ):
            count = _written(context, rows, part)
            digest, size = artifacts.keep(part, now=workshop.clock.now())
    finally:
        part.unlink(missing_ok=True)
    refuse_divergence(context, digest)
    _warn(context, rows)
    return Outcome(
        statistics={
            "rows": count,
            "bytes": size,
            "sha256": digest,
            "uri": URI.format(run_id=run_id),
            "columns": {one.name: str(one.type) for one in rows.schema},
            "unadjusted": len(rows.unadjusted),
            "partial": False,
        },
        result_sha=digest,
        message=f"{count} rows, {size} bytes.",
    )


def _written(context: RunContext, rows: Rows, part: Path) -> int:
    """Write the rows, checking in all the while, and return how many there were."""
    busy = threading.Lock()

    def alone(work: Callable[[], T]) -> T:
        with busy:
            return work()

    try:
        total = context.attend(lambda: alone(rows.count))
        context.emit("rows.processed", "Counted.", current=0, total=total)
        progress, done = export.write(part, rows), 0
        while (reached := context.attend(lambda: alone(lambda: next(progress, None)))) is not None:
            done = reached
            context.emit("rows.processed", f"{done} rows written.", current=done, total=total)
    except BaseException:
        rows.interrupt()  # a thread that we no longer attend may still be sorting
        busy.acquire(timeout=LET_GO_S)
        raise
    return done


def _warn(context: RunContext, rows: Rows) -> None:
    if not rows.unadjusted:
        return
    facts: dict[str, Any] = {"code": "unadjusted", "symbols": sorted(rows.unadjusted)[:NAMED]}
    message = f"No adjustments are known of {len(rows.unadjusted)} symbols: their prices stay raw."
    context.emit("warning", message, **facts)
