"""A strategy's code in a process of its own, seen from the worker: timed, bounded, ended at will.

A bar that takes too long, or a process that died, cannot say what it had reached. So it is played
again, to the bar before: a strategy that is deterministic comes there again.
"""

from __future__ import annotations

import json
import mmap
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from runtimes.backtest.job import (
    BAR,
    CELLS,
    DONE,
    LATCH,
    PLANNING,
    STARTING,
    STOP,
    WORDS,
    Job,
    written,
)
from runtimes.backtest.parcel import unpacked
from runtimes.engine.arrays import Ints
from runtimes.engine.errors import EngineFaultError, StrategyError, instant
from runtimes.engine.results import Result
from topology.errors import AlphaSwarmError, BadInputError
from topology.frames import Progress
from topology.sections import StrategyLimits

LOOK_S = 0.05
START_S = 600.0
"""Longest start of a process, on a busy machine that still has to compile the kernels."""
STOP_S = 3.0
"""How long a process may take to hand over what it had when it is asked to stop."""
JSON = b"{"


@dataclass(frozen=True, slots=True)
class Played:
    """What came of a job: its records (None: nothing was simulated), its error and its calls."""

    result: Result | None
    error: AlphaSwarmError | None = None
    calls: tuple[Any, ...] = ()


class Theatre:
    """Plays one job; ``played`` is what it has come to when something else stops it."""

    def __init__(self, job: Job, limits: StrategyLimits, *, times: Ints) -> None:
        self._job, self._limits, self._times = job, limits, times
        self.played: Played | None = None

    def play(self, progress: Progress) -> Played:
        """Return what came of the job; what ``progress.checkpoint`` raises passes through."""
        with Process() as process:
            return self.play_in(process, progress)

    def play_in(self, process: Process, progress: Progress) -> Played:
        """Play in a process that waits for a job; one that was not done there ends it."""
        process.begin(self._job)
        try:
            self.played = self._follow(process, progress)
        except AlphaSwarmError:
            self.played = process.stopped()
            raise
        if self.played.error is not None and self.played.result is None:
            self._play_again(self.played.error, progress)
        return self.played

    def _follow(self, process: Process, progress: Progress) -> Played:
        bar, since = None, time.monotonic()
        while True:
            progress.checkpoint()
            played = process.news(progress)
            if played is not None:
                return played
            now, at = time.monotonic(), process.bar
            if at != bar:
                bar, since = at, now
            elif process.gone:
                return Played(None, self._died(process, at))
            elif now - since > self._patience(at):
                return Played(None, self._late(at))

    def _patience(self, bar: int) -> float:
        """Return how long the word of this bar may stand, seconds."""
        if bar in (STARTING, DONE):
            return START_S
        return self._limits.plan_s if bar == PLANNING else self._limits.bar_s

    def _play_again(self, error: AlphaSwarmError, progress: Progress) -> None:
        """Keep what comes of the bars before the one that failed."""
        bar = error.facts.get("bar")
        if not bar:
            return
        with Process() as process:
            process.begin(replace(self._job, until=int(bar)))
            again = self._follow(process, progress)
        if again.error is None:
            self.played = replace(again, error=error)

    def _late(self, bar: int) -> StrategyError:
        limit = self._patience(bar)
        return StrategyError(
            f"The strategy did not come to an end within {limit:g} s{self._where(bar)}.",
            hint="Do less at a bar, or raise limits.strategy in the topology.",
            limit_s=limit,
            **self._facts(bar),
        )

    def _died(self, process: Process, bar: int) -> AlphaSwarmError:
        status = process.status()
        if bar == DONE:
            return EngineFaultError("The process of a strategy died with its result.")
        return StrategyError(
            f"The strategy ended its process{self._where(bar)} (status {status}).",
            hint="It took more memory than the machine has, or crashed a library.",
            status=status,
            **self._facts(bar),
        )

    def _where(self, bar: int) -> str:
        return f" at {instant(int(self._times[bar]))}" if bar >= 0 else " before its first bar"

    def _facts(self, bar: int) -> dict[str, Any]:
        if bar < 0:
            return {}
        return {"bar": bar, "timestamp": instant(int(self._times[bar]))}


