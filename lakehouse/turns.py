"""A few things at once, and everybody's turn: work of many callers on a few threads of its own."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

from topology.errors import RefusedError

T = TypeVar("T")


class Turns(Generic[T]):
    """Runs at most ``at_once`` works, of one caller at most ``each``; the others wait in line.

    Who waits is served in turn, caller by caller, so that a hundred questions of one do not stand
    before the first of another. More than ``waiting`` of one caller are refused.
    """

    def __init__(self, at_once: int, *, each: int, waiting: int, name: str) -> None:
        self._at_once, self._each, self._most = at_once, each, waiting
        self._pool = ThreadPoolExecutor(at_once, name)
        self._lock = threading.Lock()
        self._waiting: dict[str, deque[tuple[Future[T], Callable[[], T]]]] = {}
        self._running: Counter[str] = Counter()

    def submit(self, who: str, work: Callable[[], T]) -> Future[T]:
        """Put work in line and return its future, which may be cancelled while it waits.

        Too much waiting of ``who`` raises ``rate_limited``.
        """
        future: Future[T] = Future()
        with self._lock:
            line = self._waiting.setdefault(who, deque())
            while line and line[0][0].cancelled():
                line.popleft()
            if len(line) >= self._most:
                raise RefusedError(
                    f"{self._most} of your queries wait already.",
                    hint="Wait for their answers, then try again.",
                    code="rate_limited",
                )
            line.append((future, work))
        self._start()
        return future

    def _start(self) -> None:
        with self._lock:
            while (found := self._next()) is not None:
                who, future, work = found
                if future.set_running_or_notify_cancel():
                    self._running[who] += 1
                    self._pool.submit(self._run, who, future, work)

    def _next(self) -> tuple[str, Future[T], Callable[[], T]] | None:
        """Take what comes next and send its caller to the end of the round."""
        if self._running.total() >= self._at_once:
            return None
        for who in list(self._waiting):
            line = self._waiting[who]
            if line and self._running[who] < self._each:
                future, work = line.popleft()
                del self._waiting[who]
                if line:
                    self._waiting[who] = line
                return who, future, work
        return None

    def _run(self, who: str, future: Future[T], work: Callable[[], T]) -> None:
        try:
            result = work()
        except BaseException as error:  # noqa: BLE001 - it belongs to whoever waits for it
            self._end(who)
            future.set_exception(error)
        else:
            self._end(who)
            future.set_result(result)

    def _end(self, who: str) -> None:
        with self._lock:
            self._running[who] -= 1
            self._running += Counter()  # forget who has none
        self._start()
