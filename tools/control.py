"""The tools of the server ``control``: halts, specs, the audit ledger, runs of every kind."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from auth.policy import Rule
from ledger import specs
from tools import control_audit  # noqa: F401  offers its tools
from tools import runs as seen
from tools.diff import Change, differences
from tools.registry import Office, resource, tool
from topology.clock import rfc3339
from topology.errors import BadInputError, LatchUnreadableError
from topology.latch import Latch, parse_scope
from topology.principal import Principal

READ = Rule(scopes=("control:read",), actor="any")
RESUME = Rule(scopes=("control:resume",), step_up="bound")

Kind = Annotated[str | None, Field(description="backtest, data, ...; null for every kind")]
Scope = Annotated[str, Field(description="all, kind:K, spec:KIND/NAME or run:ID")]
Reason = Annotated[str, Field(min_length=3, max_length=500)]


class Frozen(BaseModel):
    """A result that does not change."""

    model_config = ConfigDict(frozen=True)


class PressedScope(Frozen):
    """One scope that is halted now."""

    scope: str
    epoch: int
    actor: str
    reason: str
    at: str


class HaltView(Frozen):
    """The kill switch: ``halted`` is true while any scope is pressed or the latch is unreadable."""

    halted: bool
    epoch: int
    latch: str
    scopes: list[PressedScope]


class SpecRow(Frozen):
    """The newest version of one spec name."""

    kind: str
    name: str
    version: int
    spec_hash: str
    created_at: str
    created_by: str


class SpecPage(Frozen):
    """Specs by kind and name; `next` goes into `after`, null on the last page."""

    specs: list[SpecRow]
    next: str | None


class SpecView(SpecRow):
    """One immutable spec version; ``changes`` lead from ``diff_with`` to it."""

    body: dict[str, Any]
    changes: list[Change] | None


@tool(server="control", auth=READ, title="Kill switch status", read_only=True)
def halt_status(*, office: Office, caller: Principal) -> HaltView:
    """Tell whether anything is halted, which scopes, by whom and why."""
    del caller
    return _halts(office)


@tool(
    server="control",
    auth=RESUME,
    title="Lift a halt",
    read_only=False,
    destructive=True,
    idempotent=True,
)
def resume(
    scope: Scope,
    reason: Reason,
    epoch: Annotated[int | None, Field(ge=1, description="Of the halt; null = the newest")] = None,
    *,
    office: Office,
    caller: Principal,
) -> HaltView:
    """Lift the halt of one scope. Needs a person's password sign-in at most 300 s old.

    Give the epoch that you looked at, and a newer halt stays. What was halted stays ended; submit
    it again to continue.
    """
    pressed = {halt.scope: halt.epoch for halt in office.halts.status().scopes}
    office.halts.lift(
        parse_scope(scope),
        epoch=pressed.get(scope, 0) if epoch is None else epoch,
        actor=caller.subject,
        acr=caller.acr,
        auth_time=caller.auth_time,
        reason=reason,
        facts=caller.facts(),
    )
    return _halts(office)


@tool(server="control", auth=READ, title="List specs", read_only=True)
def list_specs(
    kind: Kind = None,
    after: seen.After = None,
    limit: seen.Limit = 50,
    *,
    office: Office,
    caller: Principal,
) -> SpecPage:
    """List the newest version of every locked spec, by kind and name."""
    del caller
    found = specs.listing(office.pool, kind=kind, after=after, limit=limit + 1)
    last = found[limit - 1] if len(found) > limit else None
    return SpecPage(
        specs=[SpecRow(**_spec(version)) for version in found[:limit]],
        next=None if last is None else f"{last.kind}/{last.name}",
    )


@tool(server="control", auth=READ, title="Get a spec", read_only=True)
def get_spec(
    spec: Annotated[str, Field(description="spec_hash, or KIND/NAME")],
    version: Annotated[int | None, Field(ge=1, description="With KIND/NAME; null = newest")] = None,
    diff_with: Annotated[str | None, Field(description="Another spec_hash or KIND/NAME")] = None,
    *,
    office: Office,
    caller: Principal,
) -> SpecView:
    """Return one locked spec as it was hashed, and what changed against another one."""
    del caller
    found = _find(office, spec, version)
    changes = None
    if diff_with is not None:
        changes = differences(_find(office, diff_with, None).body, found.body)
    return SpecView(**_spec(found), body=found.body, changes=changes)


get_run = seen.offer_get(server="control", kind=None, auth=READ, what="run of any kind")


@tool(server="control", auth=READ, title="List runs", read_only=True)
def list_runs(
    kind: Kind = None,
    status: seen.Status | None = None,
    name: str | None = None,
    after: seen.After = None,
    limit: seen.Limit = 50,
    *,
    office: Office,
    caller: Principal,
) -> seen.RunPage:
    """List runs of every kind, newest first."""
    del caller
    return seen.page(office, kind=kind, status=status, name=name, after=after, limit=limit)


@resource(server="control", uri="run://{run_id}", auth=READ, title="A run")
def run(run_id: str, *, office: Office, caller: Principal) -> seen.RunView:
    """Return everything the ledger records of a run of any kind."""
    del caller
    return seen.view(seen.read(office, run_id, kind=None))


def _halts(office: Office) -> HaltView:
    status = office.halts.status()
    try:
        with Latch.open(office.home.latch):
            latch = "readable"
    except LatchUnreadableError:
        latch = "unreadable"
    return HaltView(
        halted=status.halted or latch == "unreadable",
        epoch=status.epoch,
        latch=latch,
        scopes=[
            PressedScope(
                scope=halt.scope,
                epoch=halt.epoch,
                actor=halt.actor,
                reason=halt.reason,
                at=rfc3339(halt.at),
            )
            for halt in status.scopes
        ],
    )


def _find(office: Office, spec: str, version: int | None) -> specs.SpecVersion:
    kind, slash, name = spec.partition("/")
    if slash:
        return specs.find(office.pool, kind, name, version)
    if len(spec) != 64 or not set(spec) <= set("0123456789abcdef"):
        raise BadInputError(
            f"{spec[:80]!r} is neither a spec hash nor KIND/NAME.",
            hint="Pass 64 lower-case hex digits, or for example backtest/momentum-top3.",
            errors=[{"path": "spec", "value": spec[:80], "problem": "No hash, no name."}],
        )
    return specs.get(office.pool, spec)


def _spec(version: specs.SpecVersion) -> dict[str, Any]:
    return {
        "kind": version.kind,
        "name": version.name,
        "version": version.version,
        "spec_hash": version.sha256,
        "created_at": rfc3339(version.created_at),
        "created_by": version.created_by,
    }
