"""Bring data in: payloads to bronze as they came, then from bronze alone to silver, deduplicated.

Everything that is written is derived from the payloads and the run, never from a clock: a second
attempt of the run writes the same bytes, and the same payload in a later run writes nothing. No
step holds more than a part of the rows in memory.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lakehouse import batch, bronze, catalog, identity, keys, query, schemas, staging
from lakehouse.bronze import Held
from lakehouse.clean import REASONS, cleaning
from lakehouse.errors import SchemaMismatchError
from lakehouse.facts import told
from lakehouse.job import IngestResult, Run, TableResult, Tally, stamped
from lakehouse.known import Known, known, registry
from lakehouse.lake import Lake
from lakehouse.layers import TableName
from lakehouse.novelty import REVISIONS
from lakehouse.providers import PROVIDERS
from lakehouse.providers.base import Batch, Fact, FromPath, Payload, Provider, Request
from lakehouse.quality.check import check
from lakehouse.scan import Where
from lakehouse.source import open_source
from lakehouse.staging import Staging
from lakehouse.write import Receipt
from topology.canonical import sha256
from topology.errors import BadInputError, UnknownNameError, did_you_mean, nearest

SHOWN = 3
PART = 100_000
"""Rows of one append to silver."""
SHARE = 0.35
"""Of the memory given, what DuckDB may hold; the rest is for Arrow, the writer and Python."""
BRONZE, FROM, TO = (
    "alphaswarm.bronze_table",
    "alphaswarm.from_snapshot",
    "alphaswarm.to_snapshot",
)
"""Properties of silver snapshots: which bronze table, after and up to which snapshot."""


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
    provider = PROVIDERS.load(request.provider)()
    if isinstance(provider, FromPath) and payload_sha256 is not None:
        _refuse_other_bytes(provider, request, payload_sha256)
    payloads = list({payload.sha256: payload for payload in provider.fetch(request)}.values())
    run.progress.checkpoint()
    return _Work(run, request, provider, before, payloads).done()


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
        self.told: list[pa.Table] = []
        self.renames = self._renames()
        self.tally = Tally(run.progress)
        self.id = sha256([payload.sha256 for payload in self.fresh])[:12]

    def done(self) -> IngestResult:
        """Do what is not known yet, and return what became of all."""
        rejected: dict[int, dict[str, int]] = {}
        if self.fresh:
            with self._staging() as probe:
                self._refuse_hopeless(probe)
            self.told.clear()
            with self._staging() as stage:
                held = self._bronze(stage)
                self._read_back(stage, held)
                self._facts(self.provider.facts(self.request))
                if self.request.fact is None:
                    self._silver(stage, held)
                else:
                    self._told(stage)
                rejected = stage.reasons()
                self._rejects(stage)
                self._register(stage, held, rejected)
                self._check(stage)
        else:
            self._facts(self.provider.facts(self.request))
            self._stand()
        return self._result(rejected)

    def _staging(self) -> AbstractContextManager[Staging]:
        memory_mb = max(64, int(self.run.memory_mb * SHARE))
        kind = "bars" if self.request.fact else self.request.kind  # of facts it keeps the rejects
        return staging.opened(kind, memory_mb=memory_mb, spill=self.run.spill)

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
        named = () if self.request.fact else self.request.symbols or ()
        wanted = {symbol for symbol in named if self.request.since(symbol) is None}
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
                if self._good(probe) and wanted <= set(probe.symbols()):
                    return
        if not self._good(probe):
            raise _hopeless(probe)
        _refuse_missing(wanted, probe.symbols())

    def _good(self, stage: Staging) -> int:
        """Return how many good rows there are."""
        return sum(rows.num_rows for rows in self.told) if self.request.fact else stage.count()

    def _bronze(self, stage: Staging) -> dict[str, Held]:
        """Append the fresh payloads; lines that are no rows go to the rejects."""
        read = self.tally.read

        def seen(payload: Payload, some: Batch) -> None:
            stage.broken(self.nos[payload.sha256], some.broken)
            lines = some.rows.num_rows + len(some.broken)
            read[payload.sha256] = read.get(payload.sha256, 0) + lines

        def append(table: str, rows: pa.Table, key: str) -> Receipt:
            receipt = self.run.append(table, rows, key)
            self.tally.add(receipt)
            self.tally.say(sum(read.values()), None)
            return receipt

        held = bronze.bring(self.run.lake, self.fresh, append, self._stamp, seen)
        self.tally.say(sum(read.values()), sum(read.values()))
        for table in held:
            self.tally.layer_done(table)
        return held

    def _read_back(self, stage: Staging, held: Mapping[str, Held]) -> None:
        """Clean what bronze has of the fresh payloads; silver sees nothing else."""
        for table in held.values():
            for plan, hashes in bronze.increments(self.run.lake, table):
                numbers = {name: self.nos[name] for name in sorted(hashes)}
                found = stage.read(plan, numbers)
                if self.request.fact is not None:  # what is said of an owner is one set
                    found = iter([pa.concat_tables(found)])
                for rows in found:
                    self.run.progress.checkpoint()
                    self._clean(stage, rows)
        if self.request.fact is not None:
            return
        stage.rename(self.renames)
        stage.judge(self._currencies(stage.symbols()), self.reading.redenominated)

    def _clean(self, stage: Staging, rows: pa.Table) -> None:
        rows = self.provider.rows(rows)
        if self.request.fact is not None:
            said = told(rows, self.reading, self.request.fact)
            stage.reject(said.rejects)
            self.told.append(said.facts)
            return
        how = cleaning(
            rows,
            self.reading,
            kind=self.request.kind,
            resolution=self.request.resolution,
            now=self.run.created_at,
        )
        stage.add(rows, how)

    def _renames(self) -> pa.Table:
        """Return which names mean which symbol on which days, where they differ.

        A provider whose symbols are permanent ones already needs none: a name that meant another
        symbol on that day would take its bars away.
        """
        permanent = getattr(self.provider, "identities", False)
        known = [] if permanent else identity.tickers(self.run.lake, self.request.table)
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
            self.tally.add(main)
            self.tally.new += main.rows
            if main.rows < part.first.num_rows or part.several:
                known_at = self.run.created_at
                later = self._known(part.last, known_at=known_at)
                revised = self.run.append(table + REVISIONS, later, key, **lineage)
                self.tally.add(revised)
                self.tally.revised += revised.rows
            done += part.first.num_rows
            self.tally.say(done, total, table)
        rejected = sum(sum(of.values()) for of in stage.reasons().values())
        self.tally.layer_done(table, rejected=rejected)
        self.tally.layer_done(table + REVISIONS)

    def _facts(self, given: Mapping[Fact, pa.Table]) -> None:
        """Append what is known beside bars, before them: who reads bars finds it."""
        for name, facts in given.items():
            rows = _of(facts, self.request.symbols)
            if rows.num_rows:
                beside = self._beside(name)
                whole = stamped(rows, known_at=self.run.created_at, **self._origin())
                self.tally.add(self.run.append(beside, whole, f"facts:{batch.digest(whole)[:32]}"))
                self.tally.layer_done(beside)

    def _told(self, stage: Staging) -> None:
        """Append what the payloads themselves say beside bars: the whole set of each owner."""
        fact = self.request.fact
        if fact is not None and self.told:
            whole = pa.concat_tables(self.told)
            self.tally.rows = whole.num_rows
            self._facts({fact: whole})
            at = self.tally.tables.get(self.request.table)
            self.tally.new = at.rows if at else 0

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
            rows = stamped(
                rows,
                table_name=self.request.table,
                ingested_at=self.run.created_at,
                run_id=self.run.run_id,
            )
            self.tally.add(self.run.append(table, rows, f"rejects:{self.id}:{number}"))
        self.tally.layer_done(table)

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
        return stamped(
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
        return stamped(rows, ingested_at=self.run.created_at, run_id=self.run.run_id, **more)

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


def _refuse_other_bytes(provider: FromPath, request: Request, wanted: str) -> None:
    found = provider.fingerprint(request)
    if found != wanted:
        raise BadInputError(
            f"{(request.path or '')[:128]!r} has changed since it was submitted.",
            hint="Submit it again: other bytes are other work.",
            wanted_sha256=wanted,
            found_sha256=found,
        )


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
