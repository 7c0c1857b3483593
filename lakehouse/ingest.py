"""Bring data in: a provider's payload to bronze as it came, then typed and deduplicated to silver.

Everything that is written is derived from the payload and the run, never from a clock: a second
attempt of the run writes the same bytes, and the same payload in a later run writes nothing.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from lakehouse import schemas
from lakehouse.clean import REASONS, Cleaned, clean
from lakehouse.errors import SchemaMismatchError
from lakehouse.lake import Lake
from lakehouse.layers import TableName
from lakehouse.novelty import REVISIONS
from lakehouse.providers import PROVIDERS
from lakehouse.providers.base import ROW, Broken, Fact, Payload, Request
from lakehouse.write import NO_SNAPSHOT, AppendLog, append_arrow
from topology.errors import BadInputError, UnknownNameError, did_you_mean, nearest
from topology.frames import Progress

SHOWN = 3
BRONZE, TO_SNAPSHOT = "alphaswarm.bronze_table", "alphaswarm.to_snapshot"
PAYLOAD = "alphaswarm.payload_sha256"
"""Properties of silver snapshots: which bronze table, up to which snapshot, which payload."""


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

    ``reasons`` counts the rejected rows by reason; the rows themselves, with the reason and their
    content, are in the namespace's table ``rejects``.
    """

    source: str
    payload_sha256: str
    read: int
    new: int
    known: int
    revised: int
    rejected: int
    reasons: dict[str, int]
    tables: tuple[TableResult, ...]

    def body(self) -> dict[str, Any]:
        """Return the result as JSON values."""
        return {**asdict(self), "tables": [asdict(table) for table in self.tables]}


def ingest(
    lake: Lake,
    log: AppendLog,
    spec: Mapping[str, Any],
    *,
    run_id: str,
    spec_sha256: str,
    created_at: dt.datetime,
    progress: Progress,
    allowed: Sequence[Path],
    payload_sha256: str | None = None,
) -> IngestResult:
    """Fetch, clean and append what ``spec`` (the body of an ingest spec) asks for.

    Bronze keeps the payload whole; ``spec["symbols"]`` chooses what becomes silver. A payload of
    which no row is a bar raises ``schema_mismatch`` with the counts, and nothing is written.
    ``allowed`` are the folders below which files may be read, the inbox first. A payload that does
    not have ``payload_sha256``, where one is given, is refused: other bytes are other work.
    """
    request = Request.of(spec, allowed)
    provider = PROVIDERS.load(request.provider)()
    payload = _whole(next(provider.fetch(request)))
    _refuse_other_bytes(payload, payload_sha256)
    progress.checkpoint()
    daily = TableName.parse(request.table).name.endswith("_1d")
    rows = provider.rows(payload.rows)
    cleaned = clean(
        rows,
        provider.reading(request),
        daily=daily,
        now=created_at,
        numbers=payload.numbers,
    )
    read = payload.rows.num_rows + len(payload.broken)
    progress.emit("rows.processed", f"{read} rows read.", current=read, total=read)
    _refuse_hopeless(cleaned, payload)
    bars = _chosen(cleaned.bars, request.symbols)
    work = _Work(lake, log, run_id, spec_sha256, created_at, progress, payload, request.table)
    return work.write(provider.facts(request), cleaned, bars)


@dataclass(frozen=True, slots=True)
class _Whole:
    table: str
    rows: pa.Table
    numbers: pa.Array
    sha256: str
    source: str
    broken: tuple[Broken, ...]


def _whole(payload: Payload) -> _Whole:
    batches = list(payload.numbered())
    rows = pa.Table.from_batches([batch.rows for batch in batches])
    broken = tuple(line for batch in batches for line in batch.broken)
    numbers = rows.column(ROW).combine_chunks()
    return _Whole(
        payload.table, rows.drop_columns(ROW), numbers, payload.sha256, payload.source, broken
    )


