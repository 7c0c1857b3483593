"""A home with stores, ledger and worker groups of its own, for tests that break something."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ledger import runs
from ledger.halts import sync_latch
from ledger.migrations.__main__ import migrate
from ledger.pool import Pool, open_pool
from tests.kit import kernels
from tests.kit.ledger import APP, Desk
from tests.kit.redaction import COLLECTOR
from topology import processes, services
from topology.engines import supervisor
from topology.home import Home
from topology.services import Topology
from topology.stores import postgres_dsn

ROOT = Path(__file__).resolve().parents[2]
ENDED = frozenset({"succeeded", "failed", "halted", "cancelled"})


@dataclass(frozen=True)
class Suite:
    """A running suite without servers; whatever a test kills here nobody else misses."""

    home: Home
    topology: Topology
    environ: Mapping[str, str]
    pool: Pool
    desk: Desk

    def groups(self, module: str = "tests.kit.slow_worker") -> processes.Process:
        """Start the keeper of the worker groups."""
        started = processes.start(
            [sys.executable, "-m", module],
            log=self.home.logs / "workers.log",
            environ=self.environ,
        )
        assert started is not None
        return started

    def workers(self, queue: str) -> list[int]:
        """Return the pids of the living worker processes of a queue."""
        notes = [json.loads(p.read_text()) for p in self.home.run.glob("worker-*.json")]
        return [
            note["pid"]
            for note in notes
            if queue in note["queues"] and processes.Process.of(note["pid"])
        ]

    def submit(self, *, seconds: float, name: str = "slow", **body: Any) -> runs.Run:
        """Submit slow work."""
        return self.desk.submit("analysis", name, seconds=seconds, **body)

    def run(self, run_id: str) -> runs.Run:
        return runs.get(self.pool, run_id)

    def until(self, wanted: Callable[[], bool], *, within_s: float, what: str) -> float:
        """Wait until ``wanted``; return the seconds it took, or fail with the workers' log."""
        began = time.monotonic()
        if processes.until(wanted, within_s, poll_s=0.02):
            return time.monotonic() - began
        log = self.home.logs / "workers.log"
        tail = log.read_text()[-3000:] if log.exists() else ""
        raise AssertionError(f"{what}: not within {within_s} s\n{tail}")

    def ended(self, run_id: str, *, within_s: float) -> runs.Run:
        """Wait for the end of a run and return it."""
        self.until(
            lambda: self.run(run_id).status in ENDED, within_s=within_s, what=f"end of {run_id}"
        )
        return self.run(run_id)


@contextlib.contextmanager
def suite(root: Path, *, processes_each: int = 1, **limits: Any) -> Iterator[Suite]:
    """Yield a suite below ``root`` with these limits in its topology; all of it ends with it.

    The queue ``interactive`` is worked by ``processes_each`` processes.
    """
    home = Home(root)
    kernels.lend(home)
    file = root / ".topology.yaml"
    document = yaml.safe_load(services.PACKAGED.read_text())
    document["limits"] |= limits
    document["workers"]["interactive"]["processes"] = processes_each
    file.write_text(yaml.safe_dump(document))
    environ = {
        **os.environ,
        "ALPHASWARM_HOME": str(root),
        "ALPHASWARM_TOPOLOGY": str(file),
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
    }
    topology = services.load(environ)
    try:
        supervisor.up(home, topology)
        migrate(topology, home)
        with contextlib.closing(open_pool(postgres_dsn(topology, home, APP), name="suite")) as pool:
            sync_latch(pool, home)
            yield Suite(home, topology, environ, pool, Desk(pool))
        COLLECTOR.ledger(topology, home)
    finally:
        supervisor.down(home)


@contextlib.contextmanager
def working(place: Suite, module: str = "tests.kit.slow_worker") -> Iterator[processes.Process]:
    """Run the groups while the block runs; nothing of them is left afterwards."""
    keeper = place.groups(module)
    try:
        place.until(
            lambda: all(place.workers(queue) for queue in place.topology.workers),
            within_s=60,
            what="the workers",
        )
        yield keeper
    finally:
        try:
            for pid in [pid for queue in place.topology.workers for pid in place.workers(queue)]:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)
        finally:
            assert keeper.stop((signal.SIGTERM, 40), (signal.SIGKILL, 5))
