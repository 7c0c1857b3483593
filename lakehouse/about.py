"""What a table is: columns, key, partitions, size, and how it came to be."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from pyiceberg.table import Table
from pyiceberg.table.snapshots import Snapshot

from lakehouse import catalog
from lakehouse.asof import AsOf, snapshot_at
from lakehouse.catalog import LAYER
from lakehouse.lake import Lake


@dataclass(frozen=True, slots=True)
class Column:
    """A column's name, Iceberg type, and whether each row has a value."""

    name: str
    type: str
    required: bool


@dataclass(frozen=True, slots=True)
class SnapshotInfo:
    """A commit: its time in UTC, the rows it added and left, and the run and spec behind it."""

    snapshot_id: str
    parent_id: str | None
    at: dt.datetime
    operation: str
    rows_added: int
    rows_total: int
    run_id: str | None
    spec_sha256: str | None


@dataclass(frozen=True, slots=True)
class Description:
    """A table at a snapshot; ``bytes`` is the size of its data files."""

    table: str
    layer: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    order: tuple[str, ...]
    partitions: tuple[str, ...]
    rows: int
    files: int
    bytes: int
    snapshot: SnapshotInfo | None


def describe(lake: Lake, table: str, *, as_of: AsOf = None) -> Description:
    """Return what ``table`` is, at its newest snapshot or the one of ``as_of``.

    ``table_not_found`` names the nearest ones, ``snapshot_expired`` the oldest snapshot kept.
    """
    loaded = catalog.load(lake, table)
    current = loaded.current_snapshot()
    if as_of is not None:
        current = loaded.snapshot_by_id(int(snapshot_at({table: loaded}, table, as_of)))
    schema = loaded.schema()
    if as_of is not None and current is not None and current.schema_id is not None:
        schema = loaded.schemas()[current.schema_id]
    return Description(
        table=table,
        layer=loaded.properties.get(LAYER, ""),
        columns=tuple(Column(f.name, str(f.field_type), f.required) for f in schema.fields),
        key=_named(loaded, schema.identifier_field_ids),
        order=_named(loaded, [field.source_id for field in loaded.sort_order().fields]),
        partitions=tuple(f"{f.name}: {f.transform}" for f in loaded.spec().fields),
        rows=_count(current, "total-records"),
        files=_count(current, "total-data-files"),
        bytes=_count(current, "total-files-size"),
        snapshot=None if current is None else _info(current),
    )


def snapshots(lake: Lake, table: str) -> list[SnapshotInfo]:
    """Return every kept snapshot, newest first."""
    return [_info(snapshot) for snapshot in reversed(catalog.load(lake, table).snapshots())]


def _named(table: Table, ids: list[int]) -> tuple[str, ...]:
    names = (table.schema().find_column_name(number) for number in ids)
    return tuple(name for name in names if name)


def _count(snapshot: Snapshot | None, name: str) -> int:
    if snapshot is None or snapshot.summary is None:
        return 0
    return int(snapshot.summary.additional_properties.get(name, 0))


def _info(snapshot: Snapshot) -> SnapshotInfo:
    parent = snapshot.parent_snapshot_id
    facts = snapshot.summary.additional_properties if snapshot.summary else {}
    return SnapshotInfo(
        snapshot_id=str(snapshot.snapshot_id),
        parent_id=None if parent is None else str(parent),
        at=dt.datetime.fromtimestamp(snapshot.timestamp_ms / 1000, dt.UTC),
        operation=snapshot.summary.operation.value if snapshot.summary else "",
        rows_added=_count(snapshot, "added-records"),
        rows_total=_count(snapshot, "total-records"),
        run_id=facts.get("alphaswarm.run_id"),
        spec_sha256=facts.get("alphaswarm.spec_sha256"),
    )
