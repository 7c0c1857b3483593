"""Changes of the world as tools of ``control``: planned, approved by hash, made by a worker.

Both kinds go the same way: `plan_change` submits a run that plans and then waits, `apply_change`
approves its plan and lets the same run go on.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from auth.policy import Rule
from ledger import plans
from runtimes import changes, dispatch
from runtimes.specs.base import Spec, parse
from tools import runs as seen
from tools.audited import audited
from tools.registry import Office, tool
from topology.canonical import sha256
from topology.clock import rfc3339
from topology.errors import InvalidSpecError, RefusedError
from topology.principal import Principal

APPLY = Rule(scopes=("control:apply",), step_up="mfa")
DESTROY = Rule(scopes=("control:apply",), step_up="bound")
KINDS = ("workload", "terraform")
QUEUE = "interactive"

Approving = Annotated[
    bool, Field(description="true lets it destroy or replace what the plan names")
]
Checking = Annotated[bool, Field(description="Check the spec only; nothing is written")]


class Frozen(BaseModel):
    """A result that does not change."""

    model_config = ConfigDict(frozen=True)


class Approved(Frozen):
    """An approval of a plan; ``missing`` more are needed before the run goes on."""

    run_id: str
    status: str
    plan_sha256: str
    destroys: list[str]
    missing: int
    expires_at: str
    result_uri: str


def _stricter(arguments: Mapping[str, Any]) -> Rule | None:
    """Whatever is not plainly false may destroy."""
    return DESTROY if arguments.get("allow_destroy") not in (None, False) else None


def _destroys(arguments: Mapping[str, Any]) -> str | None:
    """Making asks nobody again; destroying does."""
    return str(arguments["plan_sha256"]) if arguments["allow_destroy"] else None


@tool(
    server="control",
    auth=APPLY,
    title="Plan a change",
    read_only=False,
    open_world=True,
)
def plan_change(
    spec: Annotated[
        dict[str, Any] | str, Field(description="A workload or terraform spec, as data or YAML")
    ],
    dry_run: Checking = False,  # noqa: FBT002  arguments of a tool have names
    dispatch_key: seen.DispatchKey = None,
    *,
    office: Office,
    caller: Principal,
) -> seen.Submitted:
    """Find out what a spec would change; changes nothing. Needs a second factor.

    The run ends if nothing would change; else it waits, and `get_run` shows statistics.plan: its
    changes, what it destroys, and the sha256 that `apply_change` wants within 15 minutes.
    """
    checked = _parsed(office, spec)
    body = checked.body()
    if dry_run:
        return seen.Submitted(dry_run=True, spec_hash=sha256(body), spec=body)
    target = f"spec:{checked.kind}/{checked.name}"
    with audited(office, caller, action="plan_change", target=target, args=body):
        handle = dispatch.submit(
            office.pool,
            checked,
            principal=caller,
            queue=QUEUE,
            clock=office.clock,
            dispatch_key=dispatch_key,
        )
    return seen.Submitted(dry_run=False, **handle.body())


@tool(
    server="control",
    auth=APPLY,
    title="Apply a change",
    read_only=False,
    destructive=True,
    idempotent=False,
    open_world=True,
    confirm=_destroys,
    stricter=_stricter,
)
def apply_change(
    run_id: seen.RunId,
    plan_sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$", description="Of the plan seen")],
    allow_destroy: Approving = False,  # noqa: FBT002  arguments of a tool have names
    confirm: Annotated[str | None, Field(description="plan_sha256 again, to destroy")] = None,
    *,
    office: Office,
    caller: Principal,
) -> Approved:
    """Approve exactly the plan that was shown; its run goes on and makes the change.

    Needs a second factor, and one for just this call where anything is destroyed or replaced.
    A plan is approved within 15 minutes or made anew.
    """
    del confirm
    run = seen.read(office, run_id, kind=None)
    plan = changes.Plan.read(plans.get(office.pool, run_id).plan)
    _allowed(plan, plan_sha256, allow_destroy=allow_destroy)
    args = {"plan_sha256": plan_sha256, "allow_destroy": allow_destroy}
    with audited(office, caller, action="approve_change", target=f"run:{run_id}", args=args):
        row = plans.approve(
            office.pool,
            run_id,
            plan_sha256=plan_sha256,
            name=run.name,
            by=caller,
            allow_destroy=allow_destroy,
        )
    return Approved(
        run_id=run_id,
        status=seen.read(office, run_id, kind=None).status,
        plan_sha256=row.plan_sha256,
        destroys=list(plan.destroys),
        missing=max(0, row.approvals - len(row.given)),
        expires_at=rfc3339(row.expires_at),
        result_uri=f"run://{run_id}",
    )


def _parsed(office: Office, spec: dict[str, Any] | str) -> Spec:
    limits = office.topology.limits.spec
    checked = parse(None, spec, limit=limits.bytes, depth=limits.depth)
    if checked.kind not in KINDS:
        raise InvalidSpecError(
            f"A spec of kind {checked.kind!r} changes nothing outside.",
            hint=f"Send it to the server of its kind; this takes {' and '.join(KINDS)}.",
            errors=[{"path": "kind", "value": checked.kind, "problem": "Not for this tool."}],
        )
    return checked


def _allowed(plan: changes.Plan, plan_sha256: str, *, allow_destroy: bool) -> None:
    if plan.destroys and plan.sha256 == plan_sha256 and not allow_destroy:
        raise RefusedError(
            f"The plan destroys or replaces {len(plan.destroys)} things.",
            hint="Look at them, then call again with allow_destroy=true.",
            code="confirmation_required",
            plan_sha256=plan_sha256,
            destroys=list(plan.destroys)[:50],
        )
