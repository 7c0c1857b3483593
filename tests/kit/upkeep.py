"""Upkeep for tests: small appends, a pass as a run does one, and what a reader sees."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyiceberg.table import Table

from lakehouse import catalog
from lakehouse.lake import Lake
from lakehouse.maintain.claims import ClaimLog
from lakehouse.maintain.expiry import Needs
from lakehouse.maintain.policy import Policy
from lakehouse.maintain.table import Done, maintain
from ledger.appends import Appends
from tests.kit.lake import DAY, FILLS, Depot, Silent, bars
from topology.clock import SystemClock
from topology.frames import Progress

KEEP_FEW = Policy(least=2, keep=2, grace=dt.timedelta(0), orphan=dt.timedelta(0))
"""Bounds at which a few appends are worth a pass, and nothing old is kept."""
HOUR = dt.timedelta(hours=1)


def now() -> dt.datetime:
    """Return the time: snapshots and files carry the machine's."""
    return SystemClock().now()


def keep_up(
    lake: Lake,
    log: ClaimLog,
    table: str,
    spill: Path,
    *,
    policy: Policy = KEEP_FEW,
    named: Collection[str] = (),
    unfinished: Collection[str] = (),
    at: dt.datetime | None = None,
    progress: Progress | None = None,
    due: bool = False,
) -> Done:
    """Do one pass over ``table``, a moment from now so that nothing is too young."""
    done = maintain(
        lake,
        log,
        table,
        policy=policy,
        needs=Needs(lambda: named, lambda: unfinished),
        now=at or now() + dt.timedelta(seconds=1),
        spill=spill,
        progress=progress or Silent(),
        due=due,
    )
    assert done is not None
    return done


def small(depot: Depot, table: str, count: int, *, first: int = 0, every: int = 1) -> None:
    """Append ``count`` bars one by one, ``every`` so many days, each with its number as close."""
    for number in range(first, first + count):
        bar = bars(closes=(float(number),), start=DAY + dt.timedelta(days=every * number))
        depot.append(table, bar, key=f"small-{number}")


def closes(rows: pa.Table) -> list[float]:
    """Return the closes, sorted."""
    return sorted(rows.column("close").to_pylist())


@dataclass
class Follower:
    """An incremental reader: each look gives what was appended since the last."""

    lake: Lake
    table: str
    column: str
    seen: Counter[Any] = field(default_factory=Counter)
    last: int | None = None

    def look(self) -> None:
        """Read on, up to the current snapshot."""
        table = catalog.find(self.lake, self.table)
        current = table.current_snapshot() if table is not None else None
        if table is None or current is None:
            return
        scan = table.incremental_append_scan().to_snapshot_id_inclusive(current.snapshot_id)
        if self.last is not None:
            scan = scan.from_snapshot_id_exclusive(self.last)
        if self.last != current.snapshot_id:
            self.seen.update(scan.to_arrow().column(self.column).to_pylist())
        self.last = current.snapshot_id


def folder_of(lake: Lake, table: str) -> Path:
    """Return the folder of a table."""
    return Path(catalog.load(lake, table).location().removeprefix("file://"))


def parquet(lake: Lake, table: str) -> list[Path]:
    """Return every data file below a table's folder, needed or not."""
    return sorted((folder_of(lake, table) / "data").rglob("*.parquet"))


def ids(table: Table) -> list[str]:
    """Return the snapshots that are kept, oldest first."""
    return [str(snapshot.snapshot_id) for snapshot in table.snapshots()]


__all__ = ["FILLS", "Appends", "Follower", "closes", "folder_of", "ids", "keep_up", "parquet"]
