"""What happens to a run when its worker, its queue or its halt switch does what it should not."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator

import pytest

from ledger.progress.events import history
from tests.kit.suite import Suite, suite, working
from topology import processes
from topology.engines import supervisor
from topology.latch import Latch

LEASE_S, REAP_S = 2.0, 0.5


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Suite]:
    """Yield a suite of its own whose leases last 2 s, so that a test need not wait for 30."""
    root = tmp_path_factory.mktemp("suite")
    with suite(root, lease_s=LEASE_S, reap_s=REAP_S) as opened:
        yield opened


@pytest.fixture(scope="module")
def keeper(place: Suite) -> Iterator[processes.Process]:
    """Yield the keeper of three living worker groups."""
    with working(place) as running:
        yield running


def stages(place: Suite, task_id: str) -> list[str]:
    return [frame.stage for frame in history(place.pool, task_id)]


def at_work(place: Suite, run_id: str) -> int:
    """Wait until a run has said its first steps; return the pid of its worker."""
    task_id = place.run(run_id).task_id
    place.until(lambda: "step" in stages(place, task_id), within_s=10, what="the first step")
    return int((place.run(run_id).worker or "").rpartition(":")[2])


@pytest.mark.usefixtures("keeper")
def test_a_run_whose_worker_is_killed_runs_again_and_ends_once(place: Suite) -> None:
    run = place.submit(seconds=3)
    worker = at_work(place, run.run_id)

    os.kill(worker, signal.SIGKILL)
    killed = time.monotonic()
    place.until(lambda: place.run(run.run_id).attempts == 2, within_s=30, what="the second attempt")
    took = time.monotonic() - killed
    ended = place.ended(run.run_id, within_s=15)

    assert took < 30  # so with the packaged lease of 30 s the group is back before it ends
    assert (ended.status, ended.attempts) == ("succeeded", 2)
    said = stages(place, run.task_id)
    assert said.count("start") == 2
    assert said.count("done") == 1
    assert said[-1] == "done"
    place.until(lambda: bool(place.workers("interactive")), within_s=30, what="the group is back")


@pytest.mark.usefixtures("keeper")
def test_a_worker_stopped_beyond_its_lease_writes_nothing_after_it_wakes(place: Suite) -> None:
    run = place.submit(seconds=2.5)
    worker = at_work(place, run.run_id)

    os.kill(worker, signal.SIGSTOP)
    try:
        place.until(
            lambda: place.run(run.run_id).fence >= 2, within_s=10, what="the fence has risen"
        )
        asleep = len(stages(place, run.task_id))
        time.sleep(0.2)
    finally:
        os.kill(worker, signal.SIGCONT)
    time.sleep(0.5)
    frames = history(place.pool, run.task_id)
    ended = place.ended(run.run_id, within_s=30)

    late = [frame for frame in frames[asleep:] if frame.stage != "start"]
    restarted = [frame.seq for frame in frames if frame.stage == "start"][1:]
    assert all(restarted and frame.seq > restarted[0] for frame in late)
    assert (ended.status, ended.attempts) == ("succeeded", 2)
    assert stages(place, run.task_id).count("done") == 1
    assert ended.statistics == {"steps": 125, "partial": False}


@pytest.mark.usefixtures("keeper")
def test_a_halt_stops_running_work_in_a_quarter_second_and_keeps_what_it_had(
    place: Suite,
) -> None:
    run = place.submit(seconds=30)
    at_work(place, run.run_id)
    scope = f"run:{run.run_id}"

    with Latch.open(place.home.latch) as latch:
        pressed = time.monotonic()
        epoch = latch.press(scope)
        place.until(
            lambda: place.run(run.run_id).status == "halted", within_s=5, what="the run is halted"
        )
        took = time.monotonic() - pressed
        latch.lift(scope, epoch=epoch)

    ended = place.run(run.run_id)
    assert took < 0.25
    assert ended.statistics is not None
    assert ended.statistics["partial"] is True
    last = history(place.pool, run.task_id)[-1]
    assert (last.stage, last.extras["epoch"], last.extras["scope"]) == ("halted", epoch, scope)


@pytest.mark.usefixtures("keeper")
def test_wiping_the_queue_loses_no_run(place: Suite) -> None:
    supervisor_status = supervisor.status(place.home, place.topology)
    assert supervisor_status.valkey.pid is not None
    os.kill(supervisor_status.valkey.pid, signal.SIGKILL)
    queued = [place.submit(seconds=0.02).run_id for _ in range(20)]
    for file in place.home.valkey.rglob("*"):
        if file.is_file():
            file.unlink()
    supervisor.up(place.home, place.topology)

    ended = [place.ended(run_id, within_s=40) for run_id in queued]

    assert {run.status for run in ended} == {"succeeded"}
    assert all(stages(place, run.task_id).count("done") == 1 for run in ended)


@pytest.mark.usefixtures("keeper")
def test_a_hung_bus_neither_slows_a_run_nor_loses_a_frame(place: Suite) -> None:
    run = place.submit(seconds=1.5)
    at_work(place, run.run_id)
    valkey = supervisor.status(place.home, place.topology).valkey.pid
    assert valkey is not None

    os.kill(valkey, signal.SIGSTOP)
    try:
        ended = place.ended(run.run_id, within_s=8)
    finally:
        os.kill(valkey, signal.SIGCONT)

    frames = history(place.pool, run.task_id)
    assert ended.status == "succeeded"
    assert [frame.seq for frame in frames] == list(range(1, len(frames) + 1))
    assert [f.extras["current"] for f in frames if f.stage == "step"] == list(range(1, 76))


def test_when_the_keeper_is_killed_no_worker_stays_behind(
    place: Suite, keeper: processes.Process
) -> None:
    workers = [pid for queue in place.topology.workers for pid in place.workers(queue)]

    assert keeper.stop((signal.SIGKILL, 5))

    assert len(workers) == 3
    assert processes.until(lambda: not any(processes.Process.of(pid) for pid in workers), 40)
