"""A person who plans and approves workloads, and one worker that does what she approved."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from ledger import plans, runs
from ledger.audit import Entry
from ledger.pool import transaction
from runtimes.base import perform
from runtimes.context import Workshop
from runtimes.workload.base import Status
from runtimes.workload.process import ProcessProvider
from runtimes.workload.runtime import WorkloadRuntime
from runtimes.workload.warden import Warden
from tests.kit.office import ANNA
from tests.kit.work import frames_of
from tools import control_changes
from tools.registry import Office
from topology.processes import until

PATIENCE_S = 30.0
LONG = "print('here', flush=True); import time; time.sleep(600)"


@dataclass
class Crew:
    """Drives runs of kind workload in this thread; what it started ends with the test."""

    office: Office
    workshop: Workshop
    made: list[str] = field(default_factory=list)

    @property
    def provider(self) -> ProcessProvider:
        return ProcessProvider(self.office.topology, self.office.home)

    def plan(self, name: str, code: str = LONG, **more: Any) -> runs.Run:
        """Plan a Python program as a workload, and let a worker plan it."""
        body = {"kind": "workload", "name": name, "argv": [sys.executable, "-c", code], **more}
        body = {"resources": {"memory_mb": 4096}, "restart": {"policy": "never"}, **body}
        handle = control_changes.plan_change(body, office=self.office, caller=ANNA)
        assert handle.run_id is not None
        self.made.append(handle.run_id)
        return self.work(handle.run_id)

    def approve(self, run: runs.Run, *, allow_destroy: bool = False) -> control_changes.Approved:
        """Approve a plan as it was shown, by a token of its own."""
        assert run.statistics is not None
        person = replace(ANNA, jti=uuid.uuid4().hex)
        return control_changes.apply_change(
            run.run_id,
            run.statistics["plan"]["sha256"],
            allow_destroy,
            office=self.office,
            caller=person,
        )

    def work(self, run_id: str) -> runs.Run:
        """Let a worker take the run as far as it may go now."""
        perform(self.workshop, "workload", run_id, WorkloadRuntime)
        return self.run(run_id)

    def start(self, name: str, code: str = LONG, **more: Any) -> runs.Run:
        """Plan, approve and start."""
        planned = self.plan(name, code, **more)
        self.approve(planned)
        return self.work(planned.run_id)

    def run(self, run_id: str) -> runs.Run:
        return runs.get(self.office.pool, run_id, "workload")

    def status(self, run: runs.Run) -> Status:
        return self.provider.status(run.run_id)

    def looked_after(self, until_true: Callable[[], object]) -> None:
        """Have a warden look until something is true."""
        warden = Warden(self.workshop)

        def look() -> bool:
            warden.look()
            return bool(until_true())

        try:
            assert until(look, PATIENCE_S, poll_s=0.05)
        finally:
            warden.close()

    def ended(self, run: runs.Run) -> runs.Run:
        """Have a warden look until the run has ended."""
        self.looked_after(lambda: self.run(run.run_id).finished_at is not None)
        return self.run(run.run_id)

    def stages(self, run: runs.Run) -> list[str]:
        """Return the stages of a run; that a test's control process was late is no news."""
        frames = frames_of(self.office.pool, run.task_id)
        return [frame.stage for frame in frames if frame.stage != "warning"]

    def audit(self, run: runs.Run) -> list[tuple[str, str]]:
        """Return what the audit says of a run: action and decision, the first one first."""
        with transaction(self.office.pool) as connection:
            rows = connection.execute(
                "SELECT * FROM audit WHERE target = %s ORDER BY seq", (f"run:{run.run_id}",)
            ).fetchall()
        return [(entry.action, entry.decision) for entry in (Entry(**row) for row in rows)]

    def clean(self) -> None:
        """End whatever a test has started, and its runs."""
        for run_id in self.made:
            self.provider.kill(run_id)
            runs.cancel(self.office.pool, run_id, by="tests")
        if any(row["run_id"] in self.made for row in plans.at_work(self.office.pool, "workload")):
            self.looked_after(
                lambda: all(self.run(one).finished_at is not None for one in self.made)
            )
