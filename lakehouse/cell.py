"""``python -m lakehouse.cell FD``: the throw-away process that one query runs in, and its parent.

The parent is warm and idle, has one thread and no rights; it forks a child per query. A child
parses before it knows any table, and it opens exactly the files it is told.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import socket
import sys
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, NoReturn

import duckdb
import pyarrow as pa

from lakehouse import values
from lakehouse.lean import without_pandas

BASE_MB = 1_792
"""Address space of libraries, stacks and Arrow besides DuckDB's own limit: 2 GB with 256 MB."""
LEAST_CPU_S = 10
GOOD, BAD = b"G", b"B"
"""First byte of an answer: what was asked for, or what went wrong."""
_CAPABILITY_VERSION_3 = 0x20080522
_PR_SET_PDEATHSIG = 1


def main() -> int:
    """Fork a child for each line that comes over the socket; end with its other end."""
    lay_down_rights()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    without_pandas()
    duckdb.connect(config=_settings(1, 64)).close()  # what only the first connection costs
    with socket.socket(fileno=int(sys.argv[1])) as control:
        while True:
            message, lines, _, _ = socket.recv_fds(control, 1, 1)
            if not message:
                return 0
            if os.fork() == 0:
                control.close()
                _live(Connection(lines[0]))
            os.close(lines[0])


def _live(line: Connection) -> NoReturn:
    try:
        _end_with_parent()
        serve(line)
    finally:
        os._exit(0)


def serve(line: Connection) -> None:
    """Answer one query: pid out, SQL and limits in, tree out, plan in, JSON or an error out."""
    line.send_bytes(str(os.getpid()).encode())
    try:
        asked = json.loads(line.recv_bytes())
        sql, timeout_s, memory_mb = asked["sql"], asked["timeout_s"], asked["memory_mb"]
        confine(timeout_s, memory_mb)
        line.send_bytes(_answer(lambda: parse(sql)))
        plan = json.loads(line.recv_bytes())
        line.send_bytes(_answer(lambda: _run(sql, plan, timeout_s, memory_mb)))
    except (EOFError, BrokenPipeError, ConnectionResetError):  # refused, or the server is gone
        return


def confine(timeout_s: float, memory_mb: int) -> None:
    """Bound memory and processor time."""
    _limit(resource.RLIMIT_AS, (BASE_MB + memory_mb) << 20)
    _limit(resource.RLIMIT_CPU, max(LEAST_CPU_S, int(timeout_s * 4)))


def lay_down_rights() -> None:
    """Give up capabilities, files to write and crash dumps, for this process and its children.

    Without CAP_DAC_OVERRIDE a file of mode 0444 cannot be written even as uid 0.
    """
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
        if libc.capset(header, (ctypes.c_uint32 * 6)()) != 0:
            raise OSError(ctypes.get_errno(), "capabilities cannot be dropped")
    _limit(resource.RLIMIT_FSIZE, 0)
    _limit(resource.RLIMIT_CORE, 0)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)


def _limit(which: int, wanted: int) -> None:
    hard = resource.getrlimit(which)[1]
    value = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(which, (value, value))


def _end_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def parse(sql: str) -> bytes:
    """Return the syntax tree as JSON; nothing is bound, no table is known here."""
    with duckdb.connect(config=_settings(1, 64)) as connection:
        row = connection.execute("SELECT json_serialize_sql(?::VARCHAR)", [sql]).fetchone()
    return str(row[0]).encode() if row else b"{}"


def _run(sql: str, plan: dict[str, Any], timeout_s: float, memory_mb: int) -> bytes:
    with duckdb.connect(config=_settings(2, memory_mb)) as connection:
        for schema, name, select in plan["views"]:
            connection.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}")
            connection.execute(f"CREATE VIEW {schema}.{name} AS {select}")
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(f"SET allowed_paths = {_list(plan['files'])}")
        connection.execute("SET enable_external_access = false")
        connection.execute("SET lock_configuration = true")
        timer = threading.Timer(timeout_s, connection.interrupt)
        timer.daemon = True
        timer.start()
        (statement,) = connection.extract_statements(sql)
        return values.answer(connection.sql(statement), plan["max_rows"])


def _answer(work: Callable[[], bytes]) -> bytes:
    """Return what ``work`` gives, or the kind and text of its error, marked."""
    try:
        return GOOD + work()
    except (
        duckdb.Error,
        MemoryError,
        pa.ArrowException,
        values.TooLargeError,
        values.OutOfRangeError,
    ) as error:
        kind = "OutOfMemoryException" if isinstance(error, MemoryError) else type(error).__name__
        return BAD + json.dumps({"kind": kind, "message": str(error)[:2_000]}).encode()


def _settings(threads: int, memory_mb: int) -> dict[str, Any]:
    return {
        "threads": threads,
        "memory_limit": f"{memory_mb}MB",
        "temp_directory": "",
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        "allow_community_extensions": False,
        "python_enable_replacements": False,
    }


def _list(texts: list[str]) -> str:
    return "[" + ", ".join("'" + text.replace("'", "''") + "'" for text in texts) + "]"


if __name__ == "__main__":
    sys.exit(main())
