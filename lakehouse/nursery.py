"""A warm process that forks one confined child per request: per query, `lakehouse.cell`.

It starts with the first one and ends with this process. multiprocessing's fork server would do,
did its children not import the caller's main module again: seconds per query, and side effects.
"""

from __future__ import annotations

import atexit
import os
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path

STOP_S = 5.0
SUITE = "ALPHASWARM_SUITE"
"""The mark by which `alphaswarm down` knows the suite's processes."""
QUIET = {
    "ARROW_DEFAULT_MEMORY_POOL": "system",  # others reserve 1 GB of address space
    "JE_ARROW_MALLOC_CONF": "background_thread:false",  # a process that forks has one thread
    "LC_ALL": "C.UTF-8",
    "MALLOC_ARENA_MAX": "2",
    "OPENBLAS_NUM_THREADS": "1",
    "PYTHONPATH": str(Path(__file__).resolve().parents[1]),
    "PYTHONSAFEPATH": "1",
}
"""The whole environment of the warm process: one thread, little address space, no secret."""


class Nursery:
    """Gives out children of ``module``; threads may share it.

    Nothing of our environment reaches them but what ``more`` holds.
    """

    def __init__(self, module: str = "lakehouse.cell", **more: str) -> None:
        self._module, self._more = module, more
        self._lock = threading.Lock()
        self._control: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def child(self) -> Connection:
        """Return the line to a new child, whose first message will say that it is there."""
        return Connection(self.line().detach())

    def line(self) -> socket.socket:
        """Return the bare line to a new child."""
        ours, theirs = socket.socketpair()
        with theirs, self._lock:
            try:
                self._fork(theirs)
            except OSError:  # someone ended it: one more try with another
                self._stop()
                self._fork(theirs)
        return ours

    def start(self) -> None:
        """Start the warm process now, for forks of this process to share."""
        with self._lock:
            if self._control is None:
                self._control = self._started()

    def close(self) -> None:
        """End the warm process; the next request starts another."""
        with self._lock:
            self._stop()

    def _fork(self, line: socket.socket) -> None:
        if self._control is None:
            self._control = self._started()
        socket.send_fds(self._control, [b"q"], [line.fileno()])

    def _started(self) -> socket.socket:
        ours, theirs = socket.socketpair()
        marks = {SUITE: os.environ[SUITE]} if SUITE in os.environ else {}
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", self._module, str(theirs.fileno())],
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env={**QUIET, **self._more, **marks},
                start_new_session=True,  # Ctrl-C is for the server
            )
        atexit.register(self.close)
        return ours

    def _stop(self) -> None:
        if self._control is not None:
            self._control.close()
            self._control = None
        if self._process is not None:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP_S)
            self._process.kill()
            self._process.wait()
            self._process = None
            atexit.unregister(self.close)
