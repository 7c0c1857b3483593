"""From `emit` to a listener: nothing blocks, nothing is lost, everything comes once in order."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import aclosing, contextmanager
from pathlib import Path
from typing import Any

import anyio
import psycopg
import pytest

from ledger import runs
from ledger.pool import Pool, open_pool
from ledger.progress.bus import Bus
from ledger.progress.emitter import ROOM, Emitter
from ledger.progress.events import history
from ledger.progress.follow import follow, last_frame, tail, task
from tests.kit.ledger import Desk
from topology.clock import SystemClock
from topology.errors import MissingError, StoreUnreachableError
from topology.frames import Frame
from topology.home import Home
from topology.services import Topology
from topology.stores import valkey_address

CLOCK = SystemClock()


def finish(pool: Pool, claim: runs.Claim, emitter: Emitter, bus: Bus | None = None) -> Frame | None:
    return runs.finish(
        pool,
        claim,
        status="succeeded",
        stage="done",
        message="Done.",
        frames=emitter.drain(),
        bus=bus,
    )


def heard(frames: Iterator[Frame | None]) -> list[int]:
    return [frame.seq for frame in frames if frame is not None]


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    """Hold a process still, as a machine out of breath does."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@pytest.fixture
def valkey_pid(migrated: Home) -> int:
    """Return the process id of the test home's Valkey."""
    return int((migrated.run / "valkey.pid").read_text().split()[0])


@pytest.fixture
def own_bus(topology: Topology, migrated: Home) -> Iterator[Bus]:
    """Yield a bus of its own, for a test after which it would be left alone for a while."""
    address = valkey_address(topology, migrated)
    bus = Bus(socket=address.socket, password=address.password() or "")
    yield bus
    bus.close()


@pytest.fixture
def absent() -> Iterator[Bus]:
    """Yield a bus whose Valkey was never there."""
    bus = Bus(socket="/nonexistent/valkey.sock")
    yield bus
    bus.close()


def test_a_listener_hears_every_frame_while_the_run_goes_on(
    desk: Desk, pool: Pool, bus: Bus
) -> None:
    claim = desk.claimed()
    emitter = Emitter(pool, bus, claim, CLOCK)
    seen: list[int] = []
    listener = threading.Thread(target=lambda: seen.extend(heard(tail(pool, bus, claim.task_id))))
    listener.start()
    for current in range(1, 1200):
        emitter.emit("bar.processed", "on", current=current, total=1200)
        if current % 100 == 0:
            time.sleep(0.02)
    finish(pool, claim, emitter, bus)
    listener.join(timeout=10)
    assert seen == list(range(1, 1201))


def test_one_may_listen_later_resume_by_number_and_hear_the_end_only_once(
    desk: Desk, pool: Pool, bus: Bus
) -> None:
    claim = desk.claimed()
    emitter = Emitter(pool, bus, claim, CLOCK)
    for current in range(1, 10):
        emitter.emit("bar.processed", "on", current=current)
    finish(pool, claim, emitter, bus)
    assert heard(tail(pool, bus, claim.task_id)) == list(range(1, 11))
    assert heard(tail(pool, bus, claim.task_id, after=7)) == [8, 9, 10]
    for beyond in (10, 11, 10_000):
        assert heard(tail(pool, bus, claim.task_id, after=beyond)) == []
    last = last_frame(pool, claim.task_id)
    assert last is not None
    assert last.terminal
    assert task(pool, claim.task_id).run_id == claim.run_id


def test_a_coroutine_hears_the_same(desk: Desk, pool: Pool, bus: Bus) -> None:
    claim = desk.claimed()
    emitter = Emitter(pool, bus, claim, CLOCK)

    async def listen(after: int) -> list[int]:
        async with aclosing(follow(pool, bus, claim.task_id, after=after)) as frames:
            return [frame.seq async for frame in frames if frame is not None]

    async def everything() -> list[list[int]]:
        listeners = [asyncio.create_task(listen(after)) for after in (0, 3, 50)]
        for current in range(1, 100):
            emitter.emit("bar.processed", "on", current=current)
            await asyncio.sleep(0.002)
        await asyncio.to_thread(finish, pool, claim, emitter, bus)
        return await asyncio.gather(*listeners)

    assert asyncio.run(everything()) == [list(range(after + 1, 101)) for after in (0, 3, 50)]


