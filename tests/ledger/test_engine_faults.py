"""Engines that are killed in the middle: what was acknowledged is there, what was said is kept."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from ledger import runs
from ledger.migrations.__main__ import migrate
from ledger.pool import Pool, open_pool
from ledger.progress.bus import Bus
from ledger.progress.emitter import Emitter
from ledger.progress.events import history
from ledger.progress.follow import tail
from tests.kit.ledger import APP, Desk
from topology.clock import SystemClock
from topology.engines import supervisor
from topology.errors import StoreUnreachableError
from topology.home import Home
from topology.services import Topology
from topology.stores import postgres_dsn, valkey_address


@pytest.fixture
def own(topology: Topology, tmp_path: Path) -> Iterator[Home]:
    """Yield a home whose engines may be killed: no other test uses it."""
    home = Home(tmp_path)
    try:
        supervisor.up(home, topology)
        migrate(topology, home)
        yield home
    finally:
        supervisor.down(home)


@pytest.fixture
def own_pool(topology: Topology, own: Home) -> Iterator[Pool]:
    """Yield a pool of that home."""
    with closing(open_pool(postgres_dsn(topology, own, APP), name="faults", wait_s=1)) as pool:
        yield pool


def kill_both(home: Home, topology: Topology) -> None:
    """Kill both engines as a machine that runs out of memory does."""
    status = supervisor.status(home, topology)
    for engine in (status.postgres, status.valkey):
        assert engine.pid is not None
        os.kill(engine.pid, signal.SIGKILL)


def listen(pool: Pool, bus: Bus, task_id: str, seen: list[int]) -> None:
    """Follow to the end as a client does: whenever it breaks, resume after the last number."""
    while True:
        try:
            for frame in tail(pool, bus, task_id, after=seen[-1] if seen else 0):
                if frame is not None:
                    seen.append(frame.seq)  # noqa: PERF401  # what came before a break counts
        except StoreUnreachableError:
            time.sleep(0.1)
        else:
            return


def test_killed_engines_lose_no_frame_and_no_run(
    topology: Topology, own: Home, own_pool: Pool
) -> None:
    address = valkey_address(topology, own)
    bus = Bus(socket=address.socket, password=address.password() or "")
    queued = Desk(own_pool).submit(name="queued")
    claim = Desk(own_pool).claimed(name="running")
    emitter = Emitter(own_pool, bus, claim, SystemClock())
    seen: list[int] = []
    listener = threading.Thread(target=listen, args=(own_pool, bus, claim.task_id, seen))
    listener.start()
    for current in range(1, 601):
        emitter.emit("bar.processed", "on", current=current, total=600)
        time.sleep(0.001)
        if current in {200, 400}:
            kill_both(own, topology)
            time.sleep(0.1)
            supervisor.up(own, topology)
    assert emitter.flush(10)
    assert runs.signals(own_pool, claim) == runs.Signals(mine=True, cancel_requested=False)
    frame = runs.finish(
        own_pool,
        claim,
        status="succeeded",
        stage="done",
        message="Done.",
        frames=emitter.drain(),
        bus=bus,
    )
    listener.join(timeout=20)
    assert frame is not None
    kept = history(own_pool, claim.task_id)
    assert [f.seq for f in kept] == list(range(1, 602))
    assert [f.extras["current"] for f in kept[:-1]] == list(range(1, 601))
    assert seen == list(range(1, 602))
    assert runs.get(own_pool, queued.run_id).status == "queued"
