"""Orders to a launcher and its answers: how a program is started that somebody looks after.

`start` starts ``python -m topology.launcher``, which starts the program, keeps it and leaves
nothing of it. Orders go to its standard input, so that no secret stands in a file or on a command
line; what it has to say stands in a small file in the home.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from topology import processes
from topology.home import Home, explaining, write_private
from topology.processes import Process

MODULE = "topology.launcher"
Phase = Literal["starting", "running", "restarting", "exited"]


@dataclass(frozen=True, slots=True)
class Probe:
    """How to ask whether the program is well: ``http`` or ``tcp`` at a port, or a command.

    It begins ``start_s`` after each start at the latest; the first yes begins it earlier.
    """

    kind: Literal["http", "tcp", "argv"]
    port: int = 0
    path: str = "/"
    argv: Sequence[str] = ()
    every_s: float = 5.0
    timeout_s: float = 2.0
    start_s: float = 30.0
    failures: int = 3


@dataclass(frozen=True, slots=True)
class Orders:
    """What the launcher is told.

    ``environ`` None passes its own on. ``limits`` are by name of ``resource.RLIMIT_*`` in lower
    case. ``restart`` says when the program is started again, at most ``most`` times in a row.
    A halt in ``latch`` of one of ``scopes`` ends the program: SIGTERM, after ``halt_grace_s``
    SIGKILL. ``lock`` is a descriptor that it holds for its life. The log is cut above
    ``log_bytes``.
    """

    environ: Mapping[str, str] | None = None
    folder: str | None = None
    limits: Mapping[str, int] = field(default_factory=dict)
    restart: Literal["never", "on_failure", "always"] = "never"
    most: int = 0
    pause_s: float = 1.0
    probe: Probe | None = None
    state: str | None = None
    latch: str | None = None
    scopes: Sequence[str] = ()
    halt_grace_s: float = 3.0
    lock: int | None = None
    log_bytes: int | None = None

    def dump(self) -> bytes:
        """Return them as the launcher reads them."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def read(cls, data: bytes) -> Orders:
        """Return the orders of `dump`."""
        facts = dict(json.loads(data))
        probe = facts.pop("probe")
        return cls(**facts, probe=Probe(**probe) if probe else None)


@dataclass(frozen=True, slots=True)
class State:
    """What a launcher says of its program.

    ``exit_code`` is 128 + the signal for one that was killed, None while it runs. ``why`` says who
    asked for the end: ``stopped``, ``halted`` (then ``epoch`` and ``scope`` of the halt), or
    nobody. ``well`` is what the probe says, None before its first answer.
    """

    launcher: int
    started: str
    phase: Phase
    pid: int | None = None
    restarts: int = 0
    exit_code: int | None = None
    well: bool | None = None
    why: Literal["", "stopped", "halted"] = ""
    epoch: int = 0
    scope: str = ""

    @property
    def process(self) -> Process:
        """The launcher itself."""
        return Process(self.launcher, self.started)

    def write(self, file: Path) -> None:
        """Replace the file, 0600."""
        with explaining(file):
            write_private(file, json.dumps(asdict(self)))

    @classmethod
    def read(cls, file: Path) -> State | None:
        """Return what stands in the file, or None."""
        try:
            return cls(**json.loads(file.read_bytes()))
        except (OSError, ValueError, TypeError):
            return None


def start(
    name: str,
    argv: Sequence[str],
    orders: Orders,
    *,
    log: Path,
    environ: Mapping[str, str],
    keep: Sequence[int] = (),
) -> Process | None:
    """Start ``argv`` under a launcher and return the launcher; None means that it ended at once.

    ``name`` is for people who list processes. ``environ`` is the launcher's own environment.
    """
    command = [sys.executable, "-m", MODULE, name, "--", *argv]
    return processes.start(command, log=log, environ=environ, stdin=orders.dump(), keep=keep)


def own_environment(more: Mapping[str, Any]) -> dict[str, str]:
    """Return what a launcher needs of this process's environment, and ``more``."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "PYTHONPATH") if name in os.environ}
    return {**kept, "PYTHONSAFEPATH": "1", **more}


def state_file(home: Home, run_id: str) -> Path:
    """Return where the launcher of a run's workload says how it is."""
    return home.run / f"workload-{run_id}.json"


def states(home: Home) -> Iterator[tuple[str, State]]:
    """Yield what the launcher of each workload of this home said last, by run."""
    for file in home.run.glob("workload-*.json"):
        state = State.read(file)
        if state is not None:
            yield file.stem.removeprefix("workload-"), state
