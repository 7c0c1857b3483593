"""Where a table's rows come from and what was made of them: bronze, silver, gold and runs.

Read from what snapshots say of themselves and from what runs say that they read and wrote; the
runs come as mappings, because the lake does not know the ledger.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from pyiceberg.table import Table
from pyiceberg.table.snapshots import Snapshot

from lakehouse import catalog
from lakehouse.lake import Lake
from lakehouse.layers import TableName

Kind = Literal["bronze", "silver", "gold", "run"]
MOST_SNAPSHOTS = 1_000
"""How far back the snapshots of a table are asked for their sources."""
BRONZE, TO, INPUTS, RUN = (
    "alphaswarm.bronze_table",
    "alphaswarm.to_snapshot",
    "alphaswarm.inputs",
    "alphaswarm.run_id",
)


@dataclass(frozen=True, slots=True)
class Node:
    """A table at a snapshot, or a run; ``key`` names it. What is not known is None.

    Of a table that a run wrote, ``rows`` are those that it added; of others all of the snapshot.
    ``state`` is a run's status, or ``expired`` for a snapshot that is not kept any more.
    """

    key: str
    kind: Kind
    name: str
    place: str
    snapshot_id: str | None = None
    rows: int | None = None
    at: dt.datetime | None = None
    run_id: str | None = None
    state: str | None = None


@dataclass(slots=True)
class Trace:
    """Nodes, and the pairs of keys (from, to) between which data flowed."""

    nodes: dict[str, Node] = field(default_factory=dict)
    edges: set[tuple[str, str]] = field(default_factory=set)


def trace(
    lake: Lake, *, tables: Sequence[str] = (), runs: Iterable[Mapping[str, Any]] = ()
) -> Trace:
    """Return where ``tables`` (as they are now) and what ``runs`` read come from, and the results.

    A run is a mapping of ``run_id, kind, name, status, created_at, snapshot_ids, result_tables``.
    Runs of kind ``data`` are not drawn: the tables that they wrote say which run it was.
    ``table_not_found`` names the nearest of an unknown table.
    """
    found = Trace()
    for table in tables:
        _table(lake, found, table, None)
    for run in runs:
        if run.get("kind") != "data":
            _run(lake, found, run)
    return found


def _table(lake: Lake, found: Trace, name: str, snapshot_id: str | None) -> str:
    """Add a table at a snapshot with all that it comes from; return its key."""
    table = catalog.load(lake, name)
    current = table.current_snapshot()
    wanted = snapshot_id or (str(current.snapshot_id) if current else None)
    key = f"{name}@{wanted}"
    if key in found.nodes:
        return key
    snapshot = table.snapshot_by_id(int(wanted)) if wanted else None
    found.nodes[key] = _node(key, name, wanted, snapshot)
    if snapshot is not None:
        for source, pin in _sources(table, snapshot).items():
            if catalog.find(lake, source) is not None:
                found.edges.add((_table(lake, found, source, pin), key))
    return key


def _node(key: str, name: str, wanted: str | None, snapshot: Snapshot | None) -> Node:
    parsed = TableName.parse(name)
    node = Node(key, parsed.layer, parsed.name, parsed.namespace, snapshot_id=wanted)
    if snapshot is None:
        return Node(*_words(node), state="expired" if wanted else "empty")
    facts = _facts(snapshot)
    return Node(
        *_words(node),
        rows=int(facts.get("total-records", 0)),
        at=dt.datetime.fromtimestamp(snapshot.timestamp_ms / 1000, dt.UTC),
        run_id=facts.get(RUN),
    )


def _words(node: Node) -> tuple[str, Kind, str, str, str | None]:
    return node.key, node.kind, node.name, node.place, node.snapshot_id


def _run(lake: Lake, found: Trace, run: Mapping[str, Any]) -> None:
    """Add a run, what it read at the snapshots it was pinned to, and what it wrote."""
    key = f"run {run['run_id']}"
    found.nodes[key] = Node(
        key,
        "run",
        str(run.get("name") or run.get("kind") or "run"),
        str(run.get("kind") or ""),
        at=run.get("created_at"),
        run_id=str(run["run_id"]),
        state=run.get("status"),
    )
    for name, pin in (run.get("snapshot_ids") or {}).items():
        if catalog.find(lake, name) is not None:
            found.edges.add((_table(lake, found, name, str(pin)), key))
    for name in dict.fromkeys((run.get("result_tables") or {}).values()):
        node = _result(lake, str(name), str(run["run_id"]))
        if node is not None:
            found.nodes[node.key] = node
            found.edges.add((key, node.key))


def _result(lake: Lake, name: str, run_id: str) -> Node | None:
    """Return what a run wrote to a table, or None where nothing of it is kept."""
    table = catalog.find(lake, name)
    if table is None:
        return None
    mine = [s for s in _newest_first(table, None) if _facts(s).get(RUN) == run_id]
    if not mine:
        return None
    parsed = TableName.parse(name)
    return Node(
        f"{name}@{mine[0].snapshot_id}",
        parsed.layer,
        parsed.name,
        parsed.namespace,
        snapshot_id=str(mine[0].snapshot_id),
        rows=sum(int(_facts(s).get("added-records", 0)) for s in mine),
        at=dt.datetime.fromtimestamp(mine[0].timestamp_ms / 1000, dt.UTC),
        run_id=run_id,
    )


def _sources(table: Table, snapshot: Snapshot) -> dict[str, str]:
    """Return the tables that a snapshot's rows come from, each at the last snapshot read of it."""
    sources: dict[str, str] = {}
    for each in _newest_first(table, snapshot):
        facts = _facts(each)
        if INPUTS in facts:
            for name, pin in json.loads(facts[INPUTS]).items():
                sources.setdefault(name, str(pin))
            break  # what features were computed from, whole
        if BRONZE in facts and TO in facts:
            several = zip(facts[BRONZE].split(","), facts[TO].split(","), strict=True)
            for name, pin in several:
                sources.setdefault(name, pin)
    return sources


def _newest_first(table: Table, start: Snapshot | None) -> Iterator[Snapshot]:
    """Yield a snapshot and those before it, as far as they are kept."""
    known = {snapshot.snapshot_id: snapshot for snapshot in table.snapshots()}
    snapshot = start or table.current_snapshot()
    for _ in range(MOST_SNAPSHOTS):
        if snapshot is None:
            return
        yield snapshot
        parent = snapshot.parent_snapshot_id
        snapshot = None if parent is None else known.get(parent)


def _facts(snapshot: Snapshot) -> Mapping[str, str]:
    return snapshot.summary.additional_properties if snapshot.summary else {}
