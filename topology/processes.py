"""Processes that outlive their starter: start them detached, know them again, end them.

A pid alone proves nothing (it is reused, and a zombie still has one), so a process is a pid with
its start time, and whoever ends one first looks at its command line.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from topology.home import explaining, write_private

_POLL_S = 0.01
_LOG_LIMIT = 10 * 1024 * 1024
_PROC = Path("/proc")
SEES_FOLDERS = _PROC.is_dir()
"""Whether this machine tells in which folder a process works."""

_DEFAULT_SIGNALS = (signal.SIGPIPE, signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True, slots=True)
class Process:
    """A pid and when it started, in the kernel's own units."""

    pid: int
    started: str

    @classmethod
    def of(cls, pid: int) -> Process | None:
        """Return the living process with this pid; zombies count as ended."""
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)
        started = _started(pid)
        return cls(pid, started) if started else None

    @classmethod
    def read(cls, file: Path) -> Process | None:
        """Return the process that a pid file names if it still lives; stale files give None."""
        try:
            pid, started = file.read_text(encoding="ascii").split()
            found = cls.of(int(pid))
        except (OSError, ValueError):
            return None
        return found if found and found.started == started else None

    def write(self, file: Path) -> None:
        """Write the pid file, 0600."""
        with explaining(file):
            write_private(file, f"{self.pid} {self.started}\n")

    @property
    def alive(self) -> bool:
        """Tell whether this very process still runs."""
        return Process.of(self.pid) == self

    def command(self) -> str:
        """Return its command line, or nothing when it is gone."""
        return command_line(self.pid)

    def send(self, number: signal.Signals) -> None:
        """Send a signal, if it still runs; never to another that got its pid meanwhile."""
        with contextlib.suppress(ProcessLookupError), self._held() as held:
            if not self.alive:
                return
            if held is None:
                os.kill(self.pid, number)
            else:
                signal.pidfd_send_signal(held, number)

    def wait(self, timeout_s: float) -> bool:
        """Tell whether it has ended within ``timeout_s``."""
        with contextlib.suppress(ProcessLookupError), self._held() as held:
            if held is not None and self.alive:
                watch = select.poll()
                watch.register(held, select.POLLIN)
                watch.poll(timeout_s * 1000)
                return not self.alive
        return until(lambda: not self.alive, timeout_s)

    @contextlib.contextmanager
    def _held(self) -> Iterator[int | None]:
        """Hold the process by a descriptor where the kernel has such (Linux), else None."""
        if sys.platform != "linux":
            yield None
            return
        held = os.pidfd_open(self.pid)
        try:
            yield held
        finally:
            os.close(held)

    def stop(self, *signals: tuple[signal.Signals, float]) -> bool:
        """Send each signal in turn and wait its seconds; tell whether it has ended."""
        for number, timeout_s in signals:
            self.send(number)
            if self.wait(timeout_s):
                return True
        return not self.alive


def start(
    argv: Sequence[str],
    *,
    log: Path,
    environ: Mapping[str, str],
    stdin: bytes = b"",
    keep: Sequence[int] = (),
) -> Process | None:
    """Start ``argv`` in a session of its own, its output appended to ``log`` (0600).

    ``stdin`` (at most 32 KiB) is what it reads; the descriptors in ``keep`` stay open in it, which
    is how a lock lives as long as the process. A log above 10 MiB is set aside as ``log.1``.
    None means that it ended at once.
    """
    with explaining(log):
        if log.exists() and log.stat().st_size > _LOG_LIMIT:
            log.replace(log.with_name(f"{log.name}.1"))
        os.close(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600))
    reader, writer = os.pipe()
    try:
        os.write(writer, stdin)
        os.close(writer)
        appending = os.O_WRONLY | os.O_APPEND
        actions: list[tuple[int, ...] | tuple[int, int, str, int, int]] = [
            (os.POSIX_SPAWN_DUP2, reader, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(log), appending, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ]
        actions += [(os.POSIX_SPAWN_DUP2, kept, kept) for kept in keep]
        pid = os.posix_spawn(
            argv[0],
            list(argv),
            environ,
            file_actions=actions,
            setsid=True,
            setsigdef=_DEFAULT_SIGNALS,
        )
    finally:
        os.close(reader)
    return Process.of(pid)


def until(done: Callable[[], bool], timeout_s: float, *, poll_s: float = _POLL_S) -> bool:
    """Ask ``done`` each ``poll_s`` until it is true or the time is up; return the last answer."""
    deadline = time.monotonic() + timeout_s
    while not done():
        if time.monotonic() >= deadline:
            return False
        time.sleep(poll_s)
    return True


def command_line(pid: int) -> str:
    """Return the command line of ``pid``, or nothing when it is gone or hidden."""
    try:
        return (
            (_PROC / str(pid) / "cmdline")
            .read_bytes()
            .replace(b"\0", b" ")
            .decode(errors="replace")
        )
    except OSError:
        return "" if _PROC.is_dir() else _ps(pid, "command=")


def working_in(folder: Path) -> Iterator[Process]:
    """Yield every process whose working directory is ``folder`` (where /proc exists)."""
    real = folder.resolve()
    for entry in _PROC.glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (entry / "cwd").readlink() == real:
                found = Process.of(int(entry.name))
                if found:
                    yield found


def carrying(name: str, value: str) -> Iterator[Process]:
    """Yield every process whose environment held ``name=value`` when it started (Linux)."""
    mark = os.fsencode(f"{name}={value}")
    for entry in _PROC.glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if mark in (entry / "environ").read_bytes().split(b"\0"):
                found = Process.of(int(entry.name))
                if found:
                    yield found


def parents() -> dict[int, int]:
    """Return the parent of every living process by pid; zombies count as ended."""
    if not _PROC.is_dir():
        argv = ["/bin/ps", "-axo", "pid=,ppid=,state="]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        rows = [line.split() for line in done.stdout.splitlines()]
        return {int(row[0]): int(row[1]) for row in rows if not row[2].startswith("Z")}
    found = {}
    for entry in _PROC.glob("[0-9]*"):
        with contextlib.suppress(OSError):
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
            if fields[0] not in "ZX":
                found[int(entry.name)] = int(fields[1])
    return found


def _started(pid: int) -> str:
    try:
        fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return "" if _PROC.is_dir() else _ps(pid, "lstart=").replace(" ", "-")
    return "" if fields[0] in "ZX" else fields[19]


def _ps(pid: int, column: str) -> str:
    """Ask ps, where there is no /proc (macOS); zombies give nothing."""
    argv = ["/bin/ps", "-o", "state=", "-o", column, "-p", str(pid)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    state, _, rest = done.stdout.strip().partition(" ")
    return "" if state.startswith("Z") else rest.strip()
