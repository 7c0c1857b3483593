"""A folder of one run for what is too large for memory; gone with the run, however it ended."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ledger import upkeep
from runtimes.context import RunContext
from topology.home import explaining

SPILL = "ingest-"


@contextmanager
def spill(context: RunContext) -> Iterator[Path]:
    """Yield the empty folder; those that killed runs left behind are removed first."""
    home, run_id = context.workshop.home, context.run.run_id
    alive = upkeep.unfinished(context.workshop.pool)
    for left in home.run.glob(f"{SPILL}*"):
        name = left.name.removeprefix(SPILL)
        if name == run_id or name not in alive:
            shutil.rmtree(left, ignore_errors=True)
    folder = home.run / f"{SPILL}{run_id}"
    with explaining(folder):
        folder.mkdir(mode=0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
