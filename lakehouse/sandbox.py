"""SQL of agents: judged by its syntax tree, run in a throw-away process, cut to size."""

from __future__ import annotations

import hashlib
import json
import logging
import re
import threading
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, NoReturn

from lakehouse import catalog, cell, child, gate, views
from lakehouse.asof import AsOf, time_of
from lakehouse.child import Child, Leash
from lakehouse.errors import (
    DataChangedError,
    InvalidSqlError,
    SqlNotAllowedError,
    SqlTimeoutError,
)
from lakehouse.lake import Lake
from lakehouse.nursery import Nursery
from lakehouse.turns import Turns
from topology.errors import BadInputError, FaultError
from topology.sections import SqlLimits

LONGEST_SQL = 20_000
AT_ONCE = 4
"""Queries of one process that run at the same time; the next ones wait their turn."""
EACH = 3
"""How many of them may be one caller's: the last place is always somebody else's."""
WAITING = 32
"""Queries of one caller that may wait."""

_UNSPEAKABLE = re.compile("[\0\ud800-\udfff]")
_nursery = Nursery()
_turns: Turns[SqlResult]
_closed = threading.Event()
_log = logging.getLogger(__name__)


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


@dataclass(frozen=True, slots=True)
class Asked:
    """A query on its way: its future answer, and what ends it."""

    answer: Future[SqlResult]
    leash: Leash

    def end(self) -> None:
        """End the query at once, whether it waits, runs or has ended; from any thread."""
        self.answer.cancel()
        self.leash.pull()


_turns = Turns(AT_ONCE, each=EACH, waiting=WAITING, name="query_sql")


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
    return ask(lake, sql, max_rows=max_rows, as_of=as_of, limits=limits).answer.result()


def ask(
    lake: Lake,
    sql: str,
    *,
    who: str = "",
    max_rows: int = 1_000,
    as_of: AsOf = None,
    limits: SqlLimits | None = None,
) -> Asked:
    """Put a query in line, in ``who``'s turn, and return at once; see `query_sql`.

    At most `AT_ONCE` run in this process, of one caller `EACH`; who waits too often is refused
    (``rate_limited``).
    """
    bounds = limits or SqlLimits()
    _refuse_arguments(sql, max_rows, bounds)
    time_of(as_of)  # one that cannot be read is refused, whatever the query reads
    leash = Leash()
    return Asked(
        _turns.submit(who, lambda: _answered(lake, sql, max_rows, as_of, bounds, leash)), leash
    )


def _answered(
    lake: Lake, sql: str, max_rows: int, as_of: AsOf, limits: SqlLimits, leash: Leash
) -> SqlResult:
    leash.refuse_pulled()
    _refuse_closed()
    with Child(_nursery, limits, leash) as process:
        names = gate.tables(_body(process.parse(sql), []).decode())
        made = views.planned(lake, names, as_of)
        plan = {"root": made.root, "views": made.views, "files": made.files, "max_rows": max_rows}
        before = views.stamps(made.paths())
        try:
            answer = process.ask(plan)
        finally:
            _refuse_changed(views.changed(before), sql)
        return _result(answer, made.snapshot_ids, made.files)


def _refuse_changed(files: list[str], sql: str) -> None:
    """Close query_sql for good when a data file is not what it was: that must not happen."""
    if files:
        _closed.set()
        _log.critical("data files changed under a query, query_sql is closed: %s", files)
        raise DataChangedError(
            "A data file changed while a query read it, so query_sql is closed.",
            hint="Find out which query did it (audit log), then start the servers again.",
            files=len(files),
            sql_sha256=hashlib.sha256(sql.encode()).hexdigest(),
        )


def _refuse_closed() -> None:
    if _closed.is_set():
        raise FaultError(
            "query_sql is closed, because a data file changed while a query read it.",
            hint="Find out which query did it (audit log), then start the servers again.",
        )


def _refuse_arguments(sql: str, max_rows: int, limits: SqlLimits) -> None:
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


def _result(answer: bytes, snapshot_ids: dict[str, str], files: list[str]) -> SqlResult:
    found = json.loads(_body(answer, files))
    columns = tuple(SqlColumn(name, kind) for name, kind in found["columns"])
    rows = found["rows"]
    return SqlResult(columns, rows, len(rows), found["truncated"], snapshot_ids)


def _body(answer: bytes, files: list[str]) -> bytes:
    if answer[:1] == cell.BAD:
        told = json.loads(answer[1:])
        if told["kind"] == "IOException" or any(file in told["message"] for file in files):
            raise catalog.unreachable("warehouse")
        _raise(told["kind"], told["message"])
    return answer[1:]


def _raise(kind: str, message: str) -> NoReturn:
    """Raise ours for an error of DuckDB; its text explains the query, never files."""
    if kind == "InterruptException":
        raise SqlTimeoutError(
            "The query ran longer than it may.",
            hint="Read fewer rows: filter by symbol and time, or aggregate in steps.",
        )
    if kind in ("OutOfMemoryException", "TooLargeError"):
        raise child.memory()
    if kind in ("PermissionException", "NotImplementedException"):
        raise SqlNotAllowedError(
            "query_sql does not allow what this query asks for.", hint=gate.HINT, construct=kind
        )
    if kind == "OutOfRangeError":
        raise InvalidSqlError(
            "The result holds a time that is infinite or outside the years 1 to 9999.",
            hint="Cast the column to VARCHAR.",
        )
    if kind == cell.CRASH:  # its text may show a stack, with paths
        _log.error("the process of a query failed: %s", message)
        raise InvalidSqlError("DuckDB fails on this query.", hint="Ask in another way.")
    explanation = message.split("\nLINE ", 1)[0].strip()
    raise InvalidSqlError(f"The query fails: {explanation[:500]}", hint=gate.HINT)
