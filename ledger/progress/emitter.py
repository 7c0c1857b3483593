"""What a worker says: `emit` only queues, a thread writes to the ledger and then to the bus."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from itertools import islice
from typing import Any, Final, Protocol

from ledger.kinds import statement
from ledger.pool import Pool, transaction
from ledger.progress.bus import Bus
from ledger.progress.events import Pending, append, pending
from topology.clock import Clock
from topology.errors import AlphaSwarmError, StoreUnreachableError
from topology.frames import Frame

EVERY_S: Final = 0.05
BATCH: Final = 500
ROOM: Final = 10_000
_RETRY_S: Final = 0.25
_LEASE_S: Final = 30.0

_log = logging.getLogger(__name__)


class Held(Protocol):
    """The facts of a claim: which run, under which fence."""

    @property
    def kind(self) -> str: ...  # noqa: D102
    @property
    def run_id(self) -> str: ...  # noqa: D102
    @property
    def task_id(self) -> str: ...  # noqa: D102
    @property
    def fence(self) -> int: ...  # noqa: D102


class Emitter:
    """The frames of one attempt, from its claim to its end.

    `emit` does no I/O and never raises. A thread writes at once after a silence, else each 50 ms
    or as soon as 500 frames wait, in one transaction that also proves the fence: a worker that
    lost its lease reaches neither ledger nor bus (`lost` is then true). While the ledger is down
    frames wait, at most 10,000; beyond that the oldest ``bar.processed`` goes first.
    """

    def __init__(self, pool: Pool, bus: Bus | None, claim: Held, clock: Clock) -> None:
        self._pool, self._bus, self._claim, self._clock = pool, bus, claim, clock
        self._waiting: deque[Pending] = deque()
        self._turn = threading.Condition()
        self._ticket = self._written = 0
        self._hurry = self._closed = False
        self._due = 0.0
        self.lost = False
        self._thread = threading.Thread(target=self._run, name="frames", daemon=True)
        self._thread.start()

    def emit(self, stage: str, message: str, **extras: Any) -> None:
        """Queue one frame; well under a millisecond, whatever the stores do."""
        with self._turn:
            if self._closed or self.lost:
                return
            self._ticket += 1
            frame = pending(self._clock, stage, message, extras, ticket=self._ticket)
            self._waiting.append(frame)
            if len(self._waiting) > ROOM:
                _make_room(self._waiting)
            if len(self._waiting) in {1, BATCH}:
                self._turn.notify_all()

    def flush(self, timeout_s: float = 0.25) -> bool:
        """Wait at most ``timeout_s`` until the ledger has every frame emitted so far."""
        with self._turn:
            wanted = self._ticket
            self._hurry = True
            self._turn.notify_all()
            return self._turn.wait_for(lambda: self.lost or self._written >= wanted, timeout_s)

    def drain(self) -> list[Pending]:
        """Fall silent and return the frames that the ledger does not have yet.

        `runs.finish` writes them together with the terminal row. A ledger that does not answer
        for a whole lease raises `StoreUnreachableError`: by then the run is somebody else's.
        """
        self._stop()
        self._thread.join(timeout=_LEASE_S)
        if self._thread.is_alive():
            raise StoreUnreachableError(
                "The ledger (PostgreSQL) hangs; the run's last frames cannot be handed over.",
                hint="The run is taken up again when its lease has ended.",
                store="postgres",
            )
        rest = list(self._waiting)
        self._waiting.clear()
        return [] if self.lost else rest

    def close(self) -> None:
        """Fall silent; what still waits is written if the ledger answers now, else forgotten."""
        self._stop()

    def _stop(self) -> None:
        with self._turn:
            self._closed = True
            self._turn.notify_all()

    def _run(self) -> None:
        while batch := self._next():
            try:
                frames = self._write(batch)
            except StoreUnreachableError:
                if self._pause():
                    return
                continue
            except AlphaSwarmError:
                _log.exception("frames of run %s could not be written", self._claim.run_id)
                frames = []
            self._settle(batch)
            if frames and self._bus is not None:
                self._bus.publish(frames)
            if self.lost:
                return

    def _next(self) -> list[Pending]:
        """Wait for frames, and for more of them if the last write was just now; none: closed."""
        with self._turn:
            self._turn.wait_for(lambda: self._waiting or self._closed)
            self._turn.wait_for(
                lambda: self._closed or self._hurry or len(self._waiting) >= BATCH,
                max(self._due - time.monotonic(), 0),
            )
            self._hurry = False
            self._due = time.monotonic() + EVERY_S
            return list(islice(self._waiting, BATCH))

    def _pause(self) -> bool:
        """Wait before the next try; true when there is none because the emitter is closed."""
        with self._turn:
            self._turn.wait_for(lambda: self._closed, _RETRY_S)
            return self._closed

    def _write(self, batch: list[Pending]) -> list[Frame]:
        claim = self._claim
        with transaction(self._pool) as connection:
            mine = connection.execute(
                statement("SELECT FROM {runs} WHERE {mine} FOR SHARE", claim.kind),
                {"run_id": claim.run_id, "fence": claim.fence},
            ).fetchone()
            if mine is None:
                self.lost = True
                return []
            return append(connection, claim.task_id, batch, fence=claim.fence)

    def _settle(self, batch: list[Pending]) -> None:
        with self._turn:
            self._written = batch[-1].ticket
            while self._waiting and self._waiting[0].ticket <= self._written:
                self._waiting.popleft()
            self._turn.notify_all()


def _make_room(waiting: deque[Pending]) -> None:
    """Drop the oldest ``bar.processed``, which says least; failing that, the oldest frame."""
    for index, frame in enumerate(waiting):
        if frame.stage == "bar.processed":
            del waiting[index]
            return
    waiting.popleft()
