"""The runtime of kind ``data``: one job per task of its specs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from ledger import specs
from runtimes.base import Outcome, Runtime
from runtimes.context import RunContext
from runtimes.specs.data import TASKS
from topology.registry import Registry

JOBS: Registry[Callable[[RunContext, Any], Outcome]] = Registry(
    "data job",
    {
        "ingest": "runtimes.data.ingest:work",
        "features": "runtimes.data.features:work",
        "export": "runtimes.data.export:work",
        "maintain": "runtimes.data.maintain:work",
        "probe": "runtimes.data.probe:work",
    },
)
"""What does the work of each task in `runtimes.specs.data.TASKS`."""


class DataRuntime(Runtime):
    """Serves one attempt; it changes the lake, so an unreadable latch halts it."""

    kind: ClassVar[str] = "data"
    mutates: ClassVar[bool] = True

    def work(self, context: RunContext) -> Outcome:
        """Do the job of the locked spec's task."""
        version = specs.get(context.workshop.pool, context.run.spec_sha256, kind="data")
        task = version.body["task"]
        return JOBS.load(task)(context, TASKS.load(task).model_validate(version.body))
