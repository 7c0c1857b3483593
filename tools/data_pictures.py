"""Pictures of the lake as resources: the coverage calendar, and where rows come from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from auth.policy import Rule
from ledger import runs
from tools import runs as seen
from tools.apps import coverage as calendar
from tools.apps import lineage as flow
from tools.registry import Office, resource
from topology.clock import rfc3339
from topology.principal import Principal

if TYPE_CHECKING:
    from lakehouse.lineage import Trace

READ = Rule(scopes=("data:read",), actor="any")
SVG = "image/svg+xml"
LOOKED_AT, SHOWN = 500, 8
"""Newest runs that are asked whether they read a table, and how many of them a picture shows."""


class NodeView(BaseModel):
    """A table at a snapshot, or a run."""

    model_config = ConfigDict(frozen=True)

    key: str
    kind: str
    name: str
    place: str
    snapshot_id: str | None
    rows: int | None
    at: str | None
    run_id: str | None
    state: str | None


class Lineage(BaseModel):
    """Tables at their snapshots and runs; ``edges`` go from what was read to what was made."""

    model_config = ConfigDict(frozen=True)

    nodes: list[NodeView]
    edges: list[tuple[str, str]]


@resource(
    server="data",
    uri="data://tables/{name}/coverage/picture{?as_of}",
    auth=READ,
    title="A table's coverage calendar",
    mime=SVG,
)
def coverage_picture(
    name: str, as_of: str | None = None, *, office: Office, caller: Principal
) -> str:
    """Return the coverage calendar of a table of bars: symbol by day, month or year, as SVG."""
    del caller
    from lakehouse import coverage

    found = coverage.grid(office.lake, name, as_of=as_of)
    return calendar.picture(
        calendar.Grid(
            found.table,
            found.unit,
            found.starts,
            found.symbols,
            found.covered.tolist(),
            found.expected.tolist(),
            found.left_out,
        )
    )


@resource(
    server="data", uri="data://tables/{name}/lineage", auth=READ, title="Where a table comes from"
)
def table_lineage(name: str, *, office: Office, caller: Principal) -> Lineage:
    """Return from which snapshots a table's rows come, and which runs read it."""
    del caller
    return _view(_of_table(office, name))


@resource(
    server="data",
    uri="data://tables/{name}/lineage/picture",
    auth=READ,
    title="A table's lineage as a picture",
    mime=SVG,
)
def table_lineage_picture(name: str, *, office: Office, caller: Principal) -> str:
    """Return a table's lineage as SVG: bronze, silver, gold features, runs, results."""
    del caller
    found = _of_table(office, name)
    return flow.picture(found.nodes, found.edges, subject=name)


@resource(
    server="data",
    uri="data://runs/{run_id}/lineage",
    auth=READ,
    title="Where a run's data comes from",
)
def run_lineage(run_id: str, *, office: Office, caller: Principal) -> Lineage:
    """Return what a run of any kind read, where that came from, and what the run made."""
    del caller
    return _view(_of_run(office, run_id)[1])


@resource(
    server="data",
    uri="data://runs/{run_id}/lineage/picture",
    auth=READ,
    title="A run's lineage as a picture",
    mime=SVG,
)
def run_lineage_picture(run_id: str, *, office: Office, caller: Principal) -> str:
    """Return a run's lineage as SVG."""
    del caller
    run, found = _of_run(office, run_id)
    return flow.picture(found.nodes, found.edges, subject=f"run {run.name}")


def _of_table(office: Office, table: str) -> Trace:
    from lakehouse import lineage

    newest = runs.listing(
        office.pool, kind=None, status=None, name=None, after=None, limit=LOOKED_AT
    )
    readers = [run for run in newest if run.kind != "data" and table in (run.snapshot_ids or {})]
    return lineage.trace(office.lake, tables=[table], runs=_facts(readers[:SHOWN]))


def _of_run(office: Office, run_id: str) -> tuple[runs.Run, Trace]:
    """Return a run and its lineage; of a run of this server it is that of what it wrote."""
    from lakehouse import lineage, query

    run = seen.read(office, run_id, kind=None)
    if run.kind != "data":
        return run, lineage.trace(office.lake, runs=_facts([run]))
    known = set(query.tables(office.lake))
    made = [name for name in (run.result_tables or {}).values() if name in known]
    return run, lineage.trace(office.lake, tables=list(dict.fromkeys(made)))


def _facts(found: Sequence[runs.Run]) -> list[dict[str, Any]]:
    names = ("run_id", "kind", "name", "status", "created_at", "snapshot_ids", "result_tables")
    return [{name: getattr(run, name) for name in names} for run in found]


def _view(found: Trace) -> Lineage:
    nodes = [
        NodeView(**{**asdict(node), "at": None if node.at is None else rfc3339(node.at)})
        for node in found.nodes.values()
    ]
    return Lineage(nodes=nodes, edges=sorted(found.edges))
