"""Time as an argument: a clock that reads the machine, and one that a test turns by hand."""

from __future__ import annotations

import datetime as dt
import time
from typing import Protocol


class Clock(Protocol):
    """What tells the time: wall-clock UTC for records, monotonic seconds for durations."""

    def now(self) -> dt.datetime:
        """Return the aware UTC time."""

    def monotonic(self) -> float:
        """Return seconds that never run backwards."""


class SystemClock:
    """The machine's clock."""

    def now(self) -> dt.datetime:
        """Return the aware UTC time."""
        return dt.datetime.fromtimestamp(time.time(), tz=dt.UTC)

    def monotonic(self) -> float:
        """Return seconds that never run backwards."""
        return time.monotonic()


class FrozenClock:
    """A clock that moves only when told."""

    def __init__(self, start: dt.datetime) -> None:
        self._now = start.astimezone(dt.UTC)
        self._elapsed = 0.0

    def now(self) -> dt.datetime:
        """Return the frozen UTC time."""
        return self._now

    def monotonic(self) -> float:
        """Return the seconds moved so far."""
        return self._elapsed

    def advance(self, seconds: float) -> None:
        """Move both readings forward by ``seconds``."""
        self._now += dt.timedelta(seconds=seconds)
        self._elapsed += seconds


def rfc3339(moment: dt.datetime) -> str:
    """Return ``2026-01-02T03:04:05.678901Z``; ``moment`` must be aware."""
    return moment.astimezone(dt.UTC).isoformat().replace("+00:00", "Z")
