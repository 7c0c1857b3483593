"""Payloads to bronze as they came, in parts of bounded size, and back by increments."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import pyarrow as pa
from pyiceberg.table import Table

from lakehouse import catalog, scan
from lakehouse.lake import Lake
from lakehouse.providers.base import ROW, Batch, Payload
from lakehouse.scan import Plan, Where
from lakehouse.write import Receipt

MOST_ROWS, MOST_BYTES = 250_000, 16 << 20
"""Of one append: what is in memory at a time."""
MOST_NAMED = 500
"""Payloads that a plan names one by one; of more, the files are read and filtered."""

Append = Callable[[str, pa.Table, str], Receipt]
"""Appends rows to a table under a key of this run."""


@dataclass(slots=True)
class Held:
    """A bronze table after its payloads came in: the snapshots from which they can be read.

    ``new`` payloads came in by appends after ``from_snapshot`` (exclusive, None: the table was
    empty) up to ``to_snapshot``; ``old`` ones bronze had, at least in part, from earlier runs.
    ``row_bytes`` is how large a row is in memory, where they are largest.
    """

    table: str
    from_snapshot: str | None = None
    to_snapshot: str = ""
    rows: int = 0
    row_bytes: int = 1
    new: set[str] = field(default_factory=set)
    old: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class _Piece:
    """Consecutive rows of one payload; ``first`` and ``last`` are their numbers."""

    sha256: str
    first: int
    last: int


@dataclass(slots=True)
class _Part:
    """Rows for one append."""

    table: str
    batches: list[pa.RecordBatch] = field(default_factory=list)
    pieces: list[_Piece] = field(default_factory=list)
    rows: int = 0
    size: int = 0

    def takes(self, payload: Payload, batch: pa.RecordBatch) -> bool:
        """Tell whether the batch belongs into this append and still fits."""
        same = self.table == payload.table and self.batches[0].schema.equals(batch.schema)
        return (
            same
            and self.rows + batch.num_rows <= MOST_ROWS
            and self.size + batch.nbytes <= MOST_BYTES
        )

    def add(self, payload: Payload, batch: pa.RecordBatch) -> None:
        numbers = batch.column(ROW)
        self.batches.append(batch)
        self.pieces.append(_Piece(payload.sha256, numbers[0].as_py(), numbers[-1].as_py()))
        self.rows += batch.num_rows
        self.size += batch.nbytes

    def key(self) -> str:
        """Return what the rows are: a page that is fetched again with other bytes is another."""
        text = "\n".join(f"{p.sha256} {p.first} {p.last}" for p in self.pieces)
        return f"bronze:{hashlib.sha256(text.encode()).hexdigest()[:32]}"


def bring(
    lake: Lake,
    payloads: Iterable[Payload],
    append: Append,
    stamp: Callable[[Payload, pa.RecordBatch], pa.RecordBatch],
    seen: Callable[[Payload, Batch], None],
) -> dict[str, Held]:
    """Append the rows of ``payloads``: many small ones, or parts of a large one, at a time.

    ``stamp`` adds the mandatory columns, ``seen`` is told of each batch that was read.
    """
    held: dict[str, Held] = {}
    part: _Part | None = None
    for payload in payloads:
        for batch in payload.numbered():
            seen(payload, batch)
            for at in range(0, batch.rows.num_rows, MOST_ROWS):
                rows = stamp(payload, batch.rows.slice(at, MOST_ROWS))
                if part is not None and not part.takes(payload, rows):
                    _flush(lake, held, part, append)
                    part = None
                part = part or _Part(payload.table)
                part.add(payload, rows)
    if part is not None:
        _flush(lake, held, part, append)
    return held


def increments(lake: Lake, held: Held) -> Iterator[tuple[Plan, set[str]]]:
    """Yield what to read of a bronze table, and for which payloads: this run's appends first."""
    table = catalog.load(lake, held.table)
    if held.new:
        yield appended(table, held.from_snapshot, held.to_snapshot), held.new
    if held.old:
        named = {"_payload_sha256": sorted(held.old)} if len(held.old) <= MOST_NAMED else {}
        where = Where(among=named)
        yield scan.plan(table, snapshot_id=held.to_snapshot, where=where), held.old


def _flush(lake: Lake, held: dict[str, Held], part: _Part, append: Append) -> None:
    """Append a part and note how its payloads can be read back."""
    receipt = append(part.table, pa.Table.from_batches(part.batches), part.key())
    mine = held.setdefault(part.table, Held(part.table))
    mine.rows += receipt.rows
    mine.row_bytes = max(mine.row_bytes, part.size // part.rows)
    mine.to_snapshot = receipt.snapshot_id
    hashes = {piece.sha256 for piece in part.pieces}
    if receipt.rows == part.rows:
        if not mine.new:
            mine.from_snapshot = _parent(lake, part.table, receipt.snapshot_id)
        mine.new |= hashes - mine.old
    else:
        mine.old |= hashes
        mine.new -= hashes


def _parent(lake: Lake, table: str, snapshot_id: str) -> str | None:
    snapshot = catalog.load(lake, table).snapshot_by_id(int(snapshot_id))
    parent = None if snapshot is None else snapshot.parent_snapshot_id
    return None if parent is None else str(parent)


def appended(table: Table, begin: str | None, end: str) -> Plan:
    """Return what was appended after ``begin`` up to ``end``; compaction in between is passed."""
    increment = table.incremental_append_scan(
        from_snapshot_id_exclusive=None if begin is None else int(begin),
        to_snapshot_id_inclusive=int(end),
    )
    with catalog.reaching():
        tasks = list(increment.plan_files())
    files = sorted(task.file.file_path.removeprefix("file://") for task in tasks)
    return Plan(scan.arrow_schema(table.schema()), scan.columns(table.schema()), tuple(files))
