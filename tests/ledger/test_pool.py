"""Connections: lent for one transaction, tried before, and silent about what they hold."""

from __future__ import annotations

import threading
import time
from typing import Any

import psycopg
import pytest

from ledger.pool import Connection, Pool, direct, transaction
from topology.errors import FaultError, StoreUnreachableError


def acks(pool: Pool) -> int:
    with transaction(pool) as connection:
        row = connection.execute("SELECT count(*) AS n FROM halt_acks").fetchone()
    assert row is not None
    return int(row["n"])


def acknowledge(pool: Pool, *, then: float) -> None:
    with transaction(pool) as connection:
        connection.execute("INSERT INTO halt_acks (epoch, run_id) VALUES (0, gen_random_uuid())")
        1 / then


def test_a_transaction_ends_with_its_block(pool: Pool) -> None:
    before = acks(pool)
    acknowledge(pool, then=1)
    with pytest.raises(ZeroDivisionError):
        acknowledge(pool, then=0)
    assert acks(pool) == before + 1


def test_connections_that_the_server_has_cut_are_replaced(
    pool: Pool, superuser: psycopg.Connection[Any]
) -> None:
    crowd = [threading.Thread(target=acks, args=(pool,)) for _ in range(30)]
    for thread in crowd:
        thread.start()
    for thread in crowd:
        thread.join()
    for _ in range(3):
        superuser.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'tests'"
        )
        started = time.monotonic()
        acks(pool)
        assert time.monotonic() - started < 1


def cut_and_ask(superuser: psycopg.Connection[Any], connection: Connection) -> None:
    superuser.execute("SELECT pg_terminate_backend(%s)", (connection.info.backend_pid,))
    connection.execute("SELECT 'secret text'")


def test_a_connection_cut_in_the_middle_is_an_unreachable_store(
    pool: Pool, superuser: psycopg.Connection[Any]
) -> None:
    with pytest.raises(StoreUnreachableError) as cut, transaction(pool) as connection:
        cut_and_ask(superuser, connection)
    assert "secret" not in str(cut.value.body())


def test_a_refused_operation_names_the_refusal_and_no_statement(pool: Pool) -> None:
    with pytest.raises(FaultError) as refused, transaction(pool) as connection:
        connection.execute("SELECT * FROM no_such_table")
    body = refused.value.body()
    assert "UndefinedTable" in body["message"]
    assert body["facts"] == {"sqlstate": "42P01"}
    assert "no_such_table" not in str(body)


def test_times_are_utc_and_rows_are_named(app_dsn: str) -> None:
    with direct(app_dsn, name="tests of zones") as connection:
        row = connection.execute(
            "SELECT now() AS at, current_setting('timezone') AS zone"
        ).fetchone()
    assert row is not None
    assert row["zone"] == "UTC"
    assert row["at"].utcoffset().total_seconds() == 0
