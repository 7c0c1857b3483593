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

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyiceberg.table import Table

from lakehouse import adjust, catalog, scan
from lakehouse.adjust import Adjust
from lakehouse.asof import AsOf
from lakehouse.errors import SqlMemoryError
from lakehouse.lake import Lake
from lakehouse.layers import TableName
from lakehouse.novelty import REVISIONS, overlay
from lakehouse.scan import Plan, Where
from topology.errors import BadInputError, UnknownNameError, did_you_mean, nearest

MEMORY_MB = 256
"""What DuckDB may hold before it spills; Arrow's batches and the writer come on top."""
THREADS = 2
"""Each sorts within memory of its own: more of them would need more of it."""
GROUP = 131_072
"""Rows of a row group."""
COMPRESSION = "zstd"
_BARS = frozenset({"vt_symbol", "timestamp", "open", "high", "low", "close", "volume"})


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
    revisions: str = "latest"

    def tables(self) -> tuple[list[str], list[str]]:
        """Return the tables that an export needs, and those that it takes where they are."""
        later = [self.table + REVISIONS] if self.revisions == "latest" else []
        factors = [_adjustments(self.table)] if self.adjust != "none" else []
        return [self.table], [*later, *factors]


@dataclass(slots=True)
class Rows:
    """The rows of an export, to be read once; ``unadjusted`` fills while they are."""

    schema: pa.Schema
    wanted: Wanted
    connection: duckdb.DuckDBPyConnection
    sql: str
    order: str
    parameters: Mapping[str, object]
    factors: pa.Table | None
    unadjusted: set[str] = field(default_factory=set)

    def count(self) -> int:
        """Return how many rows there are."""
        sql = f"SELECT count(*) FROM ({self.sql})"  # noqa: S608
        found = self.connection.execute(sql, dict(self.parameters)).fetchall()
        return int(found[0][0])

    def batches(self) -> Iterator[pa.Table]:
        """Yield the rows in order, `GROUP` at a time; the first one waits for the sorting."""
        sql = f"SELECT * FROM ({self.sql}){self.order}"  # noqa: S608
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
            query = self.connection.sql(sql, params=dict(self.parameters))
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
            rows = adjust.adjusted(rows, mine, self.wanted.adjust)
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
    needed = {
        "symbols": {"vt_symbol"} if wanted.symbols is not None else set(),
        "start": {"timestamp"} if wanted.start or wanted.end else set(),
        "adjust": _BARS if wanted.adjust != "none" else set(),
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
    table = catalog.load(lake, wanted.table)
    where = Where(wanted.symbols, _first(wanted.start), _behind(wanted.end))
    condition, parameters = where.condition()
    sources = {"held": scan.plan(table, snapshot_id=snapshot_ids[wanted.table], where=where)}
    sql = f"SELECT * FROM held WHERE {condition}"  # noqa: S608
    later = wanted.table + REVISIONS
    if wanted.revisions == "latest" and later in snapshot_ids:
        sources["later"] = _plan(lake, later, snapshot_ids, where)
        sql = overlay(f"({sql})", "later")
    schema = sources["held"].schema
    chosen = pa.schema([schema.field(name) for name in wanted.columns or schema.names])
    try:
        with scan.connected(memory_mb=MEMORY_MB, spill=spill) as connection:
            # What is sorted needs no other order meanwhile, which would cost memory.
            connection.execute(f"SET preserve_insertion_order = {not _order(table)}")
            connection.execute(f"SET threads = {THREADS}")
            for name, plan in sources.items():
                scan.offer(connection, name, plan)
            yield Rows(
                chosen.with_metadata(_facts(wanted, snapshot_ids)),
                wanted,
                connection,
                sql,
                _order(table),
                parameters,
                _factors(lake, wanted, snapshot_ids),
            )
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


def _order(table: Table) -> str:
    """Return the ORDER BY that leaves nothing open: the table's own order, then every column.

    A table without an order (bronze) keeps the order of its files.
    """
    schema = table.schema()
    own = [schema.find_column_name(one.source_id) for one in table.sort_order().fields]
    names = [name for name in own if name]
    key = {schema.find_column_name(number) for number in schema.identifier_field_ids}
    if names and not (key and key <= set(names)):
        names += [one.name for one in schema.fields if one.name not in names]
    listed = ", ".join(scan.identifier(name) for name in names)
    return f" ORDER BY {listed}" if names else ""


def _factors(lake: Lake, wanted: Wanted, snapshot_ids: Mapping[str, str]) -> pa.Table | None:
    if wanted.adjust == "none":
        return None
    from lakehouse.schemas import ADJUSTMENTS

    name = _adjustments(wanted.table)
    if name not in snapshot_ids:
        return ADJUSTMENTS.columns.empty_table()
    where = Where(symbols=wanted.symbols)
    condition, parameters = where.condition()
    return scan.select(
        f"SELECT * FROM held WHERE {condition} "  # noqa: S608
        "QUALIFY known_at = max(known_at) OVER (PARTITION BY vt_symbol)",
        {"held": _plan(lake, name, snapshot_ids, where)},
        parameters,
    )


def _plan(lake: Lake, name: str, snapshot_ids: Mapping[str, str], where: Where) -> Plan:
    return scan.plan(catalog.load(lake, name), snapshot_id=snapshot_ids[name], where=where)


def _adjustments(table: str) -> str:
    return f"{TableName.parse(table).namespace}.adjustments"


def _first(day: dt.date | None) -> dt.datetime | None:
    return None if day is None else dt.datetime.combine(day, dt.time(), dt.UTC)


def _behind(day: dt.date | None) -> dt.datetime | None:
    return _first(None if day is None else day + dt.timedelta(days=1))
