"""Reading a task: every frame once and in order, from the bus where it can, else the ledger."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from ledger.pool import Pool, transaction
from ledger.progress.bus import PAUSE_S, AsyncReader, Bus, BusDownError
from ledger.progress.events import history
from topology.errors import MissingError
from topology.frames import Frame
from topology.ids import is_id

POLL_S: Final = 0.25
"""How often the ledger is asked while the bus is down."""
BEAT_S: Final = 1.0
_PAGE: Final = 1000


@dataclass(frozen=True, slots=True)
class TaskInfo:
    """Which run a task belongs to, and where it stands."""

    task_id: str
    run_id: str
    kind: str
    status: str
    requested_by: str


def task(pool: Pool, task_id: str) -> TaskInfo:
    """Return what is known of a task; an unknown one, or no id at all, raises ``not_found``."""
    row = None
    if is_id(task_id):
        with transaction(pool) as connection:
            row = connection.execute(
                "SELECT task_id, run_id, kind, status, requested_by FROM all_runs"
                " WHERE task_id = %s",
                (task_id,),
            ).fetchone()
    if row is None:
        raise MissingError(
            f"There is no task {task_id[:64]!r}.", hint="Take task_id from the run handle."
        )
    return TaskInfo(**row)


def last_frame(pool: Pool, task_id: str) -> Frame | None:
    """Return the newest frame of a task, or None before its first."""
    with transaction(pool) as connection:
        row = connection.execute(
            "SELECT frame FROM run_events WHERE task_id = %s ORDER BY seq DESC LIMIT 1",
            (task_id,),
        ).fetchone()
    return None if row is None else Frame.model_validate(row["frame"])


def tail(
    pool: Pool,
    bus: Bus | None,
    task_id: str,
    *,
    after: int = 0,
    stop: Callable[[], bool] = lambda: False,
) -> Iterator[Frame | None]:
    """Yield the frames with ``seq > after``, each once and in order, until the terminal one.

    None comes about each second in which nothing happens. An unknown task raises ``not_found``.
    No connection to the ledger is held between two frames.
    """
    task(pool, task_id)
    place = _Place(after)
    reader = bus.reader() if bus is not None else None
    try:
        while not stop():
            fresh = place.heard or history(pool, task_id, after=place.last, limit=_PAGE)
            for frame in fresh:
                yield place.at(frame)
                if frame.terminal:
                    return
            if place.beat():
                yield None
                if _is_over(pool, task_id, place.last):
                    return
            place.heard = []
            if len(fresh) == _PAGE:
                continue
            if reader is None or place.deaf:
                time.sleep(POLL_S)
                continue
            try:
                place.hear(reader.read(task_id, place.last))
            except BusDownError:
                place.lose_hearing()
    finally:
        if reader is not None:
            reader.close()


async def follow(
    pool: Pool, bus: Bus | None, task_id: str, *, after: int = 0
) -> AsyncGenerator[Frame | None, None]:
    """Do what `tail` does, for a coroutine; the ledger is read in worker threads.

    Close the iterator (``contextlib.aclosing``) when the listener goes away.
    """
    await asyncio.to_thread(task, pool, task_id)
    place = _Place(after)
    async with _ears(bus) as reader:
        while True:
            fresh = place.heard or await asyncio.to_thread(
                history, pool, task_id, after=place.last, limit=_PAGE
            )
            for frame in fresh:
                yield place.at(frame)
                if frame.terminal:
                    return
            if place.beat():
                yield None
                if await asyncio.to_thread(_is_over, pool, task_id, place.last):
                    return
            place.heard = []
            if len(fresh) == _PAGE:
                continue
            if reader is None or place.deaf:
                await asyncio.sleep(POLL_S)
                continue
            try:
                place.hear(await reader.read(task_id, place.last))
            except BusDownError:
                place.lose_hearing()


class _Place:
    """How far a listener is, what the bus said last, and when it last heard anything at all."""

    def __init__(self, after: int) -> None:
        self.last = after
        self.heard: list[Frame] = []
        self._deaf_until = self._quiet_since = -math.inf

    def at(self, frame: Frame) -> Frame:
        """Note that ``frame`` is delivered now."""
        self.last = frame.seq
        self._quiet_since = time.monotonic()
        return frame

    def hear(self, frames: list[Frame]) -> None:
        """Keep what follows on without a hole; what comes after a hole is read in the ledger."""
        self.heard = [frame for seq, frame in enumerate(frames, self.last + 1) if frame.seq == seq]

    def beat(self) -> bool:
        """Tell, once, that nothing has come for a second (or, the first time, at all)."""
        now = time.monotonic()
        if now - self._quiet_since < BEAT_S:
            return False
        self._quiet_since = now
        return True

    def lose_hearing(self) -> None:
        """Leave the bus alone for a while."""
        self._deaf_until = time.monotonic() + PAUSE_S

    @property
    def deaf(self) -> bool:
        """Tell whether the bus is left alone."""
        return time.monotonic() < self._deaf_until


@asynccontextmanager
async def _ears(bus: Bus | None) -> AsyncIterator[AsyncReader | None]:
    if bus is None:
        yield None
        return
    async with bus.async_reader() as reader:
        yield reader


def _is_over(pool: Pool, task_id: str, last: int) -> bool:
    """Tell whether the task ended at or before ``last``: nothing can follow."""
    frame = last_frame(pool, task_id)
    return frame is not None and frame.terminal and frame.seq <= last
