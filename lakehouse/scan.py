"""Plan files with Iceberg, read them with DuckDB: as fast as raw Parquet, at a pinned snapshot."""

from __future__ import annotations

import datetime as dt
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
from pyiceberg.expressions import (
    AlwaysTrue,
    And,
    BooleanExpression,
    GreaterThanOrEqual,
    In,
    LessThan,
    Reference,
)
from pyiceberg.expressions.literals import Literal, literal
from pyiceberg.schema import Schema, sanitize_column_names
from pyiceberg.table import DataScan, Table

from lakehouse import catalog
from lakehouse.asof import expired

FEW = 16
"""Values of a filter that DuckDB prunes by; a longer list matches in every row group anyway."""
_TIME, _LINE = Reference(name="timestamp"), Reference(name="_row")


@dataclass(frozen=True, slots=True)
class Where:
    """A structured filter: these symbols, bars that end from ``start`` to before ``end``, a run.

    What is None does not restrict. Times are aware. ``among`` lists values of text columns,
    ``lines`` the first and the last ``_row`` of bronze.
    """

    symbols: Sequence[str] | None = None
    start: dt.datetime | None = None
    end: dt.datetime | None = None
    run_id: str | None = None
    among: Mapping[str, Sequence[str]] = field(default_factory=dict)
    lines: tuple[int, int] | None = None

    def expression(self) -> BooleanExpression:
        """Return the filter as Iceberg prunes by."""
        parts = [_in(name, values) for name, values in self._lists().items()]
        if self.start is not None:
            parts.append(GreaterThanOrEqual(term=_TIME, value=_time(self.start)))
        if self.end is not None:
            parts.append(LessThan(term=_TIME, value=_time(self.end)))
        if self.lines is not None:
            first, last = self.lines
            parts.append(GreaterThanOrEqual(term=_LINE, value=literal(first)))
            parts.append(LessThan(term=_LINE, value=literal(last + 1)))
        whole: BooleanExpression = AlwaysTrue()
        for part in parts:
            whole = And(whole, part)
        return whole

    def condition(self) -> tuple[str, dict[str, object]]:
        """Return the filter as SQL with named parameters, exact where pruning is coarse."""
        clauses: list[str] = []
        given: dict[str, object] = {}
        for name, members in self._lists().items():
            clause, more = _among(name, list(members))
            clauses.append(clause)
            given |= more
        if self.start is not None:
            clauses.append('"timestamp" >= $start::TIMESTAMPTZ')
            given["start"] = _utc(self.start).isoformat()
        if self.end is not None:
            clauses.append('"timestamp" < $end::TIMESTAMPTZ')
            given["end"] = _utc(self.end).isoformat()
        if self.lines is not None:
            clauses.append("_row BETWEEN $line AND $lines")
            given["line"], given["lines"] = self.lines
        return " AND ".join(clauses) or "true", given

    def _lists(self) -> dict[str, Sequence[str]]:
        lists = dict(self.among)
        if self.symbols is not None:
            lists["vt_symbol"] = self.symbols
        if self.run_id is not None:
            lists["run_id"] = [self.run_id]
        return lists


ALL = Where()


@dataclass(frozen=True, slots=True)
class Plan:
    """What a read will open: ``files`` of one shape, or ``odd``, a scan that merges others.

    ``columns`` pairs each column's name with its name inside the files. Files do not suffice when
    there are none, when rows were deleted, or when the table's columns have changed.
    """

    schema: pa.Schema
    columns: tuple[tuple[str, str], ...]
    files: tuple[str, ...]
    odd: DataScan | None = None

    def below(self, root: str) -> Plan:
        """Return the plan with files named from the folder ``root``."""
        return replace(self, files=tuple(file.removeprefix(f"{root}/") for file in self.files))

    def rows(self) -> pa.Table:
        """Return all rows where files do not suffice, which is slow and takes memory.

        A column that came after the snapshot is null.
        """
        if self.odd is None:
            return self.schema.empty_table()
        with catalog.reaching():
            found = self.odd.to_arrow()
        columns = [
            found[field.name] if field.name in found.column_names else pa.nulls(len(found))
            for field in self.schema
        ]
        return pa.table(columns, self.schema.names).cast(self.schema)

    def sql(self) -> str:
        """Return the SELECT that reads the files."""
        chosen = ", ".join(f"{identifier(inner)} AS {identifier(n)}" for n, inner in self.columns)
        listed = ", ".join(quoted(file) for file in self.files)
        # Folders are named like hive partitions, but the files hold those columns already.
        return f"SELECT {chosen} FROM read_parquet([{listed}], hive_partitioning=false)"  # noqa: S608


