"""An ingest in a process of its own that dies at its n-th event, whatever that is.

An event is a call of the log of appends, before and after; a file of a commit, written; a commit;
a checkpoint of the work.
"""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from lakehouse.ingest import ingest
from lakehouse.job import IngestResult, Run
from lakehouse.lake import Lake, open_lake
from lakehouse.write import Entry
from ledger.appends import Appends
from ledger.pool import open_pool
from tests.kit.faults import FILE_STEPS, after_file, die
from tests.kit.lake import NOW, SPEC


class Ticking:
    """A log and a progress that count what happens."""

    def __init__(self, log: Appends, tick: Callable[[], None]) -> None:
        self._log, self._tick = log, tick

    def emit(self, stage: str, message: str, **extras: Any) -> None:
        """Say nothing."""

    def checkpoint(self) -> None:
        """Count."""
        self._tick()

    def find(self, table: str, key: str) -> Entry | None:
        """Look up the claim."""
        self._tick()
        return self._log.find(table, key)

    @contextlib.contextmanager
    def lock(self, table: str) -> Iterator[None]:
        """Hold the table."""
        with self._log.lock(table):
            self._tick()
            yield
            self._tick()

    def claim(self, table: str, key: str, digest: str, rows: int, run_id: str) -> Entry:
        """Record the claim."""
        entry = self._log.claim(table, key, digest, rows, run_id)
        self._tick()
        return entry

    def settle(self, table: str, key: str, snapshot_id: str) -> None:
        """Record the snapshot."""
        self._tick()
        self._log.settle(table, key, snapshot_id)
        self._tick()


def bring(
    lake: Lake, log: Appends, place: Path, run_id: str, table: str, dies_at: int = 0
) -> tuple[IngestResult, int]:
    """Ingest the folder ``place/inbox`` and return what came of it, and how many events."""
    events = 0

    def tick() -> None:
        nonlocal events
        events += 1
        if events == dies_at:
            die()

    ticking = Ticking(log, tick)
    run = Run(
        lake,
        ticking,
        run_id=run_id,
        spec_sha256=SPEC,
        created_at=NOW + dt.timedelta(seconds=1),
        progress=ticking,
        spill=place / "spill",
    )
    spec: dict[str, Any] = {
        "provider": "files",
        "path": "*.csv",
        "table": table,
        "symbols": None,
        "reading": {},
    }
    with contextlib.ExitStack() as stack:
        for step in FILE_STEPS:
            stack.enter_context(after_file(step, tick))
        result = ingest(run, spec, allowed=[place / "inbox"])
    return result, events


def bring_and_die(
    uri: str, warehouse: str, dsn: str, place: str, run_id: str, table: str, dies_at: int
) -> None:
    """Ingest in this process until it dies."""
    lake = open_lake(uri, warehouse)
    with closing(open_pool(dsn, name="doomed", max_size=2)) as pool:
        bring(lake, Appends(pool, dsn), Path(place), run_id, table, dies_at)