@dataclass(frozen=True, slots=True)
class _Work:
    """One ingest being written; each table is one append with the key ``<run_id>:<table>``."""

    lake: Lake
    log: AppendLog
    run_id: str
    spec_sha256: str
    created_at: dt.datetime
    progress: Progress
    payload: _Whole
    table: str

    def write(
        self, facts: Mapping[Fact, pa.Table], cleaned: Cleaned, bars: pa.Table
    ) -> IngestResult:
        """Append bronze, bars, corrections of known bars, adjustments, rejects."""
        rejects = self._rejects(cleaned)
        tables = [self._append(self.payload.table, self._bronze())]
        lineage = {BRONZE: self.payload.table, TO_SNAPSHOT: tables[0].snapshot_id}
        new = revised = 0
        if bars.num_rows:
            main = self._append(
                self.table, self._stamped(bars), lineage=lineage, rejected=rejects.num_rows
            )
            tables.append(main)
            new = main.rows
        if new < bars.num_rows:
            later = self._stamped(bars, known_at=self.created_at)
            correction = self._append(self.table + REVISIONS, later, lineage=lineage)
            tables.append(correction)
            revised = correction.rows
        factors = facts.get("adjustments")
        if factors is not None and bars.num_rows:
            factors = _only(factors, pc.unique(bars.column("vt_symbol")))
            stamped = _with(factors, known_at=self.created_at, **self._origin())
            tables.append(self._append(self._beside("adjustments"), stamped, lineage=lineage))
        if rejects.num_rows:
            tables.append(self._append(self._beside("rejects"), rejects, lineage=lineage))
        return IngestResult(
            source=self.payload.source,
            payload_sha256=self.payload.sha256,
            read=self.payload.rows.num_rows + len(self.payload.broken),
            new=new,
            known=bars.num_rows - new - revised,
            revised=revised,
            rejected=rejects.num_rows,
            reasons=_counts(rejects),
            tables=tuple(table for table in tables if table.snapshot_id != NO_SNAPSHOT),
        )

    def _append(
        self,
        table: str,
        data: pa.Table,
        *,
        lineage: Mapping[str, str] | None = None,
        rejected: int = 0,
    ) -> TableResult:
        self.progress.checkpoint()
        receipt = append_arrow(
            TableName.parse(table).layer,
            table,
            data,
            key=f"{self.run_id}:{TableName.parse(table).name}",
            run_id=self.run_id,
            spec_sha256=self.spec_sha256,
            log=self.log,
            lake=self.lake,
            summary={PAYLOAD: self.payload.sha256, **(lineage or {})},
        )
        done = TableResult(table, receipt.rows, rejected, receipt.snapshot_id)
        if done.snapshot_id != NO_SNAPSHOT:
            self.progress.emit("layer.done", f"{table}: {done.rows} new rows.", **asdict(done))
        return done

    def _bronze(self) -> pa.Table:
        rows = self.payload.rows
        return _with(
            rows,
            _ingested_at=self.created_at,
            _source=self.payload.source,
            _payload_sha256=self.payload.sha256,
            _run_id=self.run_id,
        )

    def _stamped(self, bars: pa.Table, **more: Any) -> pa.Table:
        return _with(bars, ingested_at=self.created_at, **self._origin(), **more)

    def _origin(self) -> dict[str, str]:
        return {"source": self.payload.source, "run_id": self.run_id}

    def _rejects(self, cleaned: Cleaned) -> pa.Table:
        """Return the rows that are no bars and the lines that are no rows."""
        broken = pa.table(
            {
                "row": pa.array([line.row for line in self.payload.broken], pa.int64()),
                "reason": pa.array(["wrong_columns"] * len(self.payload.broken), pa.string()),
                "detail": pa.array([line.detail for line in self.payload.broken], pa.string()),
                "content": pa.array([line.content for line in self.payload.broken], pa.string()),
            }
        )
        return _with(
            pa.concat_tables([cleaned.rejects.cast(broken.schema), broken]),
            payload_sha256=self.payload.sha256,
            table_name=self.table,
            ingested_at=self.created_at,
            **self._origin(),
        )

    def _beside(self, name: str) -> str:
        return f"{TableName.parse(self.table).namespace}.{name}"


def _refuse_other_bytes(payload: _Whole, wanted: str | None) -> None:
    if wanted is not None and payload.sha256 != wanted:
        raise BadInputError(
            f"{payload.source[:128]!r} has changed since it was submitted.",
            hint="Submit it again: other bytes are other work.",
            wanted_sha256=wanted,
            found_sha256=payload.sha256,
        )


def _with(rows: pa.Table, **constants: Any) -> pa.Table:
    """Return ``rows`` with columns that have one value each, times as ``timestamp[us, UTC]``."""
    for name, value in constants.items():
        kind = schemas.TIME if isinstance(value, dt.datetime) else pa.string()
        rows = rows.append_column(name, pa.repeat(pa.scalar(value, kind), rows.num_rows))
    return rows


def _only(rows: pa.Table, symbols: pa.Array) -> pa.Table:
    return rows.filter(pc.is_in(rows.column("vt_symbol"), value_set=symbols))


def _chosen(bars: pa.Table, symbols: Sequence[str] | None) -> pa.Table:
    """Return the bars of ``symbols``; one that the payload lacks raises ``unknown_name``."""
    if symbols is None:
        return bars
    known = pc.unique(bars.column("vt_symbol")).to_pylist()
    for symbol in symbols:
        if symbol not in known:
            raise UnknownNameError(
                f"The data has no bars of {symbol[:64]!r}.",
                hint=did_you_mean(symbol[:64], known),
                value=symbol[:64],
                nearest=nearest(symbol[:64], known),
            )
    return _only(bars, pa.array(symbols, pa.string()))


def _counts(rejects: pa.Table) -> dict[str, int]:
    counted = pc.value_counts(rejects.column("reason").combine_chunks()).to_pylist()
    return {entry["values"]: entry["counts"] for entry in sorted(counted, key=str)}


def _refuse_hopeless(cleaned: Cleaned, payload: _Whole) -> None:
    """Raise when not one row is a bar: the reading is wrong, not the rows."""
    if cleaned.bars.num_rows:
        return
    reasons = _counts(cleaned.rejects)
    if payload.broken:
        reasons["wrong_columns"] = len(payload.broken)
    first = cleaned.rejects.slice(0, SHOWN).select(["row", "reason", "detail"]).to_pylist()
    raise SchemaMismatchError(
        f"None of {payload.rows.num_rows + len(payload.broken)} rows is a bar.",
        hint=f"Mostly: {REASONS[max(reasons, key=lambda reason: reasons[reason])]}.",
        reasons=reasons,
        examples=first or [asdict(line) for line in payload.broken[:SHOWN]],
    )