class Company:
    """Plays jobs one after another in one process; a process that did not end one is replaced."""

    def __init__(self, limits: StrategyLimits) -> None:
        self._limits = limits
        self._process: Process | None = None

    def __enter__(self) -> Company:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def play(self, job: Job, progress: Progress, *, times: Ints) -> Played:
        """Return what came of ``job``; see `Theatre.play`."""
        if self._process is None:
            self._process = Process().__enter__()
        played = Theatre(job, self._limits, times=times).play_in(self._process, progress)
        if self._process.bar != DONE:
            self._end()
        return played

    def _end(self) -> None:
        if self._process is not None:
            self._process.__exit__()
            self._process = None


class Process:
    """One process that waits for jobs; leaving the block ends it, whatever it is doing."""

    def __enter__(self) -> Process:
        self._file = tempfile.TemporaryFile()
        self._file.truncate(WORDS * 8)
        self._shared = mmap.mmap(self._file.fileno(), WORDS * 8)
        self._words = np.frombuffer(self._shared, dtype=np.int64)
        self._words[BAR] = STARTING
        ours, theirs = socket.socketpair()
        given = (theirs.fileno(), self._file.fileno())
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "runtimes.backtest.stage", *map(str, given)],
                pass_fds=given,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
            )
        self._line, self._ended = Connection(ours.detach()), False
        return self

    def begin(self, job: Job) -> None:
        """Send a job; the process has none."""
        self._words[BAR], self._words[STOP] = STARTING, 0
        with suppress(BrokenPipeError, ConnectionResetError):
            if job.has_source:
                self._line.send_bytes(CELLS)
            self._line.send_bytes(written(job))

    def __exit__(self, *_: object) -> None:
        with suppress(ProcessLookupError):  # it and the fork that does the job
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._line.close()
        del self._words
        self._shared.close()
        self._file.close()

    @property
    def bar(self) -> int:
        """Return the bar that is decided, or `PLANNING`, or `DONE`."""
        return int(self._words[BAR])

    @property
    def gone(self) -> bool:
        """Tell whether the process has ended and nothing of it is left to be read."""
        return self._process.poll() is not None and (self._ended or not self._readable(0.0))

    def status(self) -> int | None:
        """Return the exit status, negative for a signal."""
        return self._process.poll()

    def news(self, progress: Progress) -> Played | None:
        """Pass frames on for a while; return what came of the job once it is there."""
        if not self._readable(LOOK_S):
            return None
        try:
            told = self._line.recv_bytes()
        except (EOFError, ConnectionResetError):
            self._ended = True
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(LOOK_S)
            return None
        if not told.startswith(JSON):
            result, facts = unpacked(told)
            return Played(result, _raised(facts["error"]), tuple(facts["calls"]))
        frame = json.loads(told)
        if "failed" in frame:
            return Played(None, _raised(frame["failed"]))
        progress.emit(frame["stage"], frame["message"], **frame["extras"])
        return None

    def stopped(self) -> Played | None:
        """Ask for the end and return what there is, None where it does not answer in time."""
        self._words[STOP] = 1
        self._words[LATCH] += 1
        deadline = time.monotonic() + STOP_S
        while time.monotonic() < deadline and not self.gone:
            played = self.news(_Deaf())
            if played is not None:
                return replace(played, error=None)
        return None

    def _readable(self, within_s: float) -> bool:
        try:
            return self._line.poll(within_s)
        except (OSError, EOFError):
            return False


class _Deaf(Progress):
    """Hears no frames: the run has ended already."""

    def emit(self, stage: str, message: str, **extras: Any) -> None:
        """Say nothing."""

    def checkpoint(self) -> None:
        """Go on."""


def _raised(body: dict[str, Any] | None) -> AlphaSwarmError | None:
    """Return the error that another process told."""
    if body is None:
        return None
    kind = EngineFaultError if body["code"] in ("engine_fault", "internal") else BadInputError
    return kind(body["message"], hint=body["hint"], code=body["code"], **body["facts"])
