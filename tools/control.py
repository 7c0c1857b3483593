"""The tools of the server ``control``: halts, changes, specs, the audit ledger, any run."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from auth.policy import Rule
from ledger import specs
from tools import (  # noqa: F401  offer their tools and resources
    control_audit,
    control_changes,
    control_halts,
    control_workloads,
)
from tools import runs as seen
from tools.diff import Change, differences
from tools.registry import Office, resource, tool
from topology.clock import rfc3339
from topology.errors import BadInputError
from topology.principal import Principal

READ = Rule(scopes=("control:read",), actor="any")
CANCEL = Rule(scopes=("control:halt",), step_up="mfa")

Kind = Annotated[str | None, Field(description="backtest, data, ...; null for every kind")]


class Frozen(BaseModel):
    """A result that does not change."""

    model_config = ConfigDict(frozen=True)


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
cancel_run = seen.offer_cancel(server="control", kind=None, auth=CANCEL, what="run of any kind")


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
