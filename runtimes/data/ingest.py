"""Task ``ingest``: the very bytes that were submitted, to bronze and silver."""

from __future__ import annotations

from typing import Any

from lakehouse.ingest import ingest
from lakehouse.job import IngestResult, Run
from runtimes.base import Outcome
from runtimes.context import RunContext
from runtimes.data import outside
from runtimes.data.pins import pin
from runtimes.data.spill import spill
from runtimes.specs.ingest import IngestSpec
from topology.canonical import sha256

PAYLOAD = "payload_sha256"
"""The input of a run that names the bytes of its file."""


def work(context: RunContext, spec: IngestSpec) -> Outcome:
    """Bring in what the spec asks for, each table exactly once for this run."""
    workshop, run = context.workshop, context.run
    pins = pin(context, targets(spec))
    with spill(context) as folder:
        job = Run(
            workshop.lake,
            workshop.log,
            run_id=run.run_id,
            spec_sha256=run.spec_sha256,
            created_at=run.created_at,
            progress=context,
            spill=folder,
            memory_mb=workshop.topology.limits.ingest.memory_mb,
            snapshot_ids=pins,
        )
        result = ingest(
            job,
            spec.body(),
            allowed=workshop.ingest_folders,
            payload_sha256=None if spec.path is None else str(run.inputs.get(PAYLOAD)),
            remote=outside.remote(workshop.topology, spec, run.inputs),
        )
    if result.rejected:
        context.emit("warning", f"{result.rejected} rows rejected.", **rejection(result))
    return outcome(result)


def targets(spec: IngestSpec) -> list[str]:
    """Return the silver tables that an ingest of this spec may add to."""
    namespace = spec.table.partition(".")[0]
    return [
        spec.table,
        f"{spec.table}_revisions",
        f"{namespace}.adjustments",
        f"{namespace}.rejects",
        f"{namespace}.payloads",
        f"{namespace}.symbol_map",
        f"{namespace}.universes",
    ]


def rejection(result: IngestResult) -> dict[str, Any]:
    """Return what a warning says of rejected rows; the rows themselves are in ``rejects``."""
    return {"code": "rows_rejected", "rejected": result.rejected, "reasons": result.reasons}


def outcome(result: IngestResult) -> Outcome:
    """Return counts, tables by their own name, and the digest of what was found."""
    counts = {name: value for name, value in result.body().items() if name != "tables"}
    found = [[table.table, table.rows, table.rejected] for table in result.tables]
    tables = {table.table.partition(".")[2]: table.table for table in result.tables}
    return Outcome(
        statistics={**counts, "partial": False},
        result_tables=tables,
        result_sha=sha256({**counts, "tables": found}),
        message=f"{result.new} new bars, {result.rejected} rows rejected.",
    )
