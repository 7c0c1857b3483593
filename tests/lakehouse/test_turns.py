"""A few things at once, everybody in turn: who waits for whom."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, wait
from contextlib import contextmanager

import pytest

from lakehouse.turns import Turns
from topology.errors import RefusedError


class Work:
    """Work that says when it began and ends when it is told to."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.at_once = self.most = 0
        self._lock = threading.Lock()
        self._go = threading.Semaphore(0)

    def named(self, name: str) -> Callable[[], str]:
        def work() -> str:
            with self._lock:
                self.begun.append(name)
                self.at_once += 1
                self.most = max(self.most, self.at_once)
            self._go.acquire()
            with self._lock:
                self.at_once -= 1
            return name

        return work

    def finish(self, count: int = 1) -> None:
        self._go.release(count)

    def await_begun(self, count: int) -> None:
        deadline = time.monotonic() + 5
        while len(self.begun) < count and time.monotonic() < deadline:
            time.sleep(0.001)
        assert len(self.begun) >= count


@contextmanager
def busy() -> Iterator[Work]:
    work = Work()
    try:
        yield work
    finally:
        work.finish(100)


def test_no_more_than_so_many_run_at_once() -> None:
    turns: Turns[str] = Turns(2, each=2, waiting=50, name="t")
    with busy() as work:
        futures = [turns.submit("a", work.named(f"a{i}")) for i in range(12)]
        work.await_begun(2)
        time.sleep(0.02)
        assert len(work.begun) == 2
        work.finish(12)
        wait(futures, timeout=5)
    assert work.most == 2
    assert sorted(future.result() for future in futures) == sorted(f"a{i}" for i in range(12))


def test_one_caller_leaves_a_place_to_others() -> None:
    turns: Turns[str] = Turns(3, each=2, waiting=50, name="t")
    with busy() as work:
        for i in range(5):
            turns.submit("greedy", work.named(f"g{i}"))
        work.await_begun(2)
        turns.submit("other", work.named("o"))
        work.await_begun(3)
        assert work.begun == ["g0", "g1", "o"] or sorted(work.begun) == ["g0", "g1", "o"]


def test_callers_are_served_in_turn_however_many_questions_one_has() -> None:
    turns: Turns[str] = Turns(1, each=1, waiting=50, name="t")
    with busy() as work:
        futures = [turns.submit("a", work.named(f"a{i}")) for i in range(4)]
        futures += [turns.submit(who, work.named(who)) for who in "bc"]
        work.finish(6)
        wait(futures, timeout=5)
    assert work.begun == ["a0", "b", "c", "a1", "a2", "a3"] or work.begun == [
        "a0",
        "a1",
        "b",
        "c",
        "a2",
        "a3",
    ]


def test_too_much_waiting_is_refused_and_others_are_not() -> None:
    turns: Turns[str] = Turns(1, each=1, waiting=2, name="t")
    with busy() as work:
        first = turns.submit("a", work.named("a0"))
        work.await_begun(1)
        waiting = [turns.submit("a", work.named(f"a{i}")) for i in (1, 2)]
        with pytest.raises(RefusedError, match="2 of your queries wait") as refused:
            turns.submit("a", work.named("a3"))
        assert refused.value.wire_code == "rate_limited"
        other = turns.submit("b", work.named("b"))
        work.finish(4)
        wait([first, *waiting, other], timeout=5)
    assert other.result() == "b"


def test_what_waits_may_be_cancelled_and_gives_its_place() -> None:
    turns: Turns[str] = Turns(1, each=1, waiting=1, name="t")
    with busy() as work:
        turns.submit("a", work.named("a0"))
        work.await_begun(1)
        gone = turns.submit("a", work.named("gone"))
        assert gone.cancel()
        last = turns.submit("a", work.named("last"))
        work.finish(2)
        assert last.result(5) == "last"
    assert "gone" not in work.begun
    with pytest.raises(CancelledError):
        gone.result()


def test_an_error_belongs_to_who_waits_and_frees_the_place() -> None:
    turns: Turns[str] = Turns(1, each=1, waiting=5, name="t")

    def fails() -> str:
        raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        turns.submit("a", fails).result(5)
    assert turns.submit("a", lambda: "on").result(5) == "on"
