"""The runtime of kind ``workload``: planned, approved, started; then its run waits while it lives.

No worker holds a workload. Its run stays ``waiting``; `runtimes.workload.warden` looks after it and
ends the run when the workload ends, is halted or is cancelled.
"""

from __future__ import annotations

import time
from typing import Any, ClassVar

from pydantic import SecretStr

from ledger import endings, plans, specs, waiting
from ledger.waiting import Wait
from runtimes.base import Outcome
from runtimes.changes import Change, ChangeRuntime, OutcomeUnknownError, Plan
from runtimes.context import RunContext
from runtimes.specs.workload import WorkloadSpec
from runtimes.workload import PROVIDERS
from runtimes.workload.base import TAIL, Job, Provider, Status, WorkloadFailedError
from topology.credentials import CredentialRef
from topology.errors import BadInputError, FaultError, LeaseLostError, RefusedError
from topology.home import Home
from topology.services import Topology

LOOK_S = 0.05
STARTED_S = 30.0
"""How long a workload without a probe may take until it runs."""


class WorkloadRuntime(ChangeRuntime):
    """Serves one attempt; changes of one name are made one at a time, on all machines."""

    kind: ClassVar[str] = "workload"

    def work(self, context: RunContext) -> Outcome | Wait:
        """Take the run as far as it may go now, alone with its name."""
        with context.workshop.log.lock(f"workload/{context.run.name}"):
            return super().work(context)

    def plan(self, context: RunContext) -> Plan:
        """Look what lives under this name; the same spec in good health is no change."""
        spec, workshop = _spec(context), context.workshop
        provider = provider_of(spec, workshop.topology, workshop.home)
        secrets_of(spec, workshop.topology)
        facts: dict[str, Any] = {"provider": spec.provider, **provider.plan(spec), "replaces": None}
        address = f"{spec.provider}/{spec.name}"
        live = self._live(context)
        if live is None:
            return Plan((Change(address, "create", _told(spec)),), facts)
        same = live["spec_sha256"] == context.run.spec_sha256
        if same and provider.status(live["run_id"]).alive:
            return Plan((), {**facts, "runs_in": live["run_id"]})
        detail = f"Ends run {live['run_id']}. {_told(spec)}"
        return Plan((Change(address, "replace", detail),), {**facts, "replaces": live["run_id"]})

    def check(self, context: RunContext, plan: Plan) -> None:
        """Plan once more: program, image and what lives here must be what was approved."""
        now = self.plan(context)
        if now.sha256 != plan.sha256:
            raise BadInputError(
                "What the plan rests on has changed since it was approved.",
                hint="Plan again, look at what it would change, and approve that.",
                code="plan_stale",
                plan_sha256=plan.sha256,
                now=now.sha256,
            )

    def apply(self, context: RunContext, plan: Plan) -> Wait:
        """End what is replaced, start the workload, and wait until it is well."""
        spec, workshop = _spec(context), context.workshop
        provider = provider_of(spec, workshop.topology, workshop.home)
        if plan.facts["replaces"]:
            self._replace(context, str(plan.facts["replaces"]))
        context.hold()
        provider.apply(Job(context.run.run_id, spec, secrets_of(spec, workshop.topology)))
        address = plan.changes[0].address
        context.emit(
            "resource.changed", f"{address} was started.", address=address, action="create"
        )
        return self._lives(context, spec, provider)

    def recover(self, context: RunContext, plan: Plan) -> Wait:
        """Ask the provider whether the workload was started; only what it denies is started now."""
        spec, workshop = _spec(context), context.workshop
        try:
            provider = provider_of(spec, workshop.topology, workshop.home)
            found = provider.status(context.run.run_id)
        except FaultError as error:
            raise OutcomeUnknownError(
                "A worker died while it started the workload, and the provider does not answer.",
                hint="Look yourself whether it runs; the label is alphaswarm.run.",
                provider=spec.provider,
                run_id=context.run.run_id,
            ) from error
        if found.phase == "absent":
            return self.apply(context, plan)
        return self._lives(context, spec, provider)

    def _lives(self, context: RunContext, spec: WorkloadSpec, provider: Provider) -> Wait:
        """Wait until it runs and is well; end it where it does not come to that, or may not."""
        run_id = context.run.run_id
        try:
            status = _well(context, spec, provider)
        except LeaseLostError:
            raise  # whoever holds the run next finds it started
        except BaseException:
            provider.end(run_id, grace_s=spec.halt_grace_s)
            raise
        return Wait(
            "health",
            f"{spec.name} runs.",
            {"well": status.well, "restarts": status.restarts},
            {"workload": {"provider": spec.provider, "well": status.well, "restarts": 0}},
        )

    def _live(self, context: RunContext) -> dict[str, Any] | None:
        """Return the row of the run whose workload has this name now."""
        found = plans.at_work(context.workshop.pool, self.kind, context.run.name)
        return next((row for row in found if row["run_id"] != context.run.run_id), None)

    def _replace(self, context: RunContext, run_id: str) -> None:
        """End the workload of an earlier run, and then that run."""
        workshop = context.workshop
        row = next(
            (one for one in plans.at_work(workshop.pool, self.kind) if one["run_id"] == run_id),
            None,
        )
        if row is None:
            return
        old = spec_of(workshop.pool, row["spec_sha256"])
        provider = provider_of(old, workshop.topology, workshop.home)
        provider.end(run_id, grace_s=old.halt_grace_s)
        ending = endings.cancelled(run_id, f"run {context.run.run_id}, which replaces it")
        waiting.end(workshop.pool, self.kind, run_id, ending, bus=workshop.bus)
        address = f"{old.provider}/{old.name}"
        context.emit("resource.changed", f"{address} was ended.", address=address, action="destroy")


