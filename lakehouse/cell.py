"""``python -m lakehouse.cell FD``: the throw-away process that one query runs in, and its parent.

The parent is warm and idle, has one thread and no rights; it forks a child per query. A child
parses before it knows any table, and then opens exactly the files it is told, by names below the
warehouse: what it could tell of them says nothing about this machine.
"""

from __future__ import annotations

import json
import os
import re
import resource
import sys
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, NoReturn

import duckdb
import pyarrow as pa

from lakehouse import confined, landlock, seccomp, values
from lakehouse.confined import lay_down_rights, limit
from lakehouse.lean import without_pandas

BASE_MB = 1_792
"""Address space of libraries, stacks and Arrow besides DuckDB's own limit: 2 GB with 256 MB."""
LEAST_CPU_S = 10
GOOD, BAD, CRASH = b"G", b"B", "Crash"
"""First byte of an answer: what was asked for, or what went wrong; an error that is ours."""
WARM = (
    "SELECT 1, 1.5, 2::HUGEINT, 'a', now(), now()::TIMESTAMP, today(), TIME '12:30', [1], {'a': 1},"
    " MAP([1], ['b']), '\\x00'::BLOB, uuid(), INTERVAL 1 DAY, true, NULL FROM range(2)"
)
"""Whatever converting values imports, it imports before there is a query."""
THREADS = 2


def main() -> int:
    """Fork a child for each line that comes over the socket; end with its other end."""
    database = warmed()
    return attend(int(sys.argv[1]), database, lay_down_rights())


def warmed() -> duckdb.DuckDBPyConnection:
    """Return an empty database without threads, which a fork may share, and know every type."""
    without_pandas()
    database = duckdb.connect(
        config={
            "threads": 1,
            "memory_limit": "64MB",
            "temp_directory": "",
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "allow_community_extensions": False,
            "python_enable_replacements": False,
        }
    )
    database.execute("SET GLOBAL TimeZone = 'UTC'")
    parse(database, "SELECT 1")
    with database.cursor() as cursor:
        values.answer(cursor.sql(WARM), 1)
    return database


def attend(control_fd: int, database: duckdb.DuckDBPyConnection, fences: list[str]) -> int:
    """Wait for lines, fork a child for each."""
    return confined.attend(control_fd, lambda fd: _live(Connection(fd), database, fences))


def confine(timeout_s: float, memory_mb: int) -> None:
    """Bound memory and processor time of this process."""
    limit(resource.RLIMIT_AS, (BASE_MB + memory_mb) << 20)
    limit(resource.RLIMIT_CPU, max(LEAST_CPU_S, int(timeout_s * 4)))


def parse(database: duckdb.DuckDBPyConnection, sql: str) -> bytes:
    """Return the syntax tree as JSON; nothing is bound, no table is known here."""
    with database.cursor() as cursor:
        row = cursor.execute("SELECT json_serialize_sql(?::VARCHAR)", [sql]).fetchone()
    return str(row[0]).encode() if row else b"{}"


def _live(line: Connection, database: duckdb.DuckDBPyConnection, fences: list[str]) -> NoReturn:
    try:
        held = fences + ["seccomp"] * seccomp.bind()
        line.send_bytes(json.dumps({"pid": os.getpid(), "fences": held}).encode())
        _serve(line, database)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        pass  # refused, or the server is gone
    finally:
        os._exit(0)


def _serve(line: Connection, database: duckdb.DuckDBPyConnection) -> None:
    """Answer one query: SQL and limits in, tree out, plan in, JSON or an error out."""
    asked = json.loads(line.recv_bytes())
    sql, timeout_s = asked["sql"], asked["timeout_s"]
    confine(timeout_s, asked["memory_mb"])
    line.send_bytes(_answer(lambda: parse(database, sql)))
    plan = json.loads(line.recv_bytes())
    with database.cursor() as cursor:  # a context of its own: with chance of its own, too
        made = _answer(lambda: _prepared(cursor, plan, asked["memory_mb"]))
        if made != GOOD:
            line.send_bytes(made)
            return
        timer = threading.Timer(timeout_s, cursor.interrupt)
        timer.daemon = True
        timer.start()
        line.send_bytes(_answer(lambda: _run(cursor, sql, plan["max_rows"])))


def _prepared(cursor: duckdb.DuckDBPyConnection, plan: dict[str, Any], memory_mb: int) -> bytes:
    """Make the views, then lock every door behind them."""
    if plan["files"]:
        os.chdir(plan["root"])
    landlock.forbid_reading_but(plan["files"])  # before threads: it holds for those to come
    cursor.execute(f"SET threads = {THREADS}")
    cursor.execute(f"SET memory_limit = '{memory_mb}MB'")
    for schema, name, select in plan["views"]:
        cursor.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}")
        cursor.execute(f"CREATE VIEW {schema}.{name} AS {select}")
    cursor.execute(f"SET allowed_paths = {_list(plan['files'])}")
    cursor.execute("SET enable_external_access = false")
    cursor.execute("SET lock_configuration = true")
    return b""


def _run(cursor: duckdb.DuckDBPyConnection, sql: str, max_rows: int) -> bytes:
    (statement,) = cursor.extract_statements(sql)
    return values.answer(cursor.sql(statement), max_rows)


def _answer(work: Callable[[], bytes]) -> bytes:
    """Return what ``work`` gives, or the kind and text of its error, marked."""
    try:
        return GOOD + work()
    except Exception as error:  # noqa: BLE001 - the last line of a process that only answers
        return BAD + json.dumps({"kind": _kind(error), "message": str(error)[:2_000]}).encode()


def _kind(error: Exception) -> str:
    """Return what kind of error this is; what speaks of the query keeps its own name.

    An error on the way comes through Arrow's stream, as an OSError with DuckDB's text.
    """
    if isinstance(error, MemoryError | pa.ArrowMemoryError):
        return "OutOfMemoryException"
    broken = isinstance(error, duckdb.InternalError | duckdb.FatalException)
    if isinstance(error, duckdb.Error | values.RefusedError) and not broken:
        return type(error).__name__
    streamed = re.match(r"([A-Za-z ]+) Error: ", str(error))
    if broken or streamed is None:
        return CRASH
    return _STREAMED.get(streamed[1], "StreamedException")


_STREAMED = {
    "INTERRUPT": "InterruptException",
    "Out of Memory": "OutOfMemoryException",
    "IO": "IOException",
    "INTERNAL": CRASH,
    "FATAL": CRASH,
}


def _list(texts: list[str]) -> str:
    return "[" + ", ".join("'" + text.replace("'", "''") + "'" for text in texts) + "]"


if __name__ == "__main__":
    sys.exit(main())
