"""One ingest: the spec by its hash, the very bytes it was submitted with, bronze and silver."""

from __future__ import annotations

from typing import Any, ClassVar

from lakehouse import query
from lakehouse.ingest import IngestResult, ingest
from ledger import specs
from runtimes.base import Outcome, Runtime
from runtimes.context import RunContext
from runtimes.data.identity import identity
from runtimes.specs.data import IngestSpec
from topology.canonical import sha256

PAYLOAD = "payload_sha256"
"""The input of a run that names the bytes of its file."""


class DataRuntime(Runtime):
    """Serves one attempt; it changes the lake, so an unreadable latch halts it."""

    kind: ClassVar[str] = "data"
    mutates: ClassVar[bool] = True

    def work(self, context: RunContext) -> Outcome:
        """Bring in what the spec asks for, each table exactly once for this run."""
        workshop, run = context.workshop, context.run
        spec = load(context)
        pin(context, spec)
        result = ingest(
            workshop.lake,
            workshop.log,
            spec.body(),
            run_id=run.run_id,
            spec_sha256=run.spec_sha256,
            created_at=run.created_at,
            progress=context,
            allowed=workshop.ingest_folders,
            payload_sha256=None if spec.path is None else str(run.inputs.get(PAYLOAD)),
        )
        if result.rejected:
            context.emit("warning", f"{result.rejected} rows rejected.", **rejection(result))
        return outcome(result)


def load(context: RunContext) -> IngestSpec:
    """Return the locked spec of the run."""
    version = specs.get(context.workshop.pool, context.run.spec_sha256, kind="data")
    return IngestSpec.model_validate(version.body)


def pin(context: RunContext, spec: IngestSpec) -> None:
    """Write which snapshots this run adds to, or take over what its first attempt wrote.

    ``run_sha`` is the hash of ``{spec_sha256, inputs, snapshot_ids, seed, engine}``; there is no
    seed. The snapshots belong to it because what is new depends on what is there.
    """
    lake, run = context.workshop.lake, context.run
    found = run.snapshot_ids
    if found is None:
        found = query.resolve(lake, [], optional=targets(spec))
    asked = {
        "spec_sha256": run.spec_sha256,
        "inputs": run.inputs,
        "snapshot_ids": found,
        "seed": None,
        "engine": identity(),
    }
    context.pin(snapshot_ids=found, engine=identity(), run_sha=sha256(asked))


def targets(spec: IngestSpec) -> list[str]:
    """Return the silver tables that an ingest of this spec may add to."""
    namespace = spec.table.partition(".")[0]
    return [
        spec.table,
        f"{spec.table}_revisions",
        f"{namespace}.adjustments",
        f"{namespace}.rejects",
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