def test_an_unknown_task_is_not_found(pool: Pool, bus: Bus) -> None:
    with pytest.raises(MissingError):
        next(tail(pool, bus, "0" * 26))

    async def first() -> Frame | None:
        return await anext(follow(pool, bus, "0" * 26))

    with pytest.raises(MissingError):
        asyncio.run(first())


def test_silence_is_a_heartbeat_about_each_second(desk: Desk, pool: Pool, bus: Bus) -> None:
    claim = desk.claimed()
    frames = tail(pool, bus, claim.task_id)
    assert next(frames) is None
    started = time.monotonic()
    assert next(frames) is None
    assert 0.8 < time.monotonic() - started < 2.5


def test_a_wiped_bus_hides_nothing(
    desk: Desk, pool: Pool, bus: Bus, wipe: Callable[[], None]
) -> None:
    claim = desk.claimed()
    emitter = Emitter(pool, bus, claim, CLOCK)
    frames = tail(pool, bus, claim.task_id)
    seen: list[int] = []
    for turn in range(6):
        for _ in range(20):
            emitter.emit("bar.processed", "on")
        assert emitter.flush(2)
        if turn % 2:
            wipe()
        while len(seen) < (turn + 1) * 20:
            frame = next(frames)
            seen += [frame.seq] if frame else []
    finish(pool, claim, emitter, bus)
    assert seen + heard(frames) == list(range(1, 122))


@pytest.fixture
def wipe(bus: Bus) -> Callable[[], None]:
    """Return a function that empties the bus, as a Valkey without its folder would be."""

    def flush() -> None:
        bus.reader()._client.flushdb()  # the bus itself offers no such thing

    return flush


def test_a_hung_valkey_holds_up_nobody_and_hides_nothing(
    desk: Desk, pool: Pool, own_bus: Bus, valkey_pid: int
) -> None:
    bus = own_bus
    claim = desk.claimed()
    emitter = Emitter(pool, bus, claim, CLOCK)
    seen: list[int] = []
    listener = threading.Thread(target=lambda: seen.extend(heard(tail(pool, bus, claim.task_id))))
    listener.start()
    emits, flushes = [], []
    with stopped(valkey_pid):
        for current in range(1, 1000):
            started = time.perf_counter()
            emitter.emit("bar.processed", "on", current=current, total=1000)
            emits.append(time.perf_counter() - started)
            if current % 100 == 0:
                started = time.perf_counter()
                emitter.flush()
                flushes.append(time.perf_counter() - started)
        emitter.emit("warning", "the thousandth")
        deadline = time.monotonic() + 5
        while len(history(pool, claim.task_id)) < 1000 and time.monotonic() < deadline:
            time.sleep(0.02)
        kept = [frame.seq for frame in history(pool, claim.task_id)]
    finish(pool, claim, emitter, bus)
    listener.join(timeout=15)
    assert kept == list(range(1, 1001))
    assert seen == list(range(1, 1002))
    assert statistics.quantiles(emits, n=100)[98] <= 0.001
    assert max(flushes) <= 0.27


def test_an_absent_valkey_is_left_alone_after_one_try(desk: Desk, pool: Pool, absent: Bus) -> None:
    claim = desk.claimed()
    frame = Frame(task_id=claim.task_id, stage="start", message="", timestamp="", seq=1)
    assert not absent.publish([frame])
    started = time.perf_counter()
    for _ in range(1000):
        assert not absent.publish([frame])
        assert not absent.notify("halts", {})
    assert time.perf_counter() - started < 0.1
    emitter = Emitter(pool, absent, claim, CLOCK)
    emitter.emit("start", "on")
    finish(pool, claim, emitter, absent)
    assert heard(tail(pool, absent, claim.task_id)) == [1, 2]


def test_a_repeated_number_is_no_failure(desk: Desk, bus: Bus) -> None:
    run = desk.submit()
    frame = Frame(task_id=run.task_id, stage="start", message="", timestamp="", seq=1)
    assert bus.publish([frame])
    assert bus.publish([frame])
    assert bus.reader().read(run.task_id, 0, block_ms=1) == [frame]


