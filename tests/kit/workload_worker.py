"""A worker that takes a workload's run as far as it may go, and dies at one place of it."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any, Literal

from ledger import audit
from runtimes.base import perform
from runtimes.worker import open_workshop
from runtimes.workload.process import ProcessProvider
from runtimes.workload.runtime import WorkloadRuntime
from topology.home import Home
from topology.services import Topology

Place = Literal["before the effect", "after the effect", "before the outcome"]


def apply_and_die(topology: Topology, home: Home, run_id: str, place: Place) -> None:
    """Work the run; SIGKILL at ``place``."""
    workshop = open_workshop(topology, home)
    if place == "before the outcome":
        _dying(audit, "append", lambda row: row["decision"] == "done", before=True)
    else:
        before = place == "before the effect"
        _dying(ProcessProvider, "apply", lambda _: True, before=before)
    perform(workshop, "workload", run_id, WorkloadRuntime)


def _dying(owner: Any, name: str, at: Callable[[dict[str, Any]], bool], *, before: bool) -> None:
    method = getattr(owner, name)

    def dying(*arguments: Any, **keywords: Any) -> Any:
        if before and at(keywords):
            os.kill(os.getpid(), signal.SIGKILL)
        answer = method(*arguments, **keywords)
        if not before and at(keywords):
            os.kill(os.getpid(), signal.SIGKILL)
        return answer

    setattr(owner, name, dying)
