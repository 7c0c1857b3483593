"""One command of the program: started in the stack's folder, read as it speaks, stopped in time."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from signal import SIGINT, SIGKILL, SIGTERM
from typing import IO

from pydantic import SecretStr

from runtimes.context import LOOK_S
from runtimes.terraform import launch
from runtimes.terraform.formats import Diagnostic, Message, message
from topology.errors import AlphaSwarmError, FaultError, LeaseLostError
from topology.sections import HaltLimits

MASK = "[secret]"
SHORTEST_SECRET = 4
"""Shorter values are not masked: every text holds them, and none is worth hiding."""


_LEFT: list[subprocess.Popen[bytes]] = []


class StackError(AlphaSwarmError):
    """The program refused or failed; ``facts`` say which command, and what it named as reasons."""

    code = "stack_failed"


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended: its exit status, what it wrote, and the errors that it reported."""

    status: int
    output: bytes
    errors: tuple[Diagnostic, ...]


@dataclass(slots=True)
class Program:
    """The binary in one stack's folder.

    ``environ`` is all that it knows; ``secrets`` are masked in whatever is told of it.
    ``checkpoint`` raises when the run must stop. ``lock`` is a descriptor that the program keeps
    open for as long as it lives. ``log`` takes what it prints, 0600, for the operator's eyes.
    """

    binary: Path
    folder: Path
    environ: Mapping[str, str]
    secrets: tuple[SecretStr, ...]
    checkpoint: Callable[[], object]
    limits: HaltLimits
    lock: int
    log: Path
    hard: bool = field(default=False, init=False)
    """Whether the last command had to be ended: then nobody knows how far it came."""

    def run(
        self, *arguments: str, heard: Callable[[Message], object] | None = None, logged: bool = True
    ) -> Ended:
        """Run one command to its end; ``heard`` takes each message of the JSON stream.

        With ``logged`` false its output goes nowhere but into the answer. What `checkpoint` raises
        is raised here after the program has stopped. Only where the run is another worker's now, or
        this one goes, the program is left to its end: it holds the lock, and whoever takes the run
        up waits for it. It is told to stop when this process ends, once: a second time would cut it
        off.
        """
        self.hard = False
        _LEFT[:] = [process for process in _LEFT if process.poll() is None]
        with self.log.open("ab") as log, _nameless(self.log.parent) as answer:
            heeding = _Heeding(self.log, log.tell(), heard)
            process = self._start(arguments, log if logged else answer, log)
            try:
                while not _over(process, LOOK_S):
                    self.checkpoint()
                    heeding.read()
                heeding.read()
            except LeaseLostError:
                _LEFT.append(process)
                raise
            except BaseException:
                self._stop(process)
                with contextlib.suppress(AlphaSwarmError):
                    heeding.read()
                raise
            answer.seek(0)
            return Ended(process.returncode, answer.read(), tuple(heeding.errors))

    def demand(self, *arguments: str, accept: tuple[int, ...] = (0,), logged: bool = True) -> Ended:
        """Run one command and raise `StackError` unless it ends with an accepted status."""
        return self.accepted(arguments[0], self.run(*arguments, logged=logged), accept)

    def accepted(self, command: str, ended: Ended, accept: tuple[int, ...] = (0,)) -> Ended:
        """Return ``ended`` if its status is accepted, else raise `StackError`."""
        if ended.status in accept:
            return ended
        reasons = [self._reason(error) for error in ended.errors[:10]]
        first = f": {reasons[0]['summary']}" if reasons else "."
        raise StackError(
            f"`{command}` ended with status {ended.status}{first}",
            hint=f"All it said is in {self.log.name} of the run, below stacks/ in the home (0600).",
            command=command,
            status=ended.status,
            reasons=reasons,
        )

    def masked(self, text: str) -> str:
        """Return ``text`` without the values of our secrets."""
        for secret in self.secrets:
            value = secret.get_secret_value()
            if len(value) >= SHORTEST_SECRET:
                text = text.replace(value, MASK)
        return text

    def _reason(self, error: Diagnostic) -> dict[str, str]:
        at = f"{error.range.filename}:{error.range.start.line}" if error.range else ""
        told = {"summary": error.summary[:300], "address": error.address[:300], "at": at}
        return {key: self.masked(value) for key, value in told.items() if value}

    def _start(
        self, arguments: tuple[str, ...], output: IO[bytes], errors: IO[bytes]
    ) -> subprocess.Popen[bytes]:
        """Start it with files to write to: a pipe would break with us and take it along."""
        start = [sys.executable, "-I", "-S", launch.__file__, str(os.getpid())]
        argv = [*start, str(self.binary), *arguments]
        try:
            return subprocess.Popen(
                argv,
                cwd=self.folder,
                env=dict(self.environ),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
                start_new_session=True,
                pass_fds=(self.lock,),
            )
        except OSError as error:
            raise FaultError(
                f"{self.binary.name} cannot be started: {error.strerror}.",
                hint="Run `alphaswarm doctor`.",
            ) from error

    def _stop(self, process: subprocess.Popen[bytes]) -> None:
        """Ask it to stop: it ends what it is at and writes its state. Then insist, then kill."""
        began = time.monotonic()
        insist, last = self.limits.grace_s, (self.limits.grace_s + self.limits.kill_s) / 2
        for number, until in ((SIGINT, insist), (SIGTERM, last)):
            process.send_signal(number)
            if _over(process, max(0.0, until - (time.monotonic() - began))):
                return
        self.hard = True
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, SIGKILL)  # with its plugins
        process.wait()


def _over(process: subprocess.Popen[bytes], within_s: float) -> bool:
    try:
        process.wait(within_s)
    except subprocess.TimeoutExpired:
        return False
    return True


def _nameless(folder: Path) -> IO[bytes]:
    """Return a file that nobody can open: what is in it may be secret."""
    return tempfile.TemporaryFile(dir=folder)


class _Heeding:
    """Reads what is added to the log: messages of the stream, and errors in plain text."""

    def __init__(self, log: Path, start: int, heard: Callable[[Message], object] | None) -> None:
        self.errors: list[Diagnostic] = []
        self._log = log
        self._at = start
        self._heard = heard

    def read(self) -> None:
        """Take every whole line that came since the last time."""
        with self._log.open("rb") as file:
            file.seek(self._at)
            text = file.read()
        whole = text.rfind(b"\n") + 1
        self._at += whole
        for line in text[:whole].splitlines():
            if line.startswith(b"{"):
                self._said(line)
            else:
                self._complained(line)

    def _said(self, line: bytes) -> None:
        found = message(line)
        if found is None:
            return
        if found.diagnostic is not None and found.diagnostic.severity == "error":
            self.errors.append(found.diagnostic)
        if self._heard is not None:
            self._heard(found)

    def _complained(self, line: bytes) -> None:
        text = line.decode(errors="replace").strip(" \t\r\n|\N{BOX DRAWINGS LIGHT VERTICAL}")
        if text.startswith("Error: "):
            self.errors.append(Diagnostic(severity="error", summary=text.removeprefix("Error: ")))
