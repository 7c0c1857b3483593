"""Which runs the worker processes of this machine hold, as small files that need no store.

A file ``run/held-RUN_ID.json`` stands while a run works and goes when it has stopped. The watchdog
reads them: with the ledger down, or a worker stuck in native code, nobody else could tell.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from topology.home import Home, write_private
from topology.latch import scopes_of
from topology.processes import Process


@dataclass(frozen=True, slots=True)
class Held:
    """One attempt of a run, and the process that works it."""

    node: str
    pid: int
    started: str
    kind: str
    name: str
    run_id: str
    attempt: int

    @property
    def process(self) -> Process:
        """The process that holds the run."""
        return Process(self.pid, self.started)

    @property
    def scopes(self) -> tuple[str, ...]:
        """The halt scopes that cover the run, widest first."""
        return scopes_of(self.kind, self.name, self.run_id)


@dataclass(frozen=True, slots=True)
class Silent:
    """A run that did not stop for a halt, so that its process was ended."""

    kind: str
    run_id: str
    attempt: int
    scope: str
    epoch: int


class Hold:
    """The file of one run that this process works; a ``with`` block removes it."""

    def __init__(self, home: Home, *, kind: str, name: str, run_id: str, attempt: int) -> None:
        self._file = home.run / f"held-{run_id}.json"
        self._facts = {"kind": kind, "name": name, "run_id": run_id, "attempt": attempt}

    def __enter__(self) -> Self:
        process = Process.of(os.getpid())
        started = process.started if process else ""
        held = Held(node=platform.node(), pid=os.getpid(), started=started, **self._facts)  # type: ignore[arg-type]  # as written above
        with contextlib.suppress(OSError):
            write_private(self._file, json.dumps(asdict(held)))
        return self

    def __exit__(self, *_: object) -> None:
        self.let_go()

    def let_go(self) -> None:
        """Say that the run has stopped: nobody needs to end this process for it."""
        self._file.unlink(missing_ok=True)


def held(home: Home) -> Iterator[tuple[Path, Held]]:
    """Yield every run that is held on this machine, with its file."""
    for file in home.run.glob("held-*.json"):
        facts = _read(file)
        with contextlib.suppress(TypeError):
            found = Held(**facts)
            if found.node == platform.node():
                yield file, found


def report(home: Home, silent: Silent) -> None:
    """Leave word for the ledger that a run was ended from outside."""
    write_private(home.run / f"silent-{silent.run_id}.json", json.dumps(asdict(silent)))


def reported(home: Home) -> Iterator[tuple[Path, Silent]]:
    """Yield what was reported and not yet taken into the ledger."""
    for file in home.run.glob("silent-*.json"):
        with contextlib.suppress(TypeError):
            yield file, Silent(**_read(file))


def _read(file: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(file.read_bytes()))
    except (OSError, ValueError):
        return {}
