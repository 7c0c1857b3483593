"""A caller who asks for much at once waits for himself, and nobody else does."""

from __future__ import annotations

import asyncio
import threading
from contextvars import ContextVar
from typing import Any, cast

import pytest

from auth.policy import Rule
from servers.calls import EACH, Call, Guard
from servers.reads import completer
from topology.clock import SystemClock
from topology.principal import ANONYMOUS, Principal

WHO: ContextVar[Principal] = ContextVar("WHO", default=ANONYMOUS)
GREEDY = Principal("greedy", "client")
OTHERS = (Principal("other", "client"), Principal("greedy", "second"), ANONYMOUS)
NO_OFFICE = cast("Any", None)


class Known(Guard):
    """A guard that is told who calls."""

    def caller(self) -> Principal:
        return WHO.get()


class Slow:
    """Work that lasts until it is let go, in as many threads as it gets."""

    def __init__(self) -> None:
        self.begun, self.end = threading.Semaphore(0), threading.Event()

    def work(self) -> int:
        self.begun.release()
        assert self.end.wait(20)
        return 1

    async def job(self) -> int:
        return await asyncio.to_thread(self.work)

    async def all_begun(self) -> None:
        for _ in range(EACH):
            assert await asyncio.to_thread(self.begun.acquire, timeout=20)


@pytest.fixture
def guard() -> Guard:
    return Known(SystemClock(), is_open=True)


@pytest.mark.parametrize("kind", ["work", "job"])
async def test_a_hundred_slow_calls_leave_room_for_others(guard: Guard, kind: str) -> None:
    slow = Slow()
    rule = Rule(scopes=("data:read",), actor="any")
    heavy = Call(getattr(slow, kind), rule, NO_OFFICE, guard, works=True)
    light = Call(lambda: 2, rule, NO_OFFICE, guard)
    WHO.set(GREEDY)
    asked = [asyncio.create_task(heavy({})) for _ in range(100)]
    try:
        await slow.all_begun()
        for caller in OTHERS:
            WHO.set(caller)
            assert await asyncio.wait_for(light({}), 5) == 2
        assert not slow.begun.acquire(blocking=False)
        WHO.set(GREEDY)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(light({}), 0.1)
    finally:
        slow.end.set()
    assert sum(await asyncio.gather(*asked)) == 100


async def test_what_only_waits_takes_no_place(guard: Guard) -> None:
    gate = asyncio.Event()

    async def wait() -> int:
        await gate.wait()
        return 1

    rule = Rule(scopes=("data:read",), actor="any")
    waiting = [asyncio.create_task(Call(wait, rule, NO_OFFICE, guard)({})) for _ in range(100)]
    assert await asyncio.wait_for(Call(lambda: 2, rule, NO_OFFICE, guard)({}), 5) == 2
    gate.set()
    assert sum(await asyncio.gather(*waiting)) == 100


async def test_completions_wait_like_calls(guard: Guard) -> None:
    slow = Slow()
    complete = completer({"x": lambda _: [str(slow.work())]}, NO_OFFICE, guard)
    argument = cast("Any", type("Argument", (), {"name": "x", "value": ""}))
    WHO.set(GREEDY)
    asked = [asyncio.create_task(complete(None, argument, None)) for _ in range(20)]
    await slow.all_begun()
    await asyncio.sleep(0.05)
    assert not slow.begun.acquire(blocking=False)
    slow.end.set()
    assert await asyncio.gather(*asked) == [["1"]] * 20
