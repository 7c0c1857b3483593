"""Bring the embedded engines up and down: `up` twice changes nothing, `down` leaves nothing.

The engines are detached; nothing of ours has to stay alive for them. One lock per home lets
only one supervisor act at a time, and the kernel frees it when a supervisor is killed.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal

from topology import processes
from topology.engines import postgres, valkey
from topology.engines.postgres import Postgres
from topology.engines.valkey import Valkey
from topology.errors import EngineError
from topology.home import Home, explaining
from topology.sections import EmbeddedPostgres, EmbeddedValkey
from topology.services import Topology

PATIENCE_S = 60.0
"""How long a second supervisor waits for the first."""

Change = Literal["started", "already running", "stopped", "already stopped", "running", "remote"]


@dataclass(frozen=True, slots=True)
class Engine:
    """One engine: what was done or found, its pid, and whether it takes connections."""

    name: str
    state: Change
    pid: int | None = None
    ready: bool = False


@dataclass(frozen=True, slots=True)
class EngineStatus:
    """Both engines of a home; ``changed`` tells whether anything was started or stopped."""

    postgres: Engine
    valkey: Engine

    @property
    def changed(self) -> bool:
        """Tell whether something was started or stopped."""
        return any(e.state in {"started", "stopped"} for e in (self.postgres, self.valkey))

    @property
    def message(self) -> str:
        """Say it in one sentence."""
        engines = (self.postgres, self.valkey)
        return "; ".join(f"{engine.name} {engine.state}" for engine in engines) + "."

    def body(self) -> dict[str, Any]:
        """Return the status as JSON."""
        return {**asdict(self), "changed": self.changed, "message": self.message}


def up(home: Home, topology: Topology) -> EngineStatus:
    """Start what the topology embeds and does not run yet; return when both take connections."""
    home.ensure()
    with _alone(home) as lock:
        stores = topology.stores
        return EngineStatus(
            _up(Postgres(home, stores.postgres, lock), "postgres")
            if isinstance(stores.postgres, EmbeddedPostgres)
            else Engine("postgres", "remote"),
            _up(Valkey(home, stores.valkey), "valkey")
            if isinstance(stores.valkey, EmbeddedValkey)
            else Engine("valkey", "remote"),
        )


def down(home: Home) -> EngineStatus:
    """Stop both engines, whatever the topology says now; a home that is not there is down."""
    if not home.run.is_dir():
        return EngineStatus(_gone("postgres", ran=False), _gone("valkey", ran=False))
    with _alone(home):
        return EngineStatus(
            _gone("postgres", ran=postgres.stop(home)), _gone("valkey", ran=valkey.stop(home))
        )


def status(home: Home, topology: Topology) -> EngineStatus:
    """Look without touching."""
    stores = topology.stores
    return EngineStatus(
        _look(Postgres(home, stores.postgres), "postgres")
        if isinstance(stores.postgres, EmbeddedPostgres)
        else Engine("postgres", "remote"),
        _look(Valkey(home, stores.valkey), "valkey")
        if isinstance(stores.valkey, EmbeddedValkey)
        else Engine("valkey", "remote"),
    )


def _up(server: Postgres | Valkey, name: str) -> Engine:
    """Start the server unless one runs, and complete what its first start has to make."""
    engine = _started(server, name)
    if isinstance(server, Postgres):
        server.complete()
    return engine


def _started(server: Postgres | Valkey, name: str) -> Engine:
    """Start the server unless one runs; one that is ending while we look is waited for."""
    while process := server.running():
        processes.until(lambda: _settled(server), PATIENCE_S, poll_s=0.02)
        if server.ready():
            return Engine(name, "already running", process.pid, ready=True)
        if process.alive:
            raise EngineError(
                f"The embedded {name} runs as process {process.pid} but does not answer.",
                hint="Stop it with alphaswarm down, then start again.",
                engine=name,
                pid=process.pid,
            )
    return Engine(name, "started", server.start().pid, ready=True)


def _settled(server: Postgres | Valkey) -> bool:
    return server.ready() or server.running() is None


def _look(server: Postgres | Valkey, name: str) -> Engine:
    process = server.running()
    if process is None:
        return Engine(name, "already stopped")
    return Engine(name, "running", process.pid, ready=server.ready())


def _gone(name: str, *, ran: bool) -> Engine:
    return Engine(name, "stopped" if ran else "already stopped")


@contextlib.contextmanager
def _alone(home: Home) -> Iterator[int]:
    with explaining(home.run):
        lock = os.open(home.run / "engines.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        if not processes.until(lambda: _locks(lock), PATIENCE_S, poll_s=0.05):
            raise EngineError(
                "Another command is still starting or stopping the engines of this home.",
                hint="Wait for it to end, then try again.",
                engine="both",
            )
        yield lock
    finally:
        os.close(lock)


def _locks(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
