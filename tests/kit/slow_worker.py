"""A worker process whose only runtime takes as long as its spec says: `... tests.kit.slow_worker`.

`python -m tests.kit.slow_worker` is `runtimes.groups` with this application in it.
"""

from __future__ import annotations

import ctypes
import sys
import time
from typing import ClassVar

import dramatiq
from dramatiq.brokers.redis import RedisBroker

from ledger import specs
from runtimes import groups, worker
from runtimes.base import Outcome, Runtime
from runtimes.context import RunContext
from topology.registry import Registry

STEPS_PER_S = 50

SLOW: Registry[type[Runtime]] = Registry(
    "runtime", {"analysis": "tests.kit.slow_worker:SlowRuntime"}
)


def stuck(seconds: float) -> None:
    """Sleep in native code that keeps the interpreter's lock: no thread of the process runs."""
    ctypes.PyDLL(None).usleep(int(seconds * 1e6))


class SlowRuntime(Runtime):
    """Counts its steps in frames, one each 20 ms, and keeps the count when it is halted."""

    kind: ClassVar[str] = "analysis"

    def __init__(self) -> None:
        self._done = 0

    def work(self, context: RunContext) -> Outcome:
        spec = specs.get(context.workshop.pool, context.run.spec_sha256, kind=self.kind)
        total = int(spec.body["seconds"] * STEPS_PER_S)
        for self._done in range(1, total + 1):
            context.checkpoint()
            context.emit("step", f"Step {self._done}.", current=self._done, total=total)
            if self._done == spec.body.get("stuck_at"):
                stuck(spec.body["stuck_s"])
            time.sleep(1 / STEPS_PER_S)
        return Outcome({"steps": self._done, "partial": False})

    def salvage(self, context: RunContext) -> Outcome | None:
        return Outcome({"steps": self._done, "partial": True})


def boot() -> None:
    """Boot a worker that knows the slow runtime, and one actor that nobody records."""
    worker.boot(SLOW)
    broker = dramatiq.get_broker()
    assert isinstance(broker, RedisBroker)

    def bare(key: str) -> None:
        broker.client.rpush(key, time.time())

    dramatiq.actor(actor_name="bare", queue_name="batch", broker=broker)(bare)


if __name__ == "__main__":
    sys.exit(groups.main("tests.kit.slow_worker:boot"))
