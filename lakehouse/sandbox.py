"""SQL of agents: judged by its syntax tree, run in a throw-away process, cut to size."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from typing import Any, NoReturn

import pyarrow as pa

from lakehouse import catalog, cell, gate, scan, values
from lakehouse.asof import AsOf, snapshot_at
from lakehouse.errors import InvalidSqlError, SqlMemoryError, SqlNotAllowedError, SqlTimeoutError
from lakehouse.lake import Lake
from topology.errors import BadInputError, FaultError, RefusedError

LONGEST_SQL = 20_000
AT_ONCE = 4
"""Queries of one server that may run at the same time; the next ones wait their turn."""
KILL_AFTER = 2.0
"""Times the limit after which a query that ignores the interrupt is killed."""
START_S = 30.0
"""Longest start of a process: the first one also starts the fork server, on a busy machine."""

_turns = threading.BoundedSemaphore(AT_ONCE)
_closed = threading.Event()


@dataclass(frozen=True, slots=True)
class SqlLimits:
    """What a query may use: seconds, megabytes of DuckDB memory, and rows returned at most."""

    timeout_s: float = 3.0
    memory_mb: int = 256
    max_rows: int = 10_000


@dataclass(frozen=True, slots=True)
class SqlColumn:
    """A column of a result: its name and Arrow type."""

    name: str
    type: str


@dataclass(frozen=True, slots=True)
class SqlResult:
    """Rows as JSON values (see `lakehouse.values`) in the columns' order.

    ``truncated`` says that there are more rows than these; ``snapshot_ids`` what was read.
    """

    columns: tuple[SqlColumn, ...]
    rows: list[list[Any]]
    row_count: int
    truncated: bool
    snapshot_ids: dict[str, str]


def query_sql(
    lake: Lake,
    sql: str,
    *,
    max_rows: int = 1_000,
    as_of: AsOf = None,
    limits: SqlLimits | None = None,
) -> SqlResult:
    """Run one SELECT over tables of the lake, named ``namespace.table``, and return its rows.

    Refuses (``sql_not_allowed``) whatever is no plain SELECT; ``table_not_found`` names the
    nearest tables; ``sql_timeout`` and ``sql_memory`` end what takes too much; a query that does
    not parse or bind is ``invalid_arguments`` with DuckDB's explanation. Times are UTC.
    """
    limits = limits or SqlLimits()
    _refuse_arguments(sql, max_rows, limits)
    if not _turns.acquire(timeout=limits.timeout_s * KILL_AFTER):
        raise RefusedError(
            f"{AT_ONCE} queries are running.", hint="Try again shortly.", code="rate_limited"
        )
    try:
        with _Cell(limits) as child:
            names = gate.tables(_text(child.ask(sql.encode(), START_S)))
            views, files, snapshot_ids = _planned(lake, names, as_of)
            plan = {"views": views, "files": files, "max_rows": max_rows}
            before = _guarded(files)
            answer = child.ask(json.dumps(plan).encode(), limits.timeout_s * KILL_AFTER)
            _refuse_changed(before)
            return _result(answer, snapshot_ids)
    finally:
        _turns.release()


class _Cell:
    """One child process; leaving the block ends it, whatever it is doing."""

    def __init__(self, limits: SqlLimits) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["lakehouse.cell"])
        self._limits = limits
        self._pipe, theirs = context.Pipe()
        self._child: BaseProcess = context.Process(
            target=cell.serve, args=(theirs, limits.timeout_s, limits.memory_mb), daemon=True
        )
        self._child.start()
        theirs.close()

    def __enter__(self) -> _Cell:
        return self

    def __exit__(self, *_: object) -> None:
        self._pipe.close()
        self._child.kill()
        self._child.join()
        self._child.close()

    def ask(self, message: bytes, patience_s: float) -> bytes:
        """Send and return the answer; a child that is silent or dead becomes an error."""
        try:
            self._pipe.send_bytes(message)
            if not self._pipe.poll(patience_s):
                raise self._timeout()
            return self._pipe.recv_bytes(cell.RESULT_BYTES * 2)
        except (EOFError, BrokenPipeError, ConnectionResetError) as error:
            self._child.join(1.0)
            if self._child.exitcode == -signal.SIGXCPU:
                raise self._timeout() from error
            raise _memory() from error

    def _timeout(self) -> SqlTimeoutError:
        return SqlTimeoutError(
            f"The query ran longer than {self._limits.timeout_s:g} s.",
            hint="Read fewer rows: filter by symbol and time, or aggregate in steps.",
            timeout_s=self._limits.timeout_s,
        )


def _planned(
    lake: Lake, names: list[str], as_of: AsOf
) -> tuple[list[list[str]], list[str], dict[str, str]]:
    """Return the views to make, the files they read, and the snapshot of each table."""
    loaded = {name: catalog.load(lake, name) for name in names}
    views: list[list[str]] = []
    files: list[str] = []
    snapshot_ids: dict[str, str] = {}
    for name, table in loaded.items():
        snapshot_ids[name] = snapshot_at(loaded, name, as_of)
        plan = scan.plan(table, snapshot_id=snapshot_ids[name])
        if plan.rows is not None and plan.rows.num_rows:
            raise FaultError(
                f"{name!r} has deleted rows or changed columns, which SQL does not read yet.",
                hint="Read it with get_bars, or query another table.",
                table=name,
            )
        select = plan.sql() if plan.files else _nothing(table.schema().fields)
        views.append([*name.split("."), select])
        files += plan.files
    return views, files, snapshot_ids


def _nothing(fields: Any) -> str:
    columns = (f"NULL::{field.field_type} AS {scan.identifier(field.name)}" for field in fields)
    return f"SELECT {', '.join(columns)} WHERE false"


def _guarded(files: list[str]) -> dict[str, tuple[int, int]]:
    """Make data files read-only and return their size and change time.

    A child without capabilities cannot write a file of mode 0444, not even as uid 0.
    """
    for file in files:
        if os.stat(file).st_mode & 0o222:
            os.chmod(file, 0o444)
    return {file: _stamp(file) for file in files}


def _stamp(file: str) -> tuple[int, int]:
    facts = os.stat(file)
    return facts.st_size, facts.st_mtime_ns


def _refuse_changed(before: Mapping[str, tuple[int, int]]) -> None:
    """Close query_sql for good when a data file is not what it was: that must not happen."""
    if any(_stamp(file) != stamp for file, stamp in before.items()):
        _closed.set()
        _refuse_closed()


def _refuse_closed() -> None:
    if _closed.is_set():
        raise FaultError(
            "A data file changed while a query read it, so query_sql is closed.",
            hint="Find out which query did it (audit log), then start the servers again.",
        )


def _refuse_arguments(sql: str, max_rows: int, limits: SqlLimits) -> None:
    _refuse_closed()
    if not sql.strip() or len(sql) > LONGEST_SQL or "\0" in sql:
        raise InvalidSqlError(
            f"A query has 1 to {LONGEST_SQL} characters and no NUL.", hint="Write one SELECT."
        )
    if not 1 <= max_rows <= limits.max_rows:
        raise BadInputError(
            f"max_rows is {max_rows} but must be between 1 and {limits.max_rows}.",
            hint="Ask for fewer rows; truncated says whether there are more.",
            value=max_rows,
            maximum=limits.max_rows,
        )


def _text(answer: bytes) -> str:
    return _body(answer).decode()


def _result(answer: bytes, snapshot_ids: dict[str, str]) -> SqlResult:
    table = pa.ipc.open_stream(_body(answer)).read_all()
    columns = tuple(SqlColumn(field.name, str(field.type)) for field in table.schema)
    by_column = [values.plain(column.to_pylist()) for column in table.columns]
    rows = [list(row) for row in zip(*by_column, strict=True)]
    return SqlResult(columns, rows, len(rows), answer[:1] == cell.CUT, snapshot_ids)


def _body(answer: bytes) -> bytes:
    if answer[:1] == cell.ERROR:
        _raise(**json.loads(answer[1:]))
    return answer[1:]


def _raise(kind: str, message: str) -> NoReturn:
    """Raise ours for an error of DuckDB; its text explains the query, never files."""
    if kind == "InterruptException":
        raise SqlTimeoutError(
            "The query ran longer than it may.",
            hint="Read fewer rows: filter by symbol and time, or aggregate in steps.",
        )
    if kind == "OutOfMemoryException":
        raise _memory()
    if kind in ("PermissionException", "NotImplementedException"):
        raise SqlNotAllowedError(
            "query_sql does not allow what this query asks for.", hint=gate.HINT, construct=kind
        )
    if kind == "IOException":
        raise catalog.unreachable("warehouse")
    explanation = message.split("\nLINE ", 1)[0].strip()
    if "/" in explanation and ".parquet" in explanation:
        explanation = "a value cannot be read as asked"
    raise InvalidSqlError(f"The query fails: {explanation[:500]}", hint=gate.HINT)


def _memory() -> SqlMemoryError:
    return SqlMemoryError(
        "The query or its result needs more memory than it may.",
        hint="Aggregate, select fewer columns, or read fewer rows.",
    )
