"""One command of the program: started in the stack's folder, read line by line, stopped in time."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from signal import SIGINT, SIGKILL, SIGTERM, Signals
from typing import IO

from pydantic import SecretStr

from runtimes.context import LOOK_S
from runtimes.terraform import launch
from runtimes.terraform.formats import Diagnostic, Message, message
from topology.errors import AlphaSwarmError, FaultError
from topology.sections import HaltLimits

MASK = "[secret]"
SHORTEST_SECRET = 4
"""Shorter values are not masked: every text holds them, and none is worth hiding."""
_JOIN_S = 5.0


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

        What `checkpoint` raises is raised here after the program has stopped.
        """
        process = self._start(arguments)
        reading = _Reading(process, heard, self.log if logged else None)
        try:
            while not reading.wait(LOOK_S):
                self.checkpoint()
                reading.check()
            status = process.wait()
            reading.check()
        except BaseException:
            self._stop(process, reading)
            raise
        finally:
            reading.close()
        return Ended(status, reading.output, tuple(reading.errors))

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

    def _start(self, arguments: tuple[str, ...]) -> subprocess.Popen[bytes]:
        self.hard = False
        start = [sys.executable, "-I", "-S", launch.__file__, str(os.getpid())]
        argv = [*start, str(self.binary), *arguments]
        try:
            return subprocess.Popen(
                argv,
                cwd=self.folder,
                env=dict(self.environ),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
                pass_fds=(self.lock,),
            )
        except OSError as error:
            raise FaultError(
                f"{self.binary.name} cannot be started: {error.strerror}.",
                hint="Run `alphaswarm doctor`.",
            ) from error

    def _stop(self, process: subprocess.Popen[bytes], reading: _Reading) -> None:
        """Ask it to stop: it ends what it is at and writes its state. Then insist, then kill."""
        began = time.monotonic()
        insist = self.limits.grace_s
        kill = (self.limits.grace_s + self.limits.kill_s) / 2
        for number, until in ((SIGINT, insist), (SIGTERM, kill), (SIGKILL, None)):
            if process.poll() is not None:
                break
            self.hard = number == SIGKILL
            _send(process, number)
            try:
                left = None if until is None else max(0.0, until - (time.monotonic() - began))
                process.wait(left)
                break
            except subprocess.TimeoutExpired:
                continue
        reading.wait(_JOIN_S)


def _send(process: subprocess.Popen[bytes], number: Signals) -> None:
    """Signal the program alone, which tells its plugins; what is killed is killed with them."""
    with contextlib.suppress(ProcessLookupError):
        if number == SIGKILL:
            os.killpg(process.pid, number)
        else:
            process.send_signal(number)


class _Reading:
    """Both outputs of a process, read by threads so that it never waits for us."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        heard: Callable[[Message], object] | None,
        log: Path | None,
    ) -> None:
        self.errors: list[Diagnostic] = []
        self._failed: BaseException | None = None
        self._lines: list[bytes] = []
        self._heard = heard
        self._log = log.open("ab") if log is not None else None
        self._pipes = [pipe for pipe in (process.stdout, process.stderr) if pipe is not None]
        self._threads = [
            threading.Thread(target=self._read, args=(pipe, take), daemon=True)
            for pipe, take in zip(self._pipes, (self._said, self._complained), strict=True)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def output(self) -> bytes:
        """What it wrote to its standard output."""
        return b"".join(self._lines)

    def wait(self, timeout_s: float) -> bool:
        """Tell whether both outputs have ended, after waiting at most ``timeout_s``."""
        deadline = time.monotonic() + timeout_s
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def check(self) -> None:
        """Raise what a line made fail: the program says something that we cannot read."""
        if self._failed is not None:
            raise self._failed

    def close(self) -> None:
        """Let go of pipes and log; a pipe that a plugin still holds open is left to its thread."""
        if any(thread.is_alive() for thread in self._threads):
            return
        for file in (*self._pipes, self._log):
            if file is not None:
                file.close()

    def _read(self, pipe: IO[bytes], take: Callable[[bytes], object]) -> None:
        for line in pipe:
            try:
                if self._log is not None:
                    self._log.write(line)
                    self._log.flush()
                take(line)
            except Exception as error:  # noqa: BLE001  the pipe is read on, or the program hangs
                self._failed = self._failed or error

    def _said(self, line: bytes) -> None:
        self._lines.append(line)
        found = message(line) if line.startswith(b"{") else None
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