def plan(table: Table, *, snapshot_id: str | None = None, where: Where = ALL) -> Plan:
    """Return what to read of ``table`` at a snapshot; None means the current one.

    A snapshot that is not kept any more raises ``snapshot_expired``.
    """
    wanted = None if snapshot_id is None else int(snapshot_id)
    if wanted is not None and table.snapshot_by_id(wanted) is None:
        raise expired(table, ".".join(table.name()), snapshot_id)
    scan = table.scan(row_filter=where.expression(), snapshot_id=wanted)
    with catalog.reaching():
        tasks = list(scan.plan_files())
    simple = len(table.schemas()) == 1 and not any(task.delete_files for task in tasks)
    files = tuple(sorted(task.file.file_path.removeprefix("file://") for task in tasks))
    return Plan(
        arrow_schema(table.schema()),
        columns(table.schema()),
        files if simple else (),
        None if simple or not files else scan,
    )


def arrow_schema(schema: Schema) -> pa.Schema:
    """Return the table's columns as they are read: plain strings, UTC times, no field ids."""
    from pyiceberg.io.pyarrow import schema_to_pyarrow  # loads datasets: only for who reads

    fields = schema_to_pyarrow(schema, include_field_ids=False)
    return pa.schema([pa.field(f.name, _plain(f.type), f.nullable) for f in fields])


def columns(schema: Schema) -> tuple[tuple[str, str], ...]:
    """Return each column's name with its name inside Parquet files, where it may be escaped."""
    inner = sanitize_column_names(schema)
    return tuple((a.name, b.name) for a, b in zip(schema.fields, inner.fields, strict=True))


def select(
    sql: str, sources: Mapping[str, pa.Table | Plan], parameters: Mapping[str, object] | None = None
) -> pa.Table:
    """Run our own ``sql`` over named sources and return the rows, times in UTC."""
    with _database().cursor() as connection:  # names are its own: temporary, and gone with it
        for name, source in sources.items():
            offer(connection, name, source)
        with _reading():
            return connection.sql(sql, params=dict(parameters or {})).to_arrow_table()


def _database() -> duckdb.DuckDBPyConnection:
    """Return the one empty DuckDB of this process: to open another costs 20 ms a read."""
    with _opening:
        if (found := _opened.get(os.getpid())) is None:  # a fork has no threads of its parent's
            found = duckdb.connect(config={**_SETTINGS, "enable_external_file_cache": False})
            found.execute("SET GLOBAL TimeZone = 'UTC'")
            _opened[os.getpid()] = found
        return found


_SETTINGS: dict[str, Any] = {
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "allow_community_extensions": False,
    "python_enable_replacements": False,
}
_opened: dict[int, duckdb.DuckDBPyConnection] = {}
_opening = threading.Lock()


@contextmanager
def connected(
    *, memory_mb: int | None = None, spill: Path | None = None
) -> Iterator[duckdb.DuckDBPyConnection]:
    """Yield a DuckDB of our own: in memory, UTC, without extensions from elsewhere.

    Beyond ``memory_mb`` it writes to the folder ``spill``.
    """
    limits = {} if memory_mb is None else {"memory_limit": f"{memory_mb}MB"}
    limits |= {} if spill is None else {"temp_directory": str(spill)}
    connection = duckdb.connect(config={**_SETTINGS, **limits})
    try:
        connection.execute("SET TimeZone = 'UTC'")
        yield connection
    finally:
        connection.close()


def offer(connection: duckdb.DuckDBPyConnection, name: str, source: pa.Table | Plan) -> None:
    """Let the connection's queries read ``source`` as the table ``name``."""
    if isinstance(source, Plan) and source.files:
        with _reading():
            connection.execute(f"CREATE TEMP VIEW {identifier(name)} AS {source.sql()}")
    else:
        connection.register(name, source.rows() if isinstance(source, Plan) else source)


def identifier(name: str) -> str:
    """Return ``name`` quoted as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def quoted(text: str) -> str:
    """Return ``text`` quoted as an SQL string."""
    return "'" + text.replace("'", "''") + "'"


def _plain(kind: pa.DataType) -> pa.DataType:
    return pa.string() if pa.types.is_large_string(kind) else kind


def _among(column: str, members: list[str]) -> tuple[str, dict[str, object]]:
    """Return the clause for one of some values: a few are compared with each row group's bounds."""
    name = identifier(column)
    if not 0 < len(members) <= FEW:
        return f"list_contains(${column}, {name})", {column: members}
    given: dict[str, object] = {f"{column}_{i}": value for i, value in enumerate(members)}
    return f"{name} IN ({', '.join(f'${key}' for key in given)})", given


def _in(column: str, values: Sequence[str]) -> BooleanExpression:
    return In(term=Reference(name=column), literals={literal(value) for value in values})


def _time(moment: dt.datetime) -> Literal[str]:
    return literal(_utc(moment).isoformat())


def _utc(moment: dt.datetime) -> dt.datetime:
    return moment.astimezone(dt.UTC)


@contextmanager
def _reading() -> Iterator[None]:
    """A file that is gone or broken is a fault of the warehouse."""
    try:
        yield
    except duckdb.IOException as error:
        raise catalog.unreachable("warehouse") from error
