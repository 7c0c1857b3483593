"""A table out of the lake as one Parquet file: streamed, sorted, the same bytes every time.

Sorting spills to a folder, so memory stays bounded whatever the table's size.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyiceberg.table import Table

from lakehouse import adjust, catalog, days, identity, query, scan
from lakehouse.adjust import Adjust
from lakehouse.asof import AsOf
from lakehouse.errors import SqlMemoryError
from lakehouse.lake import Lake
from lakehouse.layers import TableName
from lakehouse.novelty import REVISIONS
from lakehouse.scan import Where
from lakehouse.source import Revisions, Source, open_source
from topology.errors import BadInputError, UnknownNameError, did_you_mean, nearest

MEMORY_MB = 256
"""What DuckDB may hold before it spills; Arrow's batches and the writer come on top."""
THREADS = 2
"""Each sorts within memory of its own: more of them would need more of it."""
GROUP = 131_072
"""Rows of a row group."""
COMPRESSION = "zstd"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What to export: ``runtimes.specs.export.ExportSpec`` says what the words mean."""

    table: str
    columns: Sequence[str] | None = None
    symbols: Sequence[str] | None = None
    start: dt.date | None = None
    end: dt.date | None = None
    as_of: AsOf = None
    adjust: Adjust = "none"
    revisions: Revisions = "latest"

    def tables(self) -> tuple[list[str], list[str]]:
        """Return the tables that an export needs, and those that it takes where they are."""
        later = [self.table + REVISIONS] if self.revisions == "latest" else []
        factors = [_adjustments(self.table)] if self.adjust != "none" else []
        names = [f"{TableName.parse(self.table).namespace}.symbol_map"] if self.symbols else []
        return [self.table], [*later, *factors, *names]


@dataclass(slots=True)
class Rows:
    """The rows of an export, to be read once; ``unadjusted`` fills while they are."""

    schema: pa.Schema
    wanted: Wanted
    connection: duckdb.DuckDBPyConnection
    source: Source
    order: str
    factors: pa.Table | None
    unadjusted: set[str] = field(default_factory=set)

    def count(self) -> int:
        """Return how many rows there are."""
        sql = f"SELECT count(*) FROM ({self.source.sql})"  # noqa: S608
        found = self.connection.execute(sql, dict(self.source.parameters)).fetchall()
        return int(found[0][0])

    def batches(self) -> Iterator[pa.Table]:
        """Yield the rows in order, `GROUP` at a time; the first one waits for the sorting."""
        sql = f"SELECT * FROM ({self.source.sql}){self.order}"  # noqa: S608
        held, rows = [], 0
        for batch in self._sorted(sql):
            held.append(batch)
            rows += batch.num_rows
            if rows >= GROUP:
                whole = pa.Table.from_batches(held)
                yield from (self._finished(whole.slice(at, GROUP)) for at in _starts(rows))
                rest = whole.slice(rows - rows % GROUP)
                held, rows = rest.to_batches(), rest.num_rows
        if rows:
            yield self._finished(pa.Table.from_batches(held))

    def interrupt(self) -> None:
        """Stop what another thread computes."""
        self.connection.interrupt()

    def _sorted(self, sql: str) -> Iterator[pa.RecordBatch]:
        try:
            query = self.connection.sql(sql, params=dict(self.source.parameters))
            yield from query.to_arrow_reader(GROUP)
        except (duckdb.OutOfMemoryException, OSError) as error:
            if isinstance(error, OSError) and "Out of Memory" not in str(error):
                raise
            raise SqlMemoryError(
                f"These rows cannot be sorted within {MEMORY_MB} MB.",
                hint="Export fewer columns, or one symbol after the other.",
            ) from error

    def _finished(self, rows: pa.Table) -> pa.Table:
        if self.factors is not None:
            held = pc.unique(rows.column("vt_symbol"))
            mine = self.factors.filter(pc.is_in(self.factors.column("vt_symbol"), value_set=held))
            self.unadjusted.update(adjust.unadjusted(rows, mine))
            daily = days.daily(self.wanted.table)
            rows = adjust.adjusted(rows, mine, self.wanted.adjust, daily=daily)
        return rows.select(self.schema.names).cast(self.schema)


def check(lake: Lake, wanted: Wanted) -> None:
    """Raise unless the table exists and has the columns that ``wanted`` names or filters by."""
    known = [one.name for one in catalog.load(lake, wanted.table).schema().fields]
    for place, name in enumerate(wanted.columns or ()):
        if name not in known:
            path = f"columns[{place}]"
            close = nearest(name, known)
            raise UnknownNameError(
                f"{wanted.table!r} has no column {name[:64]!r}.",
                hint=did_you_mean(name[:64], known),
                nearest=close,
                errors=[{"path": path, "value": name[:64], "nearest": close}],
            )
    price = "bid_close" if "bid_close" in known else "close"
    needed = {
        "symbols": {"vt_symbol"} if wanted.symbols is not None else set(),
        "start": {"timestamp"} if wanted.start or wanted.end else set(),
        "adjust": {"vt_symbol", "timestamp", price} if wanted.adjust != "none" else set(),
    }
    for path, names in needed.items():
        if lacking := sorted(names - set(known)):
            raise BadInputError(
                f"{wanted.table!r} has no column {lacking[0]!r}, so {path} means nothing there.",
                hint=f"Leave {path} out; describe_table shows the columns.",
                errors=[{"path": path, "problem": f"The table has no column {lacking[0]}."}],
            )


@contextmanager
def opened(
    lake: Lake, wanted: Wanted, *, snapshot_ids: Mapping[str, str], spill: Path
) -> Iterator[Rows]:
    """Yield the rows of ``wanted`` at the pinned snapshots; the folder ``spill`` is gone after."""
    check(lake, wanted)
    pinned: dict[str, Any] = {"snapshot_ids": snapshot_ids, "as_of": wanted.as_of}
    symbols = _symbols(lake, wanted, snapshot_ids)
    where = Where(symbols, _first(wanted.start), _behind(wanted.end))
    source = open_source(lake, wanted.table, where=where, revisions=wanted.revisions, **pinned)
    held = None
    if wanted.adjust != "none":
        held = query.factors(lake, wanted.table, symbols, **pinned)
    chosen = [source.schema.field(name) for name in wanted.columns or source.schema.names]
    order = _order(source, catalog.load(lake, wanted.table))
    try:
        with scan.connected(memory_mb=MEMORY_MB, spill=spill) as connection:
            # What is sorted needs no other order meanwhile, which would cost memory.
            connection.execute(f"SET preserve_insertion_order = {not order}")
            connection.execute(f"SET threads = {THREADS}")
            for name, plan in source.sources.items():
                scan.offer(connection, name, plan)
            schema = pa.schema(chosen, _facts(wanted, snapshot_ids))
            yield Rows(schema, wanted, connection, source, order, held)
    finally:
        shutil.rmtree(spill, ignore_errors=True)


def write(path: Path, rows: Rows) -> Iterator[int]:
    """Write ``rows`` to ``path`` (0600), yielding how many are done after each row group."""
    done = 0
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(handle, "wb") as file:
        with pq.ParquetWriter(file, rows.schema, compression=COMPRESSION) as writer:
            for batch in rows.batches():
                writer.write_table(batch, row_group_size=GROUP)
                done += batch.num_rows
                yield done
        file.flush()
        os.fsync(file.fileno())


def _starts(rows: int) -> range:
    return range(0, rows - rows % GROUP, GROUP)


def _facts(wanted: Wanted, snapshot_ids: Mapping[str, str]) -> dict[str, str]:
    """Return what the file says of itself, so that it is not lost with its name."""
    return {
        "alphaswarm.table": wanted.table,
        "alphaswarm.snapshot_ids": json.dumps(dict(snapshot_ids), sort_keys=True),
        "alphaswarm.as_of": str(wanted.as_of or ""),
        "alphaswarm.adjust": wanted.adjust,
        "alphaswarm.revisions": wanted.revisions,
    }


def _order(source: Source, table: Table) -> str:
    """Return the ORDER BY that leaves nothing open: the table's own order, then every column.

    A table without an order (bronze) keeps the order of its files.
    """
    schema = table.schema()
    key = {schema.find_column_name(number) for number in schema.identifier_field_ids}
    names = list(source.order)
    if names and not (key and key <= set(names)):
        names += [name for name in source.schema.names if name not in names]
    return f" ORDER BY {', '.join(map(scan.identifier, names))}" if names else ""


def _symbols(lake: Lake, wanted: Wanted, snapshot_ids: Mapping[str, str]) -> Sequence[str] | None:
    """Return the symbols that have rows, former tickers by the name kept; an unknown one raises."""
    if wanted.symbols is None:
        return None
    table, as_of = wanted.table, wanted.as_of
    held = open_source(lake, table, snapshot_ids=snapshot_ids, as_of=as_of, revisions="first")
    known = held.rows("SELECT DISTINCT vt_symbol FROM source")["vt_symbol"].to_pylist()
    start, end = wanted.start or dt.date.min, wanted.end or dt.date.max
    return identity.resolved(
        lake, table, wanted.symbols, known, start, end, as_of=as_of, snapshot_ids=snapshot_ids
    )


def _adjustments(table: str) -> str:
    return f"{TableName.parse(table).namespace}.adjustments"


def _first(day: dt.date | None) -> dt.datetime | None:
    return None if day is None else dt.datetime.combine(day, dt.time(), dt.UTC)


def _behind(day: dt.date | None) -> dt.datetime | None:
    return _first(None if day is None else day + dt.timedelta(days=1))
