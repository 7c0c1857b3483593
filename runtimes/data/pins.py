"""What a data run is pinned to: the snapshots it adds to, and the code that does it."""

from __future__ import annotations

from collections.abc import Sequence

from lakehouse import query
from lakehouse.asof import AsOf
from runtimes.context import RunContext
from runtimes.data.identity import identity
from topology.canonical import sha256


def pin(
    context: RunContext,
    tables: Sequence[str],
    *,
    required: Sequence[str] = (),
    as_of: AsOf = None,
) -> dict[str, str]:
    """Write which snapshots this run works on, or return what its first attempt wrote.

    ``tables`` count where they exist; ``required`` ones raise ``table_not_found`` or
    ``snapshot_expired``.
    ``run_sha`` is the hash of ``{spec_sha256, inputs, snapshot_ids, seed, engine}``; there is no
    seed. The snapshots belong to it because what is new depends on what is there.
    """
    run = context.run
    found = run.snapshot_ids
    if found is None:
        lake = context.workshop.lake
        found = query.resolve(lake, required, as_of, optional=tables)
    asked = {
        "spec_sha256": run.spec_sha256,
        "inputs": run.inputs,
        "snapshot_ids": found,
        "seed": None,
        "engine": identity(),
    }
    context.pin(snapshot_ids=found, engine=identity(), run_sha=sha256(asked))
    return dict(found)
