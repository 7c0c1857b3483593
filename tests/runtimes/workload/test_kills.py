"""U1 for workloads: kill -9 of the worker around the effect; never twice, never without intent."""

from __future__ import annotations

import datetime as dt
import signal
from collections.abc import Iterator
from multiprocessing.context import ForkServerContext
from typing import Any

import psycopg
import pytest

from ledger import reaper
from ledger.audit import Entry
from ledger.intents import Reconciler
from ledger.pool import transaction
from runtimes.workload.asking import resolver
from tests.kit.fork import forkserver_of
from tests.kit.workload_worker import Place, apply_and_die
from tests.kit.workloads import Crew
from topology.processes import until

PATIENCE_S = 60.0


@pytest.fixture(scope="module")
def processes() -> Iterator[ForkServerContext]:
    """Yield a maker of processes that have imported everything already."""
    yield from forkserver_of("tests.kit.workload_worker")


def open_intent(crew: Crew, run_id: str) -> Entry:
    with transaction(crew.office.pool) as connection:
        row = connection.execute(
            "SELECT * FROM audit WHERE target = %s AND action = 'apply_change'"
            " ORDER BY seq LIMIT 1",
            (f"run:{run_id}",),
        ).fetchone()
    assert row is not None, "an effect without its intent"
    return Entry(**row)


@pytest.mark.parametrize(
    ("place", "told"),
    [
        pytest.param("before the effect", "failed", id="before the effect: not done, done now"),
        pytest.param("after the effect", "done", id="after it: found, not done again"),
        pytest.param("before the outcome", "done", id="before the outcome is written"),
    ],
)
def test_a_worker_killed_around_the_start_leaves_one_workload_and_a_true_record(
    crew: Crew,
    processes: ForkServerContext,
    superuser: psycopg.Connection[Any],
    place: Place,
    told: str,
) -> None:
    run = crew.plan(f"wl-kill-{place.replace(' ', '-')}")
    crew.approve(run)
    child = processes.Process(
        target=apply_and_die,
        args=(crew.office.topology, crew.office.home, run.run_id, place),
    )
    child.start()
    child.join(PATIENCE_S)
    assert child.exitcode == -signal.SIGKILL
    assert until(lambda: not child.is_alive(), 5)

    intent = open_intent(crew, run.run_id)
    reconciler = Reconciler(crew.office.pool, resolver(crew.workshop), intent.seq - 1)
    closed = reconciler.run(dt.datetime.now(dt.UTC))  # noqa: TID251  the database's own clock
    assert intent.seq in closed
    assert crew.audit(run)[3] == ("apply_change", told)
    begun = crew.status(run)
    assert begun.phase == ("absent" if told == "failed" else begun.phase)

    superuser.execute(
        "UPDATE workload_runs SET lease_until = clock_timestamp() WHERE run_id = %s", (run.run_id,)
    )
    assert run.run_id in reaper.reap(crew.office.pool).requeued
    again = crew.work(run.run_id)

    assert (again.status, crew.status(run).phase) == ("waiting", "running")
    assert crew.provider.logs(run.run_id, lines=5) == ["here"], "it was started once"
    assert crew.audit(run)[-1] == ("apply_change", "done")
