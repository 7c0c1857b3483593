"""What a run is given: the workshop of its process, and the context that it reports to."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from lakehouse.lake import Lake
from ledger import halts, runs
from ledger.appends import Appends
from ledger.pool import Pool
from ledger.progress.bus import Bus
from ledger.progress.emitter import Emitter
from runtimes.holding import Hold
from runtimes.lease import Lease
from topology.clock import Clock
from topology.errors import AlphaSwarmError, HaltedError, LatchUnreadableError, LeaseLostError
from topology.home import Home
from topology.latch import Latch, scopes_of
from topology.services import Topology

LATCH_RETRY_S = 0.25
CONTROL_SILENT = "control_silent"
"""Code of the warning that a run waits because nobody watches over it."""
LOOK_S = 0.05
T = TypeVar("T")


class CancelledError(AlphaSwarmError):
    """Somebody asked that this run should end."""

    code = "cancelled"


@dataclass(frozen=True)
class Workshop:
    """What one worker process holds; ``lake`` is opened with the writer's role."""

    topology: Topology
    home: Home
    pool: Pool
    bus: Bus
    lake: Lake
    log: Appends
    clock: Clock
    worker: str
    stopping: threading.Event

    @property
    def lease_s(self) -> float:
        """Return how long a claim lasts without a renewal, in seconds."""
        return self.topology.limits.lease_s

    @property
    def ingest_folders(self) -> tuple[Path, ...]:
        """Return the folders below which files may be ingested."""
        return (self.home.inbox, *(Path(f) for f in self.topology.ingest.folders))


class RunContext:
    """The `Progress` of one claimed run: frames go to the ledger and the bus, stops come back.

    ``mutates`` says what an unreadable latch means: whatever changes the world is halted, and
    research waits until the latch can be read again. None means that no work has begun: then it
    means nothing yet.
    """

    def __init__(
        self,
        workshop: Workshop,
        claim: runs.Claim,
        *,
        emitter: Emitter,
        lease: Lease,
        held: Hold,
    ) -> None:
        self.held = held
        self.workshop = workshop
        self.claim = claim
        self.run: runs.Run = claim.run
        self.mutates: bool | None = None
        self.scopes = scopes_of(self.run.kind, self.run.name, self.run.run_id)
        self._emitter = emitter
        self._lease = lease
        self._latch: Latch | None = None
        self._warned: set[str] = set()

    def emit(self, stage: str, message: str, **extras: Any) -> None:
        """Queue a frame; never blocks, never raises."""
        self._emitter.emit(stage, message, **extras)

    def checkpoint(self) -> None:
        """Return if the run may go on.

        What mutates waits while the control process is silent for longer than ``heartbeat_s``.
        Raises `LeaseLostError` when the run is another worker's or this process stops,
        `CancelledError` when somebody asked for the end, and `HaltedError` when a halt covers it.
        """
        while True:
            self.hold()
            self._wanted()
            try:
                latch = self.latch()
                latch.check()
                pressed = halts.should_halt(latch, self.scopes, mutates=bool(self.mutates))
            except LatchUnreadableError as error:
                if self.mutates is None:
                    return
                self._unreadable(error)
                continue
            if pressed is not None:
                raise HaltedError(
                    f"A halt of {pressed.scope!r} covers this run.",
                    hint="Ask for the reason; `alphaswarm resume` lifts the halt.",
                    epoch=pressed.epoch,
                    scope=pressed.scope,
                )
            if self.mutates and self._silent(latch):
                continue
            return

    def pin(
        self, *, snapshot_ids: Mapping[str, str], engine: Mapping[str, Any], run_sha: str
    ) -> None:
        """Write what this run reads and runs on; a later attempt gets back what the first wrote."""
        self.run = runs.pin(
            self.workshop.pool,
            self.claim,
            snapshot_ids=dict(snapshot_ids),
            engine=dict(engine),
            run_sha=run_sha,
        )

    def attend(self, work: Callable[[], T]) -> T:
        """Return what ``work`` returns, checking in each 50 ms while it runs in a thread.

        For work without effects that cannot check in itself: reading, planning, native code. A stop
        abandons it; whatever it still finds is thrown away.
        """
        done: list[T] = []
        failed: list[BaseException] = []

        def run() -> None:
            try:
                done.append(work())
            except BaseException as error:  # noqa: BLE001  it is raised in the caller's thread
                failed.append(error)

        thread = threading.Thread(target=run, name="attended", daemon=True)
        thread.start()
        while thread.is_alive():
            self.checkpoint()
            thread.join(LOOK_S)
        self.checkpoint()
        if failed:
            raise failed[0]
        return done[0]

    def latch(self) -> Latch:
        """Return the mapped latch, opened on first use; `LatchUnreadableError` where it cannot."""
        if self._latch is None:
            self._latch = Latch.open(self.workshop.home.latch)
        return self._latch

    def close(self) -> None:
        """Let go of the latch."""
        if self._latch is not None:
            self._latch.close()
            self._latch = None

    def hold(self) -> None:
        """Raise `LeaseLostError` unless the run is still this worker's: before each effect."""
        if self._lease.lost or self.workshop.stopping.is_set():
            raise LeaseLostError(
                "This worker no longer holds the run.",
                hint="Nothing to do: the run is started again by itself.",
                run_id=self.run.run_id,
            )

    def _wanted(self) -> None:
        if self._lease.cancel_requested:
            raise CancelledError("The run was cancelled.")

    def _unreadable(self, error: LatchUnreadableError) -> None:
        self.close()
        if self.mutates:
            raise HaltedError(
                "The halt latch cannot be read, so work that changes data does not go on.",
                hint="Run `alphaswarm doctor`, then `alphaswarm up`.",
                epoch=0,
                scope="all",
            ) from error
        self._wait("The halt latch cannot be read: waiting.", code=error.wire_code)

    def _silent(self, latch: Latch) -> bool:
        """Tell whether nobody watches over us: then nothing new is changed; wait a moment."""
        if latch.silence_s() <= self.workshop.topology.limits.halt.heartbeat_s:
            return False
        self._wait("The control process is silent: nothing is changed.", code=CONTROL_SILENT)
        return True

    def _wait(self, message: str, *, code: str) -> None:
        if code not in self._warned:
            self.emit("warning", message, code=code)
            self._warned.add(code)
        self.workshop.stopping.wait(LATCH_RETRY_S)
