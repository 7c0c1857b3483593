"""The ledger of the test home: migrated once, reached by every role, with work to put in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest

from ledger import outbox, runs, specs
from ledger.migrations.__main__ import migrate
from ledger.pool import Pool, open_pool, transaction
from ledger.progress.bus import Bus
from tests.kit.redaction import COLLECTOR
from topology.clock import SystemClock
from topology.home import Home
from topology.ids import new_id
from topology.services import Topology
from topology.stores import postgres_dsn, valkey_address

APP = "alphaswarm_app"


@pytest.fixture(scope="session")
def migrated(topology: Topology, home: Home) -> Home:
    """Return the test home with both databases at their newest revision."""
    migrate(topology, home)
    return home


@pytest.fixture(scope="session")
def dsn(topology: Topology, migrated: Home) -> Callable[..., str]:
    """Return a function from role (and database) to its DSN."""

    def of(role: str, database: str = "ledger") -> str:
        return postgres_dsn(topology, migrated, role, database)

    return of


@pytest.fixture(scope="session")
def app_dsn(dsn: Callable[..., str]) -> str:
    """Return the application role's DSN of the ledger."""
    return dsn(APP)


@pytest.fixture(scope="session")
def pool(app_dsn: str) -> Iterator[Pool]:
    """Yield a pool of the application role."""
    with closing(open_pool(app_dsn, name="tests")) as opened:
        yield opened
        COLLECTOR.rows(opened)


@pytest.fixture(scope="session")
def bus(topology: Topology, migrated: Home) -> Iterator[Bus]:
    """Yield the progress bus of the test home."""
    address = valkey_address(topology, migrated)
    with closing(
        Bus(socket=address.socket, url=address.url, password=address.password() or "")
    ) as opened:
        yield opened


@pytest.fixture
def superuser(dsn: Callable[..., str]) -> Iterator[psycopg.Connection[Any]]:
    """Yield an autocommit connection that may do anything, triggers and all."""
    with psycopg.connect(dsn("alphaswarm"), autocommit=True) as connection:
        yield connection


@dataclass(frozen=True)
class Desk:
    """Puts work into the ledger as dispatch does: spec, run and message in one transaction."""

    pool: Pool

    def submit(self, kind: str = "backtest", name: str = "desk", **body: Any) -> runs.Run:
        """Return a queued run of a spec called ``name``."""
        now = SystemClock().now()
        with transaction(self.pool) as connection:
            spec = specs.lock(connection, kind, {"name": name, **body}, by="tester")
            run = runs.insert(
                connection,
                kind,
                run_id=new_id(now),
                task_id=new_id(now),
                spec_sha256=spec.sha256,
                requested_by="tester",
                inputs={},
            )
            outbox.put(connection, queue="interactive", actor=kind, run_id=run.run_id, kind=kind)
        return run

    def claimed(self, *, lease_s: float = 30.0, **body: Any) -> runs.Claim:
        """Return the claim of a fresh run."""
        run = self.submit(**body)
        claim = runs.claim(self.pool, run.kind, run.run_id, worker="tester", lease_s=lease_s)
        assert claim is not None
        return claim


@pytest.fixture
def desk(pool: Pool) -> Desk:
    """Return a desk at the test ledger."""
    return Desk(pool)
