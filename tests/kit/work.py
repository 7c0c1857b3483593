"""Workers without a process: a workshop over the test home, and scripted runtimes."""

from __future__ import annotations

import contextlib
import dataclasses
import threading
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import pytest

from ledger import runs
from ledger.pool import Pool
from ledger.progress.events import history
from runtimes.base import Outcome, Runtime, perform
from runtimes.context import RunContext, Workshop
from runtimes.worker import open_workshop
from tests.kit.ledger import Desk
from topology.errors import LatchUnreadableError
from topology.frames import Frame
from topology.home import Home
from topology.latch import Latch
from topology.services import Topology

KIND = "analysis"
"""A kind that has no runtime of its own yet, so that a test may bring one."""


@pytest.fixture(scope="session")
def workshop(topology: Topology, migrated: Home) -> Iterator[Workshop]:
    """Yield what a worker process of the test home holds; somebody watches over it."""
    Latch.open(migrated.latch, create=True).close()
    opened = open_workshop(topology, migrated)
    with beating(migrated):
        yield opened
    opened.pool.close()


@contextlib.contextmanager
def beating(home: Home) -> Iterator[None]:
    """Say, as the control process does, that it lives, while the block runs."""
    end = threading.Event()

    def beat() -> None:
        while not end.wait(0.1):
            with contextlib.suppress(LatchUnreadableError), Latch.open(home.latch) as latch:
                latch.beat()

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        end.set()
        thread.join()


def with_lease(workshop: Workshop, lease_s: float) -> Workshop:
    """Return the workshop of a process of its own with a shorter lease, in seconds."""
    limits = workshop.topology.limits.model_copy(update={"lease_s": lease_s})
    topology = workshop.topology.model_copy(update={"limits": limits})
    return dataclasses.replace(
        workshop, topology=topology, stopping=threading.Event(), worker=f"tester-{lease_s}"
    )


class Scripted(Runtime):
    """Runs the function of the test; keeps what the test wants to be salvaged."""

    kind: ClassVar[str] = KIND

    def __init__(
        self, script: Callable[[RunContext], Outcome | None], kept: Outcome | None = None
    ) -> None:
        self._script = script
        self._kept = kept

    def work(self, context: RunContext) -> Outcome:
        return self._script(context) or Outcome()

    def salvage(self, context: RunContext) -> Outcome | None:
        return self._kept


@dataclasses.dataclass(frozen=True)
class Bench:
    """Submits work and performs it in this very thread."""

    workshop: Workshop
    desk: Desk

    def submit(self, **body: Any) -> runs.Run:
        return self.desk.submit(KIND, "scripted", **body)

    def perform(
        self,
        script: Callable[[RunContext], Outcome | None],
        *,
        run: runs.Run | None = None,
        kept: Outcome | None = None,
        workshop: Workshop | None = None,
    ) -> runs.Run:
        """Perform a run (a new one unless given) and return its row afterwards."""
        run = run or self.submit()
        perform(workshop or self.workshop, KIND, run.run_id, lambda: Scripted(script, kept))
        return runs.get(self.workshop.pool, run.run_id)

    def frames(self, run: runs.Run) -> list[Frame]:
        return frames_of(self.workshop.pool, run.task_id)


def frames_of(pool: Pool, task_id: str) -> list[Frame]:
    """Return every frame that the ledger has of a task."""
    return history(pool, task_id, after=0)


@pytest.fixture
def bench(workshop: Workshop, desk: Desk) -> Bench:
    """Return a bench over the test home."""
    return Bench(workshop, desk)