def provider_of(spec: WorkloadSpec, topology: Topology, home: Home) -> Provider:
    """Return the provider that a spec names."""
    found: Provider = PROVIDERS.load(spec.provider)(topology, home)
    return found


def spec_of(pool: Any, sha256: str) -> WorkloadSpec:
    """Return a locked spec."""
    return WorkloadSpec.model_validate(specs.get(pool, sha256, kind="workload").body)


def secrets_of(spec: WorkloadSpec, topology: Topology) -> dict[str, SecretStr]:
    """Return the secrets of a spec by variable; one that workloads may not have is refused."""
    for name in spec.credentials.values():
        if name not in topology.workload.credentials:
            raise RefusedError(
                f"Workloads may not use the credential {name[:64]!r}.",
                hint="An operator may list it in workload.credentials of the topology.",
                credential=name[:64],
            )
    return {
        variable: CredentialRef.parse(topology.credentials[name].source).resolve()
        for variable, name in spec.credentials.items()
    }


def failed(spec: WorkloadSpec, run_id: str, status: Status, provider: Provider) -> FaultError:
    """Return the error for a workload that ended without being asked."""
    how = f"ended with {status.exit_code}" if status.phase == "exited" else "is gone"
    return WorkloadFailedError(
        f"The workload {spec.name} {how} after {status.restarts} restarts.",
        hint=f"alphaswarm workload logs {run_id} shows what it said.",
        exit_code=status.exit_code,
        restarts=status.restarts,
        said=provider.logs(run_id, lines=TAIL),
    )


def _spec(context: RunContext) -> WorkloadSpec:
    return spec_of(context.workshop.pool, context.run.spec_sha256)


def _well(context: RunContext, spec: WorkloadSpec, provider: Provider) -> Status:
    """Return the first status that is good, checking in all the while."""
    run_id, begun = context.run.run_id, time.monotonic()
    within_s = spec.health.start_s if spec.health else STARTED_S
    while True:
        context.checkpoint()
        status = provider.status(run_id)
        if status.phase == "running" and (spec.health is None or status.well):
            return status
        over = time.monotonic() - begun > within_s
        if status.phase in ("exited", "lost") and not status.why:
            raise failed(spec, run_id, status, provider)
        if over and not status.why:
            raise WorkloadFailedError(
                f"The workload {spec.name} is not well after {within_s:g} s.",
                hint=f"alphaswarm workload logs {run_id} shows what it said.",
                said=provider.logs(run_id, lines=TAIL),
            )
        time.sleep(LOOK_S)


def _told(spec: WorkloadSpec) -> str:
    what = spec.image or " ".join(spec.argv or ())
    return f"Starts {what[:200]}."
