"""Stacks at the bench: a workshop that drives a fake or real binary, planned and approved."""

from __future__ import annotations

import dataclasses
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ledger import plans, runs
from ledger.halts import Halts
from ledger.progress.events import history
from runtimes import dispatch
from runtimes.base import perform
from runtimes.context import Workshop
from runtimes.specs.terraform import StackSpec
from runtimes.terraform.runtime import TerraformRuntime
from topology.clock import SystemClock
from topology.frames import Frame
from topology.ids import new_id
from topology.principal import Principal
from topology.sections import Credential
from topology.stacks import Terraform

ACR_MFA = "urn:alphaswarm:acr:mfa"
SECRET = "planted-secret-value-7f3a"
TREE = 'resource "toy_thing" "a" { input = 1 }\nresource "toy_thing" "b" { input = 2 }\n'


@dataclass(frozen=True)
class Stacks:
    """Submits, performs and approves runs of one stack in this very thread."""

    workshop: Workshop
    name: str
    program: Path = field(default_factory=Path)

    def spec(self, tree: str = TREE, **more: Any) -> StackSpec:
        """Return a spec of this stack whose ``main.tf`` is ``tree``."""
        body = {"kind": "terraform", "name": self.name, "files": {"main.tf": tree}, **more}
        return StackSpec.model_validate(body)

    def submit(self, tree: str = TREE, **more: Any) -> runs.Run:
        """Queue a run."""
        handle = dispatch.submit(
            self.workshop.pool,
            self.spec(tree, **more),
            principal=Principal(subject="tester", client_id="tests"),
            queue="interactive",
            clock=SystemClock(),
        )
        return runs.get(self.workshop.pool, handle.run_id)

    def perform(self, run: runs.Run) -> runs.Run:
        """Let a worker take the run as far as it may go now; return its row afterwards."""
        perform(self.workshop, "terraform", run.run_id, TerraformRuntime)
        return runs.get(self.workshop.pool, run.run_id)

    def plan(self, tree: str = TREE, **more: Any) -> runs.Run:
        """Submit and plan."""
        return self.perform(self.submit(tree, **more))

    def approve(
        self, run: runs.Run, *, allow_destroy: bool = False, jti: str | None = None
    ) -> plans.Row:
        """Approve a plan by its hash, as a person who has just stepped up."""
        now = SystemClock().now()
        who = Principal(
            subject="tester",
            client_id="tests",
            jti=jti or new_id(now),
            acr=ACR_MFA,
            auth_time=int(now.timestamp()),
        )
        row = plans.get(self.workshop.pool, run.run_id)
        return plans.approve(
            self.workshop.pool,
            run.run_id,
            plan_sha256=row.plan_sha256,
            name=self.name,
            by=who,
            allow_destroy=allow_destroy,
        )

    def apply(self, run: runs.Run, **more: Any) -> runs.Run:
        """Approve and perform."""
        self.approve(run, **more)
        return self.perform(run)

    def made(self, tree: str = TREE, **more: Any) -> runs.Run:
        """Plan and apply."""
        return self.apply(self.plan(tree, **more))

    def going(self) -> Stacks:
        """Return the same bench in a worker of its own, which a test may tell to stop."""
        workshop = dataclasses.replace(self.workshop, stopping=threading.Event(), worker="going")
        return dataclasses.replace(self, workshop=workshop)

    def halted(self, run: runs.Run, busy: Path) -> runs.Run:
        """Perform a run, and press a halt of it once the file ``busy`` is there."""
        working = threading.Thread(target=self.perform, args=(run,))
        working.start()
        while not busy.exists():
            working.join(0.02)
            assert working.is_alive()
        switch = Halts(self.workshop.pool, self.workshop.home, self.workshop.bus)
        scope, acr = f"run:{run.run_id}", "urn:alphaswarm:acr:os"
        epoch = switch.press(scope, actor="tester", acr=acr, auth_time=1, reason="a test")
        working.join(60)
        switch.lift(scope, epoch=epoch, actor="tester", acr=acr, auth_time=1, reason="over")
        return runs.get(self.workshop.pool, run.run_id)

    def frames(self, run: runs.Run) -> list[Frame]:
        """Return what the ledger has of the run's task."""
        return history(self.workshop.pool, run.task_id, after=0)

    @property
    def folder(self) -> Path:
        """Where the stack lies."""
        return self.workshop.home.stacks / self.name


def stacks_of(workshop: Workshop, name: str, program: Path, secret: Path | None = None) -> Stacks:
    """Return a bench for a stack of its own, driven by ``program``.

    ``secret`` becomes the file behind the credential ``planted``.
    """
    more: dict[str, Any] = {}
    credentials = {}
    if secret is not None:
        secret.write_text(SECRET)
        secret.chmod(0o600)
        more["credentials"] = ("planted",)
        credentials["planted"] = Credential.model_validate({"from": f"file:{secret}"})
    update: dict[str, Any] = {
        "terraform": Terraform(binary=str(program), **more),
        "credentials": credentials,
    }
    limits = workshop.topology.limits
    halt = limits.halt.model_copy(update={"grace_s": 0.3, "kill_s": 0.9})
    update["limits"] = limits.model_copy(update={"halt": halt})
    topology = workshop.topology.model_copy(update=update)
    return Stacks(dataclasses.replace(workshop, topology=topology), name, program)
