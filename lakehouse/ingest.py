"""Bring data in: payloads to bronze as they came, then from bronze alone to silver, deduplicated.

Everything that is written is derived from the payloads and the run, never from a clock: a second
attempt of the run writes the same bytes, and the same payload in a later run writes nothing. No
step holds more than a part of the rows in memory.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lakehouse import batch, bronze, catalog, identity, keys, query, schemas, staging
from lakehouse.bronze import Held
from lakehouse.clean import REASONS, cleaning
from lakehouse.errors import SchemaMismatchError
from lakehouse.known import Known, known, registry
from lakehouse.lake import Lake
from lakehouse.layers import TableName
from lakehouse.novelty import REVISIONS
from lakehouse.providers import PROVIDERS, WITH_PATH
from lakehouse.providers.base import Batch, Payload, Provider, Request
from lakehouse.providers.files import fingerprint
from lakehouse.quality.check import check
from lakehouse.scan import Where
from lakehouse.source import open_source
from lakehouse.staging import Staging
from lakehouse.write import NO_SNAPSHOT, AppendLog, Receipt, append_arrow
from topology.canonical import sha256
from topology.errors import BadInputError, UnknownNameError, did_you_mean, nearest
from topology.frames import Progress

SHOWN = 3
PART = 250_000
"""Rows of one append to silver."""
SHARE = 0.4
"""Of the memory given, what DuckDB may hold; the rest is for Arrow, the writer and Python."""
BRONZE, FROM, TO = (
    "alphaswarm.bronze_table",
    "alphaswarm.from_snapshot",
    "alphaswarm.to_snapshot",
)
"""Properties of silver snapshots: which bronze table, after and up to which snapshot."""


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


def ingest(
    run: Run,
    spec: Mapping[str, Any],
    *,
    allowed: Sequence[Path],
    payload_sha256: str | None = None,
    remote: Any = None,
) -> IngestResult:
    """Fetch, clean and append what ``spec`` (the body of an ingest spec) asks for.

    Bronze keeps the payloads whole; ``spec["symbols"]`` chooses what becomes silver. Payloads of
    which no row is good raise ``schema_mismatch`` with the counts, and nothing is written.
    ``allowed`` are the folders below which files may be read, the inbox first. Files that do not
    have the fingerprint ``payload_sha256``, where one is given, are refused: other bytes are
    other work.
    """
    request = Request.of(
        spec,
        allowed,
        now=run.created_at,
        remote=remote,
        progress=run.progress,
        spill=run.spill,
    )
    before = known(run.lake, request, run.run_id, run.snapshot_ids)
    request = replace(
        request, known=before.payloads.__contains__, since=_Ends(run.lake, request.table)
    )
    _refuse_other_bytes(request, payload_sha256)
    provider = PROVIDERS.load(request.provider)()
    payloads = list({payload.sha256: payload for payload in provider.fetch(request)}.values())
    run.progress.checkpoint()
    return _Work(run, request, provider, before, payloads).done()


@dataclass(slots=True)
class _Tally:
    """What was counted on the way."""

    read: dict[str, int] = field(default_factory=dict)
    new: int = 0
    revised: int = 0
    rows: int = 0
    tables: dict[str, TableResult] = field(default_factory=dict)
    quality: dict[str, Any] | None = None


class _Work:
    """One ingest being done: each step reads what the one before has committed."""

    def __init__(
        self,
        run: Run,
        request: Request,
        provider: Provider,
        before: Known,
        payloads: Sequence[Payload],
    ) -> None:
        self.run = run
        self.request = request
        self.provider = provider
        self.reading = provider.reading(request)
        self.before = before
        self.payloads = payloads
        self.fresh = [payload for payload in payloads if before.taken(payload) is None]
        self.nos = {payload.sha256: no for no, payload in enumerate(self.fresh)}
        self.renames = self._renames()
        self.tally = _Tally()
        self.id = sha256([payload.sha256 for payload in self.fresh])[:12]

    def done(self) -> IngestResult:
        """Do what is not known yet, and return what became of all."""
        rejected: dict[int, dict[str, int]] = {}
        if self.fresh:
            memory_mb = max(64, int(self.run.memory_mb * SHARE))
            with staging.opened(
                self.request.kind, memory_mb=memory_mb, spill=self.run.spill
            ) as probe:
                self._refuse_hopeless(probe)
            with staging.opened(
                self.request.kind, memory_mb=memory_mb, spill=self.run.spill
            ) as stage:
                held = self._bronze(stage)
                self._read_back(stage, held)
                self._facts()
                self._silver(stage, held)
                rejected = stage.reasons()
                self._rejects(stage)
                self._register(stage, held, rejected)
                self._check(stage)
        else:
            self._facts()
            self._stand()
        return self._result(rejected)

    def _stand(self) -> None:
        """Name the table that needed nothing, as it stands."""
        table = self.request.table
        found = catalog.find(self.run.lake, table)
        if found is not None and (at := found.current_snapshot()) is not None:
            self.tally.tables[table] = TableResult(table, 0, 0, str(at.snapshot_id))

    def _refuse_hopeless(self, probe: Staging) -> None:
        """Raise when no row is good or a wanted symbol is missing, before anything is written.

        Looks no further than it must: at the first rows, where they are good.
        """
        wanted = set(self.request.symbols or ())
        for payload in self.fresh:
            no = self.nos[payload.sha256]
            for some in payload.numbered():
                self.run.progress.checkpoint()
                probe.broken(no, some.broken)
                if some.rows.num_rows:
                    rows = pa.Table.from_batches([self._stamp(payload, some.rows)])
                    nos = pa.array(np.full(rows.num_rows, no), pa.int32())
                    self._clean(probe, rows.append_column("_no", nos))
                probe.rename(self.renames)
                if probe.count() and wanted <= set(probe.symbols()):
                    return
        if not probe.count():
            raise _hopeless(probe)
        _refuse_missing(wanted, probe.symbols())

    def _bronze(self, stage: Staging) -> dict[str, Held]:
        """Append the fresh payloads; lines that are no rows go to the rejects."""
        read = self.tally.read

        def seen(payload: Payload, some: Batch) -> None:
            stage.broken(self.nos[payload.sha256], some.broken)
            lines = some.rows.num_rows + len(some.broken)
            read[payload.sha256] = read.get(payload.sha256, 0) + lines

        def append(table: str, rows: pa.Table, key: str) -> Receipt:
            receipt = self.run.append(table, rows, key)
            self._say(sum(read.values()), None)
            return receipt

        held = bronze.bring(self.run.lake, self.fresh, append, self._stamp, seen)
        self._say(sum(read.values()), sum(read.values()))
        for table in held.values():
            self._layer_done(TableResult(table.table, table.rows, 0, table.to_snapshot))
        return held

    def _read_back(self, stage: Staging, held: Mapping[str, Held]) -> None:
        """Clean what bronze has of the fresh payloads; silver sees nothing else."""
        for table in held.values():
            for plan, hashes in bronze.increments(self.run.lake, table):
                numbers = {name: self.nos[name] for name in sorted(hashes)}
                for rows in stage.read(plan, numbers):
                    self.run.progress.checkpoint()
                    self._clean(stage, rows)
        stage.rename(self.renames)
        stage.judge(self._currencies(stage.symbols()), self.reading.redenominated)

    def _clean(self, stage: Staging, rows: pa.Table) -> None:
        rows = self.provider.rows(rows)
        how = cleaning(
            rows,
            self.reading,
            kind=self.request.kind,
            resolution=self.request.resolution,
            now=self.run.created_at,
        )
        stage.add(rows, how)

    def _renames(self) -> pa.Table:
        """Return which names mean which symbol on which days, where they differ."""
        known = identity.tickers(self.run.lake, self.request.table)
        rows = [
            {"name": t.name, "vt_symbol": t.vt_symbol, "first": t.valid_from, "last": t.valid_to}
            for t in known
            if t.name != t.vt_symbol
        ]
        kinds = {"name": pa.string(), "vt_symbol": pa.string()}
        days = {"first": pa.date32(), "last": pa.date32()}
        return pa.Table.from_pylist(rows, pa.schema(kinds | days))

    def _silver(self, stage: Staging, held: Mapping[str, Held]) -> None:
        """Append new keys, then corrections of known ones; the first word of this run is a bar."""
        table, lineage = self.request.table, _lineage(held)
        total = self.tally.rows = stage.count(self.request.symbols)
        done = 0
        for number, part in enumerate(keys.parts(stage.good(self.request.symbols), rows=PART)):
            if part.doubles.num_rows:
                stage.doubles(part.doubles)
            if not part.first.num_rows:
                continue
            key = f"silver:{self.id}:{number}"
            main = self.run.append(table, self._known(part.first), key, **lineage)
            self._add(main)
            self.tally.new += main.rows
            if main.rows < part.first.num_rows or part.several:
                known_at = self.run.created_at
                later = self._known(part.last, known_at=known_at)
                revised = self.run.append(table + REVISIONS, later, key, **lineage)
                self._add(revised)
                self.tally.revised += revised.rows
            done += part.first.num_rows
            self._say(done, total, table)
        rejected = sum(sum(of.values()) for of in stage.reasons().values())
        for name in (table, table + REVISIONS):
            if name in self.tally.tables:
                result = self.tally.tables[name]
                self._layer_done(replace(result, rejected=rejected if name == table else 0))

    def _facts(self) -> None:
        """Append what the provider knows beside bars, before them: who reads bars finds it."""
        for name, facts in self.provider.facts(self.request).items():
            rows = _of(facts, self.request.symbols)
            if rows.num_rows:
                beside = self._beside(name)
                stamped = _with(rows, known_at=self.run.created_at, **self._origin())
                self._add(self.run.append(beside, stamped, f"facts:{batch.digest(stamped)[:32]}"))
                self._layer_done(self.tally.tables[beside])

    def _rejects(self, stage: Staging) -> None:
        """Append the rows that are no bars and the lines that are no rows: none disappears."""
        table = self._beside("rejects")
        hashes = pa.array([payload.sha256 for payload in self.fresh], pa.string())
        sources = pa.array([payload.source for payload in self.fresh], pa.string())
        for number, rejects in enumerate(stage.rejects()):
            if not rejects.num_rows:
                continue
            nos = rejects.column("_no")
            rows = pa.Table.from_batches([rejects]).drop_columns("_no")
            rows = rows.rename_columns(["row", "reason", "detail", "content"])
            rows = rows.append_column("payload_sha256", hashes.take(nos))
            rows = rows.append_column("source", sources.take(nos))
            rows = _with(
                rows,
                table_name=self.request.table,
                ingested_at=self.run.created_at,
                run_id=self.run.run_id,
            )
            self._add(self.run.append(table, rows, f"rejects:{self.id}:{number}"))
        if table in self.tally.tables:
            self._layer_done(self.tally.tables[table])

    def _register(
        self, stage: Staging, held: Mapping[str, Held], rejected: Mapping[int, Mapping[str, int]]
    ) -> None:
        """Note each payload as taken in: the last thing that a whole ingest does."""
        rows = stage.rows(self.request.symbols)
        where = {payload.sha256: held.get(payload.table) for payload in self.fresh}
        noted = [
            {
                "payload_sha256": payload.sha256,
                "table_name": self.request.table,
                "reading_sha256": self.before.reading_sha256,
                "bronze_table": payload.table,
                "from_snapshot": (at.from_snapshot if at else None) or "",
                "to_snapshot": at.to_snapshot if at else "",
                "read": self.tally.read.get(payload.sha256, 0),
                "rows": rows.get(no, 0) - rejected.get(no, {}).get("duplicate_key", 0),
                "rejected": sum(rejected.get(no, {}).values()),
                "reasons": json.dumps(rejected.get(no, {}), sort_keys=True),
                "source": payload.source,
                "ingested_at": self.run.created_at,
                "run_id": self.run.run_id,
            }
            for no, payload in enumerate(self.fresh)
            for at in [where[payload.sha256]]
        ]
        table = registry(self.request.table)
        whole = pa.Table.from_pylist(noted, schemas.PAYLOADS.columns)
        self.run.append(table, whole, f"payloads:{self.id}", **_lineage(held))

    def _check(self, stage: Staging) -> None:
        """Look for what is wrong with the bars as they now stand; findings change no price."""
        wanted = self.request.symbols
        period = stage.period(wanted)
        if period is not None:
            checked = check(
                self.run.lake,
                self.run.log,
                self.request.table,
                symbols=[s for s in stage.symbols() if wanted is None or s in wanted],
                start=period[0],
                end=period[1],
                run_id=self.run.run_id,
                spec_sha256=self.run.spec_sha256,
                created_at=self.run.created_at,
                progress=self.run.progress,
            )
            self.tally.quality = checked.body()

    def _result(self, rejected: Mapping[int, Mapping[str, int]]) -> IngestResult:
        taken = [t for p in self.payloads if (t := self.before.taken(p)) is not None]
        reasons: dict[str, int] = {}
        for counted in [*rejected.values(), *(t.reasons for t in taken)]:
            for reason, count in counted.items():
                reasons[reason] = reasons.get(reason, 0) + count
        sources = [payload.source for payload in self.payloads]
        good = self.tally.rows - sum(r.get("duplicate_key", 0) for r in rejected.values())
        whole = [payload.sha256 for payload in self.payloads]
        return IngestResult(
            source=sources[0] if len(sources) == 1 else self.request.path or self.request.provider,
            payload_sha256=whole[0] if len(whole) == 1 else sha256(whole),
            payloads=len(self.payloads),
            skipped=len(taken),
            read=sum(self.tally.read.values()) + sum(t.read for t in taken),
            new=self.tally.new,
            known=good - self.tally.new - self.tally.revised + sum(t.rows for t in taken),
            revised=self.tally.revised,
            rejected=sum(reasons.values()),
            reasons=dict(sorted(reasons.items())),
            tables=tuple(self.tally.tables.values()),
            quality=self.tally.quality,
        )

    def _stamp(self, payload: Payload, rows: pa.RecordBatch) -> pa.RecordBatch:
        """Return the rows with what every bronze row says of itself."""
        return _with(
            rows,
            _ingested_at=self.run.created_at,
            _source=payload.source,
            _payload_sha256=payload.sha256,
            _run_id=self.run.run_id,
        )

    def _known(self, rows: pa.Table, **more: Any) -> pa.Table:
        """Return good rows as the bars of this run, each with the source of its payload."""
        sources = pa.array([payload.source for payload in self.fresh], pa.string())
        source = sources.take(rows.column("_no").combine_chunks())
        rows = rows.drop_columns("_no").append_column("source", source)
        return _with(rows, ingested_at=self.run.created_at, run_id=self.run.run_id, **more)

    def _origin(self) -> dict[str, str]:
        return {"source": self.request.provider, "run_id": self.run.run_id}

    def _currencies(self, symbols: Sequence[str]) -> pa.Table:
        """Return the currency of the last bar that the table has of each symbol."""
        table, pins = self.request.table, self.run.snapshot_ids
        found = catalog.find(self.run.lake, table)
        if pins is None:
            there = found is not None and found.current_snapshot() is not None
        else:
            there = found is not None and table in pins
        if not there or not symbols:
            return pa.table({"vt_symbol": pa.array([], pa.string()), "currency": []})
        where = Where(symbols=symbols)
        return open_source(self.run.lake, table, where=where, snapshot_ids=pins).rows(
            'SELECT vt_symbol, arg_max(currency, "timestamp") AS currency '
            "FROM source GROUP BY vt_symbol"
        )

    def _beside(self, name: str) -> str:
        return f"{TableName.parse(self.request.table).namespace}.{name}"

    def _add(self, receipt: Receipt) -> None:
        """Count what an append did; one that found nothing new for no table counts nothing."""
        if receipt.snapshot_id == NO_SNAPSHOT:
            return
        before = self.tally.tables.get(receipt.table)
        rows = receipt.rows + (before.rows if before else 0)
        self.tally.tables[receipt.table] = TableResult(receipt.table, rows, 0, receipt.snapshot_id)

    def _layer_done(self, done: TableResult) -> None:
        self.tally.tables[done.table] = done
        self.run.progress.emit("layer.done", f"{done.table}: {done.rows} new rows.", **asdict(done))

    def _say(self, current: int, total: int | None, table: str = "bronze") -> None:
        self.run.progress.emit(
            "rows.processed",
            f"{current} rows read." if table == "bronze" else f"{table}: {current} of {total}.",
            current=current,
            total=total,
            table=table,
        )


class _Ends:
    """Tells the end of the last bar that a table has of a symbol; reads it once, when asked."""

    def __init__(self, lake: Lake, table: str) -> None:
        self._lake = lake
        self._table = table
        self._ends: dict[str, dt.datetime] | None = None

    def __call__(self, symbol: str) -> dt.datetime | None:
        if self._ends is None:
            found = catalog.find(self._lake, self._table)
            held = found is not None and found.current_snapshot() is not None
            rows = query.coverage(self._lake, self._table) if held else []
            self._ends = {row.vt_symbol: row.last for row in rows}
        return self._ends.get(symbol)


def _lineage(held: Mapping[str, Held]) -> dict[str, str]:
    """Return what silver was built from: bronze tables and their snapshots, in the same order."""
    tables = list(held.values())
    return {
        BRONZE: ",".join(table.table for table in tables),
        FROM: ",".join(table.from_snapshot or "" for table in tables),
        TO: ",".join(table.to_snapshot for table in tables),
    }


def _refuse_other_bytes(request: Request, wanted: str | None) -> None:
    if wanted is None or request.provider not in WITH_PATH:
        return
    found = fingerprint(request.path or "", request.allowed)
    if found != wanted:
        raise BadInputError(
            f"{(request.path or '')[:128]!r} has changed since it was submitted.",
            hint="Submit it again: other bytes are other work.",
            wanted_sha256=wanted,
            found_sha256=found,
        )


def _with(rows: Any, **constants: Any) -> Any:
    """Return ``rows`` with columns that have one value each, times as ``timestamp[us, UTC]``."""
    for name, value in constants.items():
        kind = schemas.TIME if isinstance(value, dt.datetime) else pa.string()
        rows = rows.append_column(name, pa.repeat(pa.scalar(value, kind), rows.num_rows))
    return rows


def _of(facts: pa.Table, symbols: Sequence[str] | None) -> pa.Table:
    if symbols is None or "vt_symbol" not in facts.column_names:
        return facts
    wanted = pa.array(symbols, pa.string())
    return facts.filter(pc.is_in(facts.column("vt_symbol"), value_set=wanted))


def _refuse_missing(wanted: set[str], found: Sequence[str]) -> None:
    """Raise ``unknown_name`` for a wanted symbol that the payloads lack."""
    for symbol in sorted(wanted - set(found)):
        raise UnknownNameError(
            f"The data has no bars of {symbol[:64]!r}.",
            hint=did_you_mean(symbol[:64], found),
            value=symbol[:64],
            nearest=nearest(symbol[:64], found),
        )


def _hopeless(probe: Staging) -> SchemaMismatchError:
    """Return the error for payloads without a good row: the reading is wrong, not the rows."""
    reasons: dict[str, int] = {}
    for counted in probe.reasons().values():
        for reason, count in counted.items():
            reasons[reason] = reasons.get(reason, 0) + count
    rejects = next(some for some in probe.rejects() if some.num_rows)
    first = rejects.slice(0, SHOWN).select(["_row", "reason", "detail"])
    mostly = max(reasons, key=lambda reason: reasons[reason])
    return SchemaMismatchError(
        f"None of {sum(reasons.values())} rows is a bar.",
        hint=f"Mostly: {REASONS[mostly]}.",
        reasons=dict(sorted(reasons.items())),
        examples=[{"row": row.pop("_row"), **row} for row in first.to_pylist()],
    )
