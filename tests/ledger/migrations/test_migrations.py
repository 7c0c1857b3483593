"""What a migrated home looks like, and who may do what in it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable

import psycopg
import pytest
from pyiceberg.catalog.sql import SqlCatalogBaseTable

from ledger import health
from ledger.migrations.record.r0001_specs_and_runs import KINDS as MIGRATED
from ledger.migrations.upgrade import head, upgrade
from ledger.pool import Pool, open_pool
from topology.errors import FaultError, StoreUnreachableError
from topology.home import Home
from topology.kinds import KINDS

RUN_COLUMNS = (
    *("run_id", "task_id", "spec_sha256", "run_sha", "result_sha", "status", "fence"),
    *("lease_until", "created_at", "started_at", "finished_at", "snapshot_ids", "inputs"),
    *("engine", "statistics", "result_tables", "error", "requested_by"),
)


def columns(dsn: str, table: str) -> list[str]:
    with psycopg.connect(dsn) as connection:
        rows = connection.execute(
            "SELECT column_name FROM information_schema.columns WHERE table_name = %s"
            " ORDER BY ordinal_position",
            (table,),
        )
        return [row[0] for row in rows]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_the_tables_of_the_contract(app_dsn: str, kind: str) -> None:
    assert columns(app_dsn, f"{kind}_spec_versions") == [
        "sha256",
        "name",
        "version",
        "canonical",
        "body",
        "created_at",
        "created_by",
    ]
    promised = list(RUN_COLUMNS)
    if kind == "backtest":
        promised += ["sharpe", "total_return", "max_drawdown"]
    assert set(promised) <= set(columns(app_dsn, f"{kind}_runs"))


@pytest.mark.parametrize(
    ("table", "promised"),
    [
        ("run_events", "task_id seq frame"),
        ("halts", "epoch scope action actor acr auth_time reason at"),
        ("halt_acks", "epoch run_id at"),
        (
            "audit",
            "seq at actor action target args_sha256 decision facts prev_hash hash",
        ),
    ],
)
def test_the_other_tables_of_the_contract(app_dsn: str, table: str, promised: str) -> None:
    assert columns(app_dsn, table)[: len(promised.split())] == promised.split()


def test_the_kinds_are_those_of_the_topology() -> None:
    assert MIGRATED == KINDS


def test_the_catalog_has_what_pyiceberg_expects(dsn: Callable[..., str]) -> None:
    lake = dsn("alphaswarm_reader", "lake")
    for table in SqlCatalogBaseTable.metadata.sorted_tables:
        assert columns(lake, table.name) == [column.name for column in table.columns]


def test_the_reader_reads_and_cannot_commit(dsn: Callable[..., str]) -> None:
    insert = (
        "INSERT INTO iceberg_namespace_properties VALUES ('alphaswarm', 'test', 'exists', 'true')"
    )
    with psycopg.connect(dsn("alphaswarm_writer", "lake")) as writer:
        writer.execute(insert)
        writer.rollback()
    with psycopg.connect(dsn("alphaswarm_reader", "lake"), autocommit=True) as reader:
        reader.execute("SELECT * FROM iceberg_tables")
        for change in (insert, "UPDATE iceberg_tables SET metadata_location = ''"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                reader.execute(change)


def test_migrating_again_changes_nothing(dsn: Callable[..., str], pool: Pool) -> None:
    assert upgrade(dsn("alphaswarm_owner"), "record") == head("record") == health.REVISION
    assert upgrade(dsn("alphaswarm_owner", "lake"), "lake") == head("lake")
    health.check(pool)


def test_the_command_says_where_the_databases_stand(migrated: Home) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "ledger.migrations"],
        env={**os.environ, "ALPHASWARM_HOME": str(migrated.root)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines() == ["ledger is at r0011", "lake is at l0001"]


def test_a_ledger_that_was_not_migrated_is_not_ready(dsn: Callable[..., str]) -> None:
    with psycopg.connect(dsn("alphaswarm"), autocommit=True) as connection:
        connection.execute("CREATE DATABASE unmigrated OWNER alphaswarm_owner")
    empty = open_pool(
        psycopg.conninfo.make_conninfo(dsn("alphaswarm_app"), dbname="unmigrated"), name="empty"
    )
    with pytest.raises(FaultError) as old:
        health.check(empty)
    empty.close()
    assert old.value.facts == {"found": "nothing", "needed": health.REVISION}
    assert "alphaswarm up" in old.value.hint
    with psycopg.connect(dsn("alphaswarm"), autocommit=True) as connection:
        connection.execute("DROP DATABASE unmigrated WITH (FORCE)")


def test_a_home_without_its_server_says_what_to_start(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    with pytest.raises(StoreUnreachableError) as away:
        upgrade(f"host={tmp_path_factory.mktemp('no')} dbname=ledger", "record")
    assert "alphaswarm up" in away.value.hint
