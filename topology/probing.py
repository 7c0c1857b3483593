"""Asking a program whether it is well, without ever waiting for the answer."""

from __future__ import annotations

import contextlib
import errno
import select
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from topology.launching import Probe

HOST = "localhost"
_UNDER_WAY = (0, errno.EINPROGRESS, errno.EWOULDBLOCK)
Spawn = Callable[[Sequence[str]], int]
"""Start a command and return its pid."""
Ended = Callable[[int], int | None]
"""Return the exit code of a pid that has ended."""
Kill = Callable[[int], None]


class Wire:
    """One connection, asked again and again until it says yes or no; with a path, one GET."""

    def __init__(self, probe: Probe) -> None:
        self._request = b""
        if probe.kind == "http":
            head = f"GET {probe.path} HTTP/1.0\r\nHost: {HOST}:{probe.port}\r\n\r\n"
            self._request = head.encode("ascii")
        self._wants = bool(self._request)
        self._answer = b""
        family, kind, _, _, address = socket.getaddrinfo(
            HOST, probe.port, socket.AF_INET, socket.SOCK_STREAM
        )[0]
        self._socket = socket.socket(family, kind)
        self._socket.settimeout(0)
        self._refused = self._socket.connect_ex(address) not in _UNDER_WAY

    def look(self) -> bool | None:
        """Return the answer, None while there is none."""
        if self._refused:
            return False
        try:
            return self._look()
        except OSError:
            return False

    def close(self) -> None:
        """Let go of the connection."""
        self._socket.close()

    def _look(self) -> bool | None:
        readable, writable, _ = select.select([self._socket], [self._socket], [], 0)
        if not writable and not readable:
            return None
        if self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            return False
        if not self._wants:
            return True
        if self._request and writable:
            self._request = self._request[self._socket.send(self._request) :]
        if readable:
            return self._status(self._socket.recv(64))
        return None

    def _status(self, part: bytes) -> bool | None:
        self._answer += part
        words = self._answer.split(None, 2)
        if len(words) < 3 and part:
            return None
        good = len(words) > 1 and words[0].startswith(b"HTTP/") and words[1].isdigit()
        return good and int(words[1]) < 400


@dataclass
class Command:
    """One run of a command, which ends with 0 where all is well."""

    pid: int
    ended: Ended
    kill: Kill

    def look(self) -> bool | None:
        """Return the answer, None while there is none."""
        code = self.ended(self.pid)
        return None if code is None else code == 0

    def close(self) -> None:
        """End the command if it still runs."""
        if self.ended(self.pid) is None:
            with contextlib.suppress(ProcessLookupError):
                self.kill(self.pid)


@dataclass
class Prober:
    """Asks on time and counts: `look` returns a change of ``well``, None where nothing changed.

    Times are monotonic seconds; ``begun`` is when the program started. Before the first yes a no
    counts only after ``start_s``.
    """

    probe: Probe
    begun: float
    spawn: Spawn
    ended: Ended
    kill: Kill
    well: bool | None = None
    _due: float = 0.0
    _late: float = 0.0
    _misses: int = 0
    _asked: Wire | Command | None = field(default=None)

    def look(self, now: float) -> bool | None:
        """Ask, or look for the answer."""
        if self._asked is None:
            if now >= self._due:
                self._ask(now)
            return None
        answer = self._asked.look()
        if answer is None and now < self._late:
            return None
        self.close()
        return self._counted(bool(answer), now)

    def close(self) -> None:
        """Give up a question that is under way."""
        if self._asked is not None:
            self._asked.close()
            self._asked = None

    def _ask(self, now: float) -> None:
        self._late, self._due = now + self.probe.timeout_s, now + self._pause()
        try:
            if self.probe.kind == "argv":
                self._asked = Command(self.spawn(self.probe.argv), self.ended, self.kill)
            else:
                self._asked = Wire(self.probe)
        except OSError:
            self._counted(answer=False, now=now)

    def _pause(self) -> float:
        """Ask often until the first yes: whoever starts the program waits for it."""
        return self.probe.every_s if self.well else min(self.probe.every_s, 0.2)

    def _counted(self, answer: bool, now: float) -> bool | None:  # noqa: FBT001  one yes or no
        before = self.well
        if answer:
            self._misses, self.well = 0, True
        elif self.well or now - self.begun >= self.probe.start_s:
            self._misses += 1
            if self._misses >= self.probe.failures or not before:
                self.well = False
        return self.well if self.well is not before else None
