"""Ends worker processes that do not stop for a halt: SIGTERM at ``grace_s``, SIGKILL at ``kill_s``.

It runs in `runtimes.groups`, which parents the workers and holds no connection: latch and files are
all it needs, so it works with every store down. A worker that is ended hands its other runs back,
or loses them to the reaper; the silent run itself is ended as halted.
"""

from __future__ import annotations

import contextlib
import logging
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from runtimes.holding import Held, Silent, held, report
from topology.errors import LatchUnreadableError
from topology.home import Home
from topology.latch import Latch, Pressed
from topology.sections import HaltLimits

LOOK_S = 0.1
"""How often the runs under a halt are looked at, in seconds."""
EARLY_S = 0.3
"""SIGKILL goes out so long before ``kill_s``: by then the process is gone, a look late or not."""

_log = logging.getLogger("runtimes.watchdog")


@dataclass
class _Overdue:
    since: float
    """Monotonic seconds of the press."""
    epoch: int
    sent: signal.Signals | None = None


class Watchdog:
    """Looks at the runs that this machine holds; one per keeper of worker groups."""

    def __init__(self, home: Home, limits: HaltLimits) -> None:
        self._home, self._limits = home, limits
        self._latch: Latch | None = None
        self._quiet = -1
        self._overdue: dict[str, _Overdue] = {}

    def look(self, now: float) -> None:
        """Look once; ``now`` is monotonic seconds. Costs a word of memory where nothing is halted.

        A latch that cannot be read names no halt: what mutates ends by itself, research waits.
        """
        try:
            latch = self._open()
            if latch.changes() == self._quiet:
                return
            changes, pressed = latch.changes(), latch.in_force()
            for file, run in held(self._home) if pressed else ():
                self._judge(file, run, latch.pressed(run.scopes), now)
        except (LatchUnreadableError, OSError) as error:
            _log.warning("the runs under a halt cannot be looked at: %s", error)
            self.close()
            return
        if not pressed:
            self._quiet, self._overdue = changes, {}

    def close(self) -> None:
        """Let go of the latch; the next look opens it anew."""
        if self._latch is not None:
            self._latch.close()
        self._latch, self._quiet = None, -1

    def _open(self) -> Latch:
        if self._latch is None:
            self._latch = Latch.open(self._home.latch)
        self._latch.check()
        return self._latch

    def _judge(self, file: Path, run: Held, pressed: Pressed | None, now: float) -> None:
        if pressed is None:
            self._overdue.pop(run.run_id, None)
            return
        overdue = self._overdue.setdefault(run.run_id, self._begun(file, pressed, now))
        if not run.process.alive:
            self._gone(file, run, pressed)
            return
        waited = now - overdue.since
        if waited >= self._limits.kill_s - EARLY_S and overdue.sent is not signal.SIGKILL:
            self._send(run, overdue, signal.SIGKILL)
        elif waited >= self._limits.grace_s - LOOK_S and overdue.sent is None:
            self._send(run, overdue, signal.SIGTERM)

    def _begun(self, file: Path, pressed: Pressed, now: float) -> _Overdue:
        """Count from the press, or from when the run began if that was later."""
        try:
            began_ns = max(pressed.at_ns, file.stat().st_mtime_ns)
        except OSError:
            began_ns = time.time_ns()
        ago = (time.time_ns() - began_ns) / 1e9
        return _Overdue(now - min(max(ago, 0.0), self._limits.grace_s), pressed.epoch)

    def _send(self, run: Held, overdue: _Overdue, number: signal.Signals) -> None:
        _log.warning("run %s does not stop: %s to %s", run.run_id, number.name, run.pid)
        overdue.sent = number
        run.process.send(number)

    def _gone(self, file: Path, run: Held, pressed: Pressed) -> None:
        """Leave word first: what is not reported would wait for the end of its lease."""
        report(self._home, Silent(run.kind, run.run_id, run.attempt, pressed.scope, pressed.epoch))
        with contextlib.suppress(OSError):
            file.unlink()
        self._overdue.pop(run.run_id, None)
