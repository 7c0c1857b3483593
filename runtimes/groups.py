"""`python -m runtimes.groups [QUEUE...]`: one dramatiq group per queue, restarted when it dies.

A dramatiq group ends when one of its processes is killed; this process is what brings it back, and
what ends a worker that does not stop for a halt. It loads nothing but the map, holds no connection,
and takes its children with it when it ends.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from types import FrameType

from runtimes.watchdog import LOOK_S, Watchdog
from topology.home import Home
from topology.sections import Workers
from topology.services import load

APPLICATION = "runtimes.worker:boot"
FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 10.0
STEADY_S = 30.0
"""A group that lived this long starts again after the shortest pause."""
STOP_S = 30

_log = logging.getLogger("runtimes.groups")
_PR_SET_PDEATHSIG = 1


def die_with_parent(parent: int) -> None:
    """Ask Linux to send SIGTERM to this process when ``parent`` (a pid) ends; elsewhere do nothing.

    A parent that ended before it was asked sends nothing any more, so this looks once itself.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        if os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGTERM)


def command(queue: str, workers: Workers, *, application: str = APPLICATION) -> list[str]:
    """Return the command line of a queue's group."""
    return [
        *(sys.executable, "-m", "dramatiq", application, "--use-spawn"),
        *("-p", str(workers.processes), "-t", str(workers.threads), "-Q", queue),
        *("--worker-shutdown-timeout", str(STOP_S * 1000)),
    ]


def environment(workers: Workers, base: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return a group's environment; dramatiq reads its two settings at import.

    Prefetch equals threads (running messages count), so that nothing waits behind a long run while
    another process idles; an idle consumer looks again after 200 ms, not 1,000.
    """
    return {
        **base,
        "dramatiq_queue_prefetch": str(workers.threads),
        "dramatiq_worker_timeout": "200",
    }


class Group:
    """One queue's process group and the pause before its next start."""

    def __init__(self, queue: str, workers: Workers, *, application: str = APPLICATION) -> None:
        self.queue = queue
        self._application = application
        self._workers = workers
        self._process: subprocess.Popen[bytes] | None = None
        self._pause = FIRST_PAUSE_S
        self._started = 0.0
        self.due = 0.0
        """When it may start next, in monotonic seconds."""

    @property
    def running(self) -> bool:
        """Tell whether the group's first process lives."""
        return self._process is not None and self._process.poll() is None

    def look(self, now: float) -> None:
        """Start the group if it is due; notice if it ended. ``now`` is monotonic seconds."""
        if self._process is None:
            if now >= self.due:
                self._start(now)
            return
        if self._process.poll() is None:
            return
        self._pause = (
            FIRST_PAUSE_S
            if now - self._started > STEADY_S
            else min(self._pause * 2, LONGEST_PAUSE_S)
        )
        _log.warning("group %s ended (%s)", self.queue, self._process.returncode)
        self._process, self.due = None, now + self._pause

    def stop(self) -> None:
        """Ask the group to end."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.terminate()

    def wait(self, deadline: float) -> None:
        """Wait until the group is gone; past ``deadline`` (monotonic seconds) kill it."""
        if self._process is None:
            return
        try:
            self._process.wait(timeout=max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _start(self, now: float) -> None:
        self._started = now
        self._process = subprocess.Popen(
            command(self.queue, self._workers, application=self._application),
            env=environment(self._workers),
            stdin=subprocess.DEVNULL,
            preexec_fn=partial(die_with_parent, os.getpid()),  # noqa: PLW1509  this process has one thread
        )
        _log.info("group %s started as %s", self.queue, self._process.pid)


@contextlib.contextmanager
def stop_signals() -> Iterator[list[int]]:
    """Collect SIGTERM and SIGINT in a list instead of dying of them."""
    received: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        del frame
        received.append(number)

    before = {number: signal.signal(number, note) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def start_warming() -> subprocess.Popen[bytes]:
    """Start compiling the kernels, which ends at once where that was done before."""
    return subprocess.Popen(
        [sys.executable, "-m", "runtimes.warm"],
        stdin=subprocess.DEVNULL,
        preexec_fn=partial(die_with_parent, os.getpid()),  # noqa: PLW1509  this process has one thread
    )


def keep(
    groups: list[Group], watchdog: Watchdog, *, once: Sequence[subprocess.Popen[bytes]] = ()
) -> None:
    """Keep every group alive, and collect what runs ``once``, until a signal asks for the end."""
    with stop_signals() as received:
        while not received:
            for process in once:
                process.poll()
            for group in groups:
                group.look(time.monotonic())
            watchdog.look(time.monotonic())
            time.sleep(LOOK_S)
        for group in groups:
            group.stop()
        deadline = time.monotonic() + STOP_S + 2
        for group in groups:
            group.wait(deadline)


def main(application: str = APPLICATION, queues: Sequence[str] = ()) -> int:
    """Run the groups of the map, or those of ``queues`` only."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    topology = load()
    workers, home = topology.workers, Home.from_environment()
    parser = argparse.ArgumentParser(prog="python -m runtimes.groups", description=__doc__)
    parser.add_argument("queues", nargs="*", metavar="QUEUE", choices=[*workers, []])
    chosen = parser.parse_args(queues).queues or workers
    groups = [Group(queue, workers[queue], application=application) for queue in chosen]
    keep(groups, Watchdog(home, topology.limits.halt), once=[start_warming()])
    return 0


if __name__ == "__main__":
    sys.exit(main(queues=sys.argv[1:]))
