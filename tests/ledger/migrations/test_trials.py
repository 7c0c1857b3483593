"""Runs of a ledger that is older than the counting of trials are counted, too."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator

import psycopg
import pytest
from alembic import command
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

from ledger import runs, trials
from ledger.migrations import upgrade
from ledger.pool import open_pool

BODY = {
    "name": "earlier",
    "universe": {"symbols": ["A.OLD", "B.OLD"]},
    "data": {"start": "2001-01-01", "end": "2001-12-31"},
}
RUN = """
INSERT INTO backtest_runs (run_id, task_id, spec_sha256, run_sha, status, finished_at, statistics,
    sharpe, requested_by)
VALUES (%s, %s, %s, %s, 'succeeded', clock_timestamp(), %s, 1.5, 'ann')
"""


@pytest.fixture
def older(dsn: Callable[..., str]) -> Iterator[Callable[[str], str]]:
    """Yield a function from role to the DSN of a database that stands at r0004."""
    with psycopg.connect(dsn("alphaswarm"), autocommit=True) as connection:
        connection.execute("CREATE DATABASE older OWNER alphaswarm_owner")

    def of(role: str) -> str:
        return psycopg.conninfo.make_conninfo(dsn(role), dbname="older")

    owner = of("alphaswarm_owner")
    engine = create_engine(
        "postgresql+psycopg://", creator=lambda: psycopg.connect(owner), poolclass=NullPool
    )
    with engine.begin() as migrating:
        config = upgrade._config("record")
        config.attributes["connection"] = migrating
        command.upgrade(config, "r0004")
    yield of
    with psycopg.connect(dsn("alphaswarm"), autocommit=True) as connection:
        connection.execute("DROP DATABASE older WITH (FORCE)")


def test_earlier_runs_count_after_the_migration(older: Callable[[str], str]) -> None:
    text = json.dumps(BODY)
    digest = hashlib.sha256(text.encode()).hexdigest()
    with psycopg.connect(older("alphaswarm_owner")) as connection:
        connection.execute(
            "INSERT INTO backtest_spec_versions VALUES"
            " (%s, %s, 1, %s, %s, clock_timestamp(), 'ann')",
            (digest, BODY["name"], text.encode(), text),
        )
        for number, statistics in enumerate(('{"trials": 1}', '{"trials": 5}', '{"bars": 3}')):
            run_id = str(number) * 26
            connection.execute(RUN, (run_id, run_id, digest, f"sha{number}", statistics))

    upgrade.upgrade(older("alphaswarm_owner"), "record")

    pool = open_pool(older("alphaswarm_app"), name="older")
    found = trials.count(pool, runs.get(pool, "0" * 26))
    pool.close()
    assert (found.family, found.person) == (7, 7)
    with psycopg.connect(older("alphaswarm_app")) as connection:
        named = connection.execute("SELECT sha256, symbols FROM symbol_sets").fetchall()
    symbols = ["A.OLD", "B.OLD"]
    assert named == [(hashlib.sha256("\n".join(symbols).encode()).hexdigest(), symbols)]
