"""The throw-away process that one query runs in: no rights, little memory, little time.

It parses before it knows any table, and it opens exactly the files it is told. Imports stay few:
the fork server holds this module, and every query pays for what it holds.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import sys
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

import duckdb
import pyarrow as pa

ADDRESS_SPACE = 2 << 30
RESULT_BYTES = 16 << 20
BATCH_ROWS = 2_048
WHOLE, CUT, ERROR = b"W", b"C", b"E"
"""First byte of an answer: all of it, the first part of it, or what went wrong."""
_CAPABILITY_VERSION_3 = 0x20080522


def serve(pipe: Connection, timeout_s: float, memory_mb: int) -> None:
    """Answer one query: SQL in, tree out, plan in, Arrow rows or an error out."""
    confine(timeout_s)
    sql = pipe.recv_bytes().decode()
    pipe.send_bytes(_answer(lambda: parse(sql)))
    try:
        plan = json.loads(pipe.recv_bytes())
    except EOFError:  # the gate said no
        return
    pipe.send_bytes(_answer(lambda: _run(sql, plan, timeout_s, memory_mb)))


def confine(timeout_s: float) -> None:
    """Give up every right: capabilities, environment, files to write, memory, processor time.

    Without CAP_DAC_OVERRIDE a file of mode 0444 cannot be written even as uid 0.
    """
    os.environ.clear()
    _drop_capabilities()
    cpu_s = max(10, int(timeout_s * 4))
    for limit, wanted in (
        (resource.RLIMIT_AS, ADDRESS_SPACE),
        (resource.RLIMIT_CPU, cpu_s),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        hard = resource.getrlimit(limit)[1]
        value = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(limit, (value, value))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)


def parse(sql: str) -> bytes:
    """Return the syntax tree as JSON, marked; nothing is bound, no table is known here."""
    with duckdb.connect(config=_settings(1, 64)) as connection:
        row = connection.execute("SELECT json_serialize_sql(?::VARCHAR)", [sql]).fetchone()
    return WHOLE + (str(row[0]).encode() if row else b"{}")


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
        return _rows(connection, sql, plan["max_rows"])


def _rows(connection: duckdb.DuckDBPyConnection, sql: str, most: int) -> bytes:
    """Return at most ``most`` rows and 16 MB as an Arrow stream, marked."""
    reader = connection.sql(sql).to_arrow_reader(BATCH_ROWS)
    sink = pa.BufferOutputStream()
    left, size, mark = most, 0, WHOLE
    with pa.ipc.new_stream(sink, reader.schema) as stream:
        for batch in reader:
            size += batch.nbytes
            if size > RESULT_BYTES and left == most:
                raise MemoryError(f"The first {batch.num_rows} rows alone are beyond the limit.")
            if size > RESULT_BYTES or batch.num_rows > left:
                mark = CUT
                stream.write_batch(batch.slice(0, left if size <= RESULT_BYTES else 0))
                break
            stream.write_batch(batch)
            left -= batch.num_rows
    return mark + bytes(sink.getvalue())


def _answer(work: Callable[[], bytes]) -> bytes:
    """Return what ``work`` gives, or the kind and text of its error, marked."""
    try:
        return work()
    except (duckdb.Error, MemoryError, pa.ArrowException) as error:
        kind = "OutOfMemoryException" if isinstance(error, MemoryError) else type(error).__name__
        return ERROR + json.dumps({"kind": kind, "message": str(error)[:2_000]}).encode()


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


def _drop_capabilities() -> None:
    """Drop every capability of this thread, so of all threads that DuckDB starts later."""
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    nothing = (ctypes.c_uint32 * 6)()
    if libc.capset(header, nothing) != 0:
        raise OSError(ctypes.get_errno(), "capabilities cannot be dropped")