def test_a_worker_without_its_lease_reaches_neither_ledger_nor_bus(
    desk: Desk, pool: Pool, bus: Bus, superuser: psycopg.Connection[Any]
) -> None:
    claim = desk.claimed()
    emitter = Emitter(pool, bus, claim, CLOCK)
    emitter.emit("start", "mine")
    assert emitter.flush(2)
    superuser.execute(
        "UPDATE backtest_runs SET fence = fence + 1 WHERE run_id = %s", (claim.run_id,)
    )
    emitter.emit("bar.processed", "not mine any more")
    emitter.flush(2)
    assert emitter.lost
    assert emitter.drain() == []
    assert [frame.message for frame in history(pool, claim.task_id)] == ["mine"]
    assert len(bus.reader().read(claim.task_id, 0, block_ms=1)) == 1


def test_the_next_attempt_goes_on_counting(
    desk: Desk, pool: Pool, superuser: psycopg.Connection[Any]
) -> None:
    claim = desk.claimed()
    first = Emitter(pool, None, claim, CLOCK)
    first.emit("start", "attempt", attempt=1)
    assert first.flush(2)
    superuser.execute(
        "UPDATE backtest_runs SET lease_until = now() - interval '1 s' WHERE run_id = %s",
        (claim.run_id,),
    )
    again = runs.claim(pool, "backtest", claim.run_id, worker="next")
    assert again is not None
    second = Emitter(pool, None, again, CLOCK)
    second.emit("start", "attempt", attempt=2)
    finish(pool, again, second)
    first.close()
    frames = history(pool, claim.task_id)
    assert [(frame.seq, frame.stage) for frame in frames] == [
        (1, "start"),
        (2, "start"),
        (3, "done"),
    ]


def test_while_the_ledger_is_away_frames_wait_and_the_least_important_go_first(
    desk: Desk, pool: Pool, tmp_path: Path
) -> None:
    claim = desk.claimed()
    away = open_pool(f"host={tmp_path} dbname=ledger", name="away", wait_s=0.5)
    emitter = Emitter(away, None, claim, CLOCK)
    emitter.emit("start", "kept")
    for current in range(ROOM + 50):
        emitter.emit("bar.processed", "on", current=current)
    emitter.emit("warning", "kept", code="w")
    started = time.perf_counter()
    assert not emitter.flush(0.25)
    assert time.perf_counter() - started < 0.3
    rest = emitter.drain()
    away.close()
    assert len(rest) == ROOM
    assert (rest[0].stage, rest[-1].stage) == ("start", "warning")
    assert rest[1].extras["current"] == 52


def test_what_waits_at_the_end_goes_into_the_last_transaction(desk: Desk, pool: Pool) -> None:
    claim = desk.claimed()
    emitter = Emitter(pool, None, claim, CLOCK)
    for current in range(1, 700):
        emitter.emit("bar.processed", "on", current=current)
    finish(pool, claim, emitter)
    emitter.emit("warning", "too late")
    frames = history(pool, claim.task_id)
    assert [frame.seq for frame in frames] == list(range(1, 701))
    assert frames[-1].terminal


def test_an_unreachable_ledger_is_said_without_addresses_or_sql(tmp_path: Path) -> None:
    away = open_pool(f"host={tmp_path} dbname=ledger", name="away", wait_s=0.5)
    with pytest.raises(StoreUnreachableError) as error:
        history(away, "0" * 26)
    away.close()
    body = error.value.body()
    assert (body["code"], body["facts"]) == ("store_unreachable", {"store": "postgres"})
    assert "alphaswarm doctor" in body["hint"]
    assert str(tmp_path) not in str(body)
    assert "SELECT" not in str(body)


async def test_a_listener_that_goes_away_leaves_no_connection_open(desk: Desk, bus: Bus) -> None:
    """Whoever serves a stream cancels it, and goes on cancelling whatever it still awaits."""
    run, heard_twice = desk.submit(), anyio.Event()

    async def listen() -> None:
        async with aclosing(follow(desk.pool, bus, run.task_id)) as frames:
            assert await anext(frames) is None
            assert await anext(frames) is None  # the bus was asked in between
            heard_twice.set()
            await anext(frames)

    async with anyio.create_task_group() as group:
        group.start_soon(listen)
        await heard_twice.wait()
        group.cancel_scope.cancel()
    gc.collect()  # an open connection would say so now, and warnings are errors
