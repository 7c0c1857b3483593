"""An ingest as a job: on whose behalf and within which bounds, and what became of it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from lakehouse import schemas
from lakehouse.lake import Lake
from lakehouse.layers import TableName
from lakehouse.write import NO_SNAPSHOT, AppendLog, Receipt, append_arrow
from topology.frames import Progress


@dataclass(frozen=True, slots=True)
class TableResult:
    """What an ingest did to a table: rows that were new, rows rejected on the way there."""

    table: str
    rows: int
    rejected: int
    snapshot_id: str


@dataclass(frozen=True, slots=True)
class IngestResult:
    """What an ingest did. ``known`` rows were already there, ``revised`` ones are corrections.

    ``payloads`` counts files, members or pages, ``skipped`` those of them that were known.
    ``reasons`` counts the rejected rows by reason; the rows themselves, with the reason and their
    content, are in the namespace's table ``rejects``. ``quality`` counts what is odd about the
    bars that stand (`lakehouse.quality`); null where none were touched.
    """

    source: str
    payload_sha256: str
    payloads: int
    skipped: int
    read: int
    new: int
    known: int
    revised: int
    rejected: int
    reasons: dict[str, int]
    tables: tuple[TableResult, ...]
    quality: dict[str, Any] | None

    def body(self) -> dict[str, Any]:
        """Return the result as JSON values."""
        return {**asdict(self), "tables": [asdict(table) for table in self.tables]}


@dataclass(frozen=True, slots=True)
class Run:
    """Who ingests: where to, on whose behalf, within which bounds.

    ``spill`` is a folder of this run alone. ``snapshot_ids`` are the tables as the first attempt
    found them; None reads them as they are.
    """

    lake: Lake
    log: AppendLog
    run_id: str
    spec_sha256: str
    created_at: dt.datetime
    progress: Progress
    spill: Path
    memory_mb: int = 512
    snapshot_ids: Mapping[str, str] | None = None

    def append(self, table: str, rows: pa.Table, key: str, **summary: str) -> Receipt:
        """Append rows under a key of this run, unless a halt stops it first."""
        self.progress.checkpoint()
        pa.default_memory_pool().release_unused()  # the parts before this one are gone
        return append_arrow(
            TableName.parse(table).layer,
            table,
            rows,
            key=f"{self.run_id}:{key}",
            run_id=self.run_id,
            spec_sha256=self.spec_sha256,
            log=self.log,
            lake=self.lake,
            summary=summary,
        )


@dataclass(slots=True)
class Tally:
    """What an ingest has counted so far, told as it goes: lines by payload, rows, tables."""

    progress: Progress
    read: dict[str, int] = field(default_factory=dict)
    rows: int = 0
    new: int = 0
    revised: int = 0
    tables: dict[str, TableResult] = field(default_factory=dict)
    quality: dict[str, Any] | None = None

    def add(self, receipt: Receipt) -> None:
        """Count what an append did; one that found nothing new for no table counts nothing."""
        if receipt.snapshot_id != NO_SNAPSHOT:
            before = self.tables.get(receipt.table)
            rows = receipt.rows + (before.rows if before else 0)
            done = TableResult(receipt.table, rows, 0, receipt.snapshot_id)
            self.tables[receipt.table] = done

    def layer_done(self, table: str, *, rejected: int = 0) -> None:
        """Tell that a table has all that this ingest gives it, if it got anything."""
        if table in self.tables:
            done = self.tables[table] = replace(self.tables[table], rejected=rejected)
            message = f"{table}: {done.rows} new rows."
            self.progress.emit("layer.done", message, **asdict(done))

    def say(self, current: int, total: int | None, table: str = "bronze") -> None:
        """Tell how far a table is; nobody knows how much there is before bronze is through."""
        message = f"{current} rows read." if table == "bronze" else f"{table}: {current} rows."
        self.progress.emit("rows.processed", message, current=current, total=total, table=table)


def stamped(rows: Any, **constants: Any) -> Any:
    """Return ``rows`` with columns that have one value each, times as ``timestamp[us, UTC]``."""
    for name, value in constants.items():
        kind = schemas.TIME if isinstance(value, dt.datetime) else pa.string()
        rows = rows.append_column(name, pa.repeat(pa.scalar(value, kind), rows.num_rows))
    return rows
