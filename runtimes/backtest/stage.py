"""`python -m runtimes.backtest.stage`: a process of its own in which a strategy's code runs.

It gets jobs, one after another, and simulates each in a fork that knows nothing of the others:
frames and the result go back. The bar stands in memory that the worker shares, so that a bar that
never ends is seen from outside, whatever the code does; memory is bounded. Nothing of the lake or
the ledger is in this process. Source that came in a spec is not here either: the fork has the
account and trades, the source runs in a cell (`runtimes.sandbox`).
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import mmap
import os
import resource
import signal
import sys
from collections.abc import Iterator, Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from lakehouse.nursery import Nursery
from runtimes.backtest import job as jobs
from runtimes.backtest.acting import Act, ReachedError
from runtimes.backtest.job import BAR, CELLS, DONE, PLANNING, STOP, WORDS, Job
from runtimes.backtest.parcel import packed
from runtimes.engine import warming
from runtimes.engine.arrays import Ints
from runtimes.sandbox import keeper
from topology.errors import AlphaSwarmError, HaltedError
from topology.frames import Progress

MEGABYTE = 2**20
PDEATHSIG = 1
COMPILING = "compiling"


class Line(Progress):
    """Frames to the worker; a stop comes back through the shared words."""

    def __init__(self, line: Connection, words: Ints) -> None:
        self._line, self._words = line, words

    def emit(self, stage: str, message: str, **extras: Any) -> None:
        """Send a frame."""
        self.send({"stage": stage, "message": message, "extras": extras})

    def checkpoint(self) -> None:
        """Raise where the worker asked for the end."""
        if self._words[STOP]:
            raise HaltedError("The worker asked for the end.")

    def send(self, told: Mapping[str, Any]) -> None:
        """Send JSON."""
        self._line.send_bytes(json.dumps(told).encode())

    def compiling(self) -> None:
        """Say why the first script takes longer."""
        message = "The kernels of scripts are compiled, once for this version."
        self.emit("warning", message, code=COMPILING)

    def deliver(self, parcel: bytes) -> None:
        """Send the result, which ends the job."""
        self._line.send_bytes(parcel)


def main(line_fd: int, words_fd: int) -> int:
    """Do job after job until nobody asks any more, each in a fork; end as a fork that died did."""
    die_with_the_parent()
    words = np.frombuffer(mmap.mmap(words_fd, WORDS * 8), dtype=np.int64)
    cells = keeper.nursery()
    with Connection(line_fd) as connection:
        line = Line(connection, words)
        if folder := os.environ.get("NUMBA_CACHE_DIR"):
            warming.ensure(Path(folder), line.compiling)
        while True:
            try:
                parcel = connection.recv_bytes()
            except EOFError:
                return 0
            if parcel == CELLS:
                cells.start()  # here, once, for every fork to share
                continue
            status = forked(parcel, line, words, cells)
            if status < 0:
                os.kill(os.getpid(), -status)
            if status:
                os._exit(status)


def forked(parcel: bytes, line: Line, words: Ints, cells: Nursery) -> int:
    """Do one job in a fork of this process; return its exit status, negative for a signal."""
    pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    status = 1
    try:
        die_with_the_parent()
        perform(jobs.read(parcel), line, words, cells)
        status = 0
    except BaseException:  # noqa: BLE001  a fork never comes back from here
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(status)


def die_with_the_parent() -> None:
    """End when whoever started this process was killed."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def perform(job: Job, line: Line, words: Ints, cells: Nursery) -> None:
    """Simulate ``job`` and deliver what came of it, whole or up to where it failed."""
    act, error = Act(job, words, cells), None
    words[BAR] = PLANNING
    try:
        with bounded(job.memory_mb):
            act.play(line)
    except AlphaSwarmError as raised:
        error = None if isinstance(raised, ReachedError) else raised.body()
    words[BAR] = DONE
    result = act.result()
    if result is None:
        line.send({"failed": error})
    else:
        line.deliver(packed(result, error=error, calls=act.calls))


@contextlib.contextmanager
def bounded(memory_mb: int) -> Iterator[None]:
    """Bound the data of this process to ``memory_mb`` more than it has: beyond is MemoryError.

    Only Linux counts all of it; elsewhere there is no bound.
    """
    before = resource.getrlimit(resource.RLIMIT_DATA)
    if sys.platform == "linux":
        pages = int(Path("/proc/self/statm").read_text().split()[5])
        most = pages * resource.getpagesize() + memory_mb * MEGABYTE
        resource.setrlimit(resource.RLIMIT_DATA, (most, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2])))
