"""The kill switch against what can go wrong: stuck workers, stores that are gone, a lost latch.

Limits are generous here (the machine may be busy); `tests/benchmarks/bench_halt.py` measures.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from ledger import halts, standing
from ledger.halts import Halts
from ledger.progress.events import history
from tests.kit.suite import Suite, suite, working
from topology.engines import supervisor
from topology.latch import Latch
from topology.processes import Process

ANN: dict[str, Any] = {"actor": "ann", "acr": "urn:alphaswarm:acr:mfa", "auth_time": 1767322800}


SOON = {"grace_s": 1, "kill_s": 2}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Suite]:
    """Yield a suite of its own and its living worker groups."""
    with (
        suite(tmp_path_factory.mktemp("suite"), lease_s=4, reap_s=0.5, halt=SOON) as opened,
        working(opened),
    ):
        yield opened


def at_work(place: Suite, run_id: str) -> Process:
    """Wait until a run has said its first step; return its worker."""
    task_id = place.run(run_id).task_id
    place.until(
        lambda: any(f.stage == "step" for f in history(place.pool, task_id)),
        within_s=60,
        what="the first step",
    )
    found = Process.of(int((place.run(run_id).worker or "").rpartition(":")[2]))
    assert found is not None
    return found


def still(place: Suite, task_id: str) -> None:
    """Return when a run says nothing more for a second, though it says something each 20 ms."""
    before = -1
    while (said := len(history(place.pool, task_id))) != before:
        before = said
        time.sleep(1.0)


@contextmanager
def pressed(place: Suite, scope: str) -> Iterator[int]:
    """Press a scope while the block runs."""
    switch = Halts(place.pool, place.home)
    epoch = switch.press(scope, reason="a test", **ANN)
    try:
        yield epoch
    finally:
        newest = {halt.scope: halt.epoch for halt in switch.status().scopes}
        switch.lift(scope, epoch=newest[scope], reason="over", **ANN)


def test_a_run_stuck_in_native_code_is_killed_named_and_its_neighbours_go_on(
    place: Suite,
) -> None:
    """K9, S6: SIGTERM at grace_s, SIGKILL at kill_s; others of the process run again."""
    stuck = place.submit(seconds=60, name="stuck", stuck_at=5, stuck_s=60)
    neighbour = place.submit(seconds=2, name="neighbour")
    worker = at_work(place, stuck.run_id)
    still(place, stuck.task_id)
    began = time.monotonic()
    with pressed(place, "spec:analysis/stuck") as epoch:
        (found,) = [h for h in Halts(place.pool, place.home).status().scopes if h.epoch == epoch]
        ended = place.ended(stuck.run_id, within_s=60)
        took = time.monotonic() - began
        stands = standing.of(place.pool, found.scope, found.at)
    assert not worker.alive
    assert (ended.status, (ended.error or {})["facts"]) == (
        "halted",
        {"epoch": epoch, "scope": "spec:analysis/stuck", "silent": True},
    )
    assert (stands.covered, stands.killed) == ((stuck.run_id,), (stuck.run_id,))
    assert took < 20
    assert history(place.pool, stuck.task_id)[-1].extras["silent"] is True
    again = place.ended(neighbour.run_id, within_s=90)
    assert again.status == "succeeded"


def test_running_work_stops_although_the_bus_is_gone(place: Suite) -> None:
    """K7, S2: the bus only tells."""
    runs = [place.submit(seconds=60, name="busless") for _ in range(2)]
    for run in runs:
        at_work(place, run.run_id)
    valkey = supervisor.status(place.home, place.topology).valkey.pid
    assert valkey is not None
    os.kill(valkey, signal.SIGKILL)
    try:
        with pressed(place, "spec:analysis/busless") as epoch:
            for run in runs:
                assert place.ended(run.run_id, within_s=15).status == "halted"
            assert set(halts.acks(place.pool, epoch)) >= {run.run_id for run in runs}
    finally:
        supervisor.up(place.home, place.topology)


def test_a_halt_by_file_permission_stops_work_while_the_ledger_is_gone(place: Suite) -> None:
    """K7: PostgreSQL gone; the latch alone stops the work, the spool remembers who."""
    run = place.submit(seconds=60, name="ledgerless")
    worker = at_work(place, run.run_id)
    held = place.home.run / f"held-{run.run_id}.json"
    assert held.exists()
    postgres = supervisor.status(place.home, place.topology).postgres.pid
    assert postgres is not None
    os.kill(postgres, signal.SIGQUIT)
    try:
        scope = "spec:analysis/ledgerless"
        done = subprocess.run(
            [sys.executable, "-m", "topology.latch", "halt", scope, "--reason", "dark"],
            env=dict(place.environ),
            capture_output=True,
            check=True,
        )
        place.until(lambda: not held.exists(), within_s=10, what="the work has stopped")
        assert worker.alive  # by itself
    finally:
        supervisor.up(place.home, place.topology)
    ended = place.ended(run.run_id, within_s=60)
    assert ended.status == "halted"
    epoch = json.loads(done.stdout)["epoch"]
    status = Halts(place.pool, place.home).status()
    (halt,) = [one for one in status.scopes if one.scope == scope]
    assert (halt.acr, halt.reason) == ("urn:alphaswarm:acr:os", "dark")
    assert halt.epoch == epoch
    Halts(place.pool, place.home).lift(scope, epoch=halt.epoch, reason="over", **ANN)


def test_a_latch_that_is_deleted_is_rebuilt_as_halted_as_it_was(place: Suite) -> None:
    """K2, K6, S4: research waits with a warning, and the record brings the halt back."""
    run = place.submit(seconds=60, name="latchless")
    at_work(place, run.run_id)
    with pressed(place, "kind:bot") as epoch:
        place.home.latch.unlink()
        place.until(place.home.latch.exists, within_s=15, what="the latch is rebuilt")
        with Latch.open(place.home.latch) as latch:
            found = latch.pressed(("kind:bot",))
        assert found is not None
        assert found.epoch == epoch
        assert place.run(run.run_id).status == "running"
        with pressed(place, "spec:analysis/latchless"):
            assert place.ended(run.run_id, within_s=30).status == "halted"
