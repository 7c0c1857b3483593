"""SQL of agents: judged by its syntax tree, run in a throw-away process, cut to size."""

from __future__ import annotations

import json
import os
import re
import signal
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NoReturn

from lakehouse import catalog, cell, gate, scan
from lakehouse.asof import AsOf, snapshot_at
from lakehouse.errors import InvalidSqlError, SqlMemoryError, SqlNotAllowedError, SqlTimeoutError
from lakehouse.lake import Lake
from lakehouse.nursery import Nursery
from topology.errors import BadInputError, FaultError, RefusedError
from topology.sections import SqlLimits

LONGEST_SQL = 20_000
AT_ONCE = 4
"""Queries of one server that may run at the same time; the next ones wait their turn."""
KILL_AFTER = 2.0
"""Times the limit after which a query that ignores the interrupt is killed."""
START_S = 30.0
"""Longest start of a child: the first one also starts the nursery, on a busy machine."""

_UNSPEAKABLE = re.compile("[\0\ud800-\udfff]")
_nursery = Nursery()
_turns = threading.BoundedSemaphore(AT_ONCE)
_closed = threading.Event()


@dataclass(frozen=True, slots=True)
class SqlColumn:
    """A column of a result: its name and DuckDB type."""

    name: str
    type: str


@dataclass(frozen=True, slots=True)
class SqlResult:
    """Rows as JSON values (see `lakehouse.values.cell`) in the columns' order.

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
            names = gate.tables(_body(child.parse(sql)).decode())
            views, files, snapshot_ids = _planned(lake, names, as_of)
            plan = {"views": views, "files": files, "max_rows": max_rows}
            before = _guarded(files)
            try:
                answer = child.ask(plan)
            finally:
                _refuse_changed(before)
            return _result(answer, snapshot_ids)
    finally:
        _turns.release()


class _Cell:
    """One child process; leaving the block ends it, whatever it is doing."""

    def __init__(self, limits: SqlLimits) -> None:
        self._limits = limits
        self._patience_s = limits.timeout_s * KILL_AFTER
        self._line = _nursery.child()
        self._busy = False
        self._pid = 0

    def __enter__(self) -> _Cell:
        try:
            if self._line.poll(START_S):
                self._pid = int(self._line.recv_bytes())
                return self
        except EOFError:
            pass
        self._line.close()
        raise FaultError("The process for queries does not start.", hint="Run `alphaswarm doctor`.")

    def __exit__(self, *_: object) -> None:
        self._line.close()
        if self._busy:  # so it is alive: a child that ended has closed its end of the line
            with suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGKILL)

    def parse(self, sql: str) -> bytes:
        """Return the answer to the first question: the query's tree."""
        bounds = {"timeout_s": self._limits.timeout_s, "memory_mb": self._limits.memory_mb}
        return self.ask({"sql": sql, **bounds})

    def ask(self, message: dict[str, Any]) -> bytes:
        """Send and return the answer; a child that is silent or dead becomes an error.

        Both answers of a child together may take twice the limit: parsing, too, can be a bomb.
        """
        asked = time.monotonic()
        try:
            self._busy = True
            self._line.send_bytes(json.dumps(message).encode())
            if not self._line.poll(max(self._patience_s, 0.0)):
                raise self._timeout()
            answer = self._line.recv_bytes()
        except (EOFError, BrokenPipeError, ConnectionResetError) as error:
            slow = time.monotonic() - asked > self._limits.timeout_s
            self._busy = False
            raise (self._timeout() if slow else _memory()) from error
        self._busy = False
        self._patience_s -= time.monotonic() - asked
        return answer

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
    try:
        for file in files:
            if os.stat(file).st_mode & 0o222:
                os.chmod(file, 0o444)
        return {file: _stamp(file) for file in files}
    except OSError as error:
        raise catalog.unreachable("warehouse") from error


def _stamp(file: str) -> tuple[int, int]:
    facts = os.stat(file)
    return facts.st_size, facts.st_mtime_ns


def _changed(file: str, stamp: tuple[int, int]) -> bool:
    try:
        return _stamp(file) != stamp
    except FileNotFoundError:  # maintenance removes files; no query can
        return False


def _refuse_changed(before: Mapping[str, tuple[int, int]]) -> None:
    """Close query_sql for good when a data file is not what it was: that must not happen."""
    if any(_changed(file, stamp) for file, stamp in before.items()):
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
    if not sql.strip() or len(sql) > LONGEST_SQL or _UNSPEAKABLE.search(sql):
        raise InvalidSqlError(
            f"A query has 1 to {LONGEST_SQL} characters, none of them NUL or half a pair.",
            hint="Write one SELECT.",
        )
    if not 1 <= max_rows <= limits.max_rows:
        raise BadInputError(
            f"max_rows is {max_rows} but must be between 1 and {limits.max_rows}.",
            hint="Ask for fewer rows; truncated says whether there are more.",
            value=max_rows,
            maximum=limits.max_rows,
        )


def _result(answer: bytes, snapshot_ids: dict[str, str]) -> SqlResult:
    found = json.loads(_body(answer))
    columns = tuple(SqlColumn(name, kind) for name, kind in found["columns"])
    rows = found["rows"]
    return SqlResult(columns, rows, len(rows), found["truncated"], snapshot_ids)


def _body(answer: bytes) -> bytes:
    if answer[:1] == cell.BAD:
        _raise(**json.loads(answer[1:]))
    return answer[1:]


def _raise(kind: str, message: str) -> NoReturn:
    """Raise ours for an error of DuckDB; its text explains the query, never files."""
    if kind == "InterruptException":
        raise SqlTimeoutError(
            "The query ran longer than it may.",
            hint="Read fewer rows: filter by symbol and time, or aggregate in steps.",
        )
    if kind in ("OutOfMemoryException", "TooLargeError"):
        raise _memory()
    if kind in ("PermissionException", "NotImplementedException"):
        raise SqlNotAllowedError(
            "query_sql does not allow what this query asks for.", hint=gate.HINT, construct=kind
        )
    if kind == "OutOfRangeError":
        raise InvalidSqlError(
            "The result holds a time that is infinite or outside the years 1 to 9999.",
            hint="Cast the column to VARCHAR.",
        )
    if kind == "IOException":
        raise catalog.unreachable("warehouse")
    explanation = message.split("\nLINE ", 1)[0].strip()
    if "/" in explanation and ".parquet" in explanation:
        raise catalog.unreachable("warehouse")
    raise InvalidSqlError(f"The query fails: {explanation[:500]}", hint=gate.HINT)


def _memory() -> SqlMemoryError:
    return SqlMemoryError(
        "The query or its result needs more memory than it may.",
        hint="Aggregate, select fewer columns, or read fewer rows.",
    )
