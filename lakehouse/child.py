"""One child at work (`lakehouse.cell`), seen from the server: asked, awaited, ended at will."""

from __future__ import annotations

import json
import logging
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any

from lakehouse import confined
from lakehouse.errors import SqlMemoryError, SqlTimeoutError
from lakehouse.nursery import Nursery
from topology.errors import FaultError, RefusedError
from topology.sections import SqlLimits

KILL_AFTER = 2.0
"""Times the limit after which a query that ignores the interrupt is killed."""
START_S = 30.0
"""Longest start of a child: the first one also starts the nursery, on a busy machine."""

_log = logging.getLogger(__name__)
_told: set[str] = set()


class Leash:
    """Ends a query from any thread, at once, whatever it is doing; before it starts, too."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kill: Callable[[], None] | None = None
        self.pulled = False

    def pull(self) -> None:
        """End the query; harmless when it has ended."""
        with self._lock:
            self.pulled = True
            if self._kill is not None:
                self._kill()

    def refuse_pulled(self) -> None:
        """Raise ``cancelled`` if it was pulled before there was anything to end."""
        if self.pulled:
            raise _cancelled()

    def tie(self, kill: Callable[[], None] | None) -> None:
        """Say what ends the query now, None once it has ended."""
        with self._lock:
            self._kill = kill
            if self.pulled and kill is not None:
                kill()


class Child:
    """One child process; leaving the block ends it, whatever it is doing."""

    def __init__(self, nursery: Nursery, limits: SqlLimits, leash: Leash) -> None:
        self._limits = limits
        self._leash = leash
        self._patience_s = limits.timeout_s * KILL_AFTER
        self._line = nursery.child()
        self._pid = 0

    def __enter__(self) -> Child:
        try:
            if self._line.poll(START_S):
                born = json.loads(self._line.recv_bytes())
                self._pid = born["pid"]
                _tell(born["fences"])
                self._leash.tie(self._kill)
                return self
        except (EOFError, ConnectionResetError):
            pass
        self._line.close()
        raise FaultError("The process for queries does not start.", hint="Run `alphaswarm doctor`.")

    def __exit__(self, *_: object) -> None:
        self._leash.tie(None)
        self._kill()
        self._line.close()

    def parse(self, sql: str) -> bytes:
        """Return the answer to the first question: the query's tree."""
        bounds = {"timeout_s": self._limits.timeout_s, "memory_mb": self._limits.memory_mb}
        return self.ask({"sql": sql, **bounds})

    def ask(self, message: dict[str, Any]) -> bytes:
        """Send and return the answer; a child that is silent or dead becomes an error.

        Both answers of a child together may take twice the limit: parsing, too, can be a bomb.
        """
        asked = time.monotonic()
        try:
            self._line.send_bytes(json.dumps(message).encode())
            if not self._line.poll(max(self._patience_s, 0.0)):
                raise self._timeout()
            answer = self._line.recv_bytes()
        except (EOFError, BrokenPipeError, ConnectionResetError) as error:
            raise self._end(time.monotonic() - asked) from error
        self._patience_s -= time.monotonic() - asked
        return answer

    def _end(self, after_s: float) -> Exception:
        if self._leash.pulled:
            return _cancelled()
        return self._timeout() if after_s > self._limits.timeout_s else memory()

    def _timeout(self) -> SqlTimeoutError:
        return SqlTimeoutError(
            f"The query ran longer than {self._limits.timeout_s:g} s.",
            hint="Read fewer rows: filter by symbol and time, or aggregate in steps.",
            timeout_s=self._limits.timeout_s,
        )

    def _kill(self) -> None:
        """Kill the child if it lives: one that ended has closed its end of the line."""
        if not _hung_up(self._line):
            with suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGKILL)


def _cancelled() -> RefusedError:
    return RefusedError(
        "The query was cancelled.", hint="Send it again to run it.", code="cancelled"
    )


def memory() -> SqlMemoryError:
    """Return the error of what needs too much memory."""
    return SqlMemoryError(
        "The query or its result needs more memory than it may.",
        hint="Aggregate, select fewer columns, or read fewer rows.",
    )


def _hung_up(line: Connection) -> bool:
    poll = select.poll()
    poll.register(line.fileno(), select.POLLHUP)
    return bool(poll.poll(0))


def _tell(held: list[str]) -> None:
    """Say once what does not hold the children of this machine."""
    lacking = set(confined.FENCES) - set(held) - _told
    if lacking and sys.platform == "linux":
        _told.update(lacking)
        _log.warning("query_sql runs without %s: this kernel has none", ", ".join(sorted(lacking)))
