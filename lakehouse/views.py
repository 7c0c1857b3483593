"""The tables of an agent's query as views: which files, at which snapshot, and that they stay so.

Beside each table of bars that can be corrected stands ``<table>_latest``: its bars with the latest
correction of each laid over the first value. It is no table of the catalog, only a view.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pyiceberg.table import Table

from lakehouse import catalog, scan
from lakehouse.asof import AsOf, rows_at, snapshot_at
from lakehouse.lake import Lake
from lakehouse.layers import TableName
from lakehouse.novelty import REVISIONS, overlay
from lakehouse.source import values_of
from topology.errors import FaultError

LATEST = "_latest"


@dataclass(slots=True)
class Views:
    """What one query may read: views by schema and name, their files below ``root``, snapshots."""

    root: str
    views: list[list[str]] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    snapshot_ids: dict[str, str] = field(default_factory=dict)

    def paths(self) -> list[str]:
        """Return the files as this process finds them."""
        return [os.path.join(self.root, file) for file in self.files]


def planned(lake: Lake, names: list[str], as_of: AsOf) -> Views:
    """Return the views of these tables as of a time or snapshot.

    ``table_not_found`` names the nearest; ``snapshot_expired`` the oldest kept.
    """
    made = Views(lake.warehouse.removeprefix("file://"))
    bases = {name: _base(lake, name) for name in names}
    loaded = {base: catalog.load(lake, base) for base in bases.values()}
    for name, base in bases.items():
        if base != name and (later := catalog.find(lake, base + REVISIONS)) is not None:
            loaded[base + REVISIONS] = later
    wanted = set(bases.values()) | set(names)
    pins = {name: snapshot_at(loaded, name, as_of, required=name in wanted) for name in loaded}
    selects = {
        name: _select(made, loaded[name], name, pin, as_of) for name, pin in pins.items() if pin
    }
    for name, base in bases.items():
        text, later_text = selects[base], selects.get(base + REVISIONS)
        if base != name and later_text is not None:
            text = overlay(f"({text})", f"({later_text})", values_of(loaded[base]))
        made.views.append([*name.split("."), text])
    return made


def _base(lake: Lake, name: str) -> str:
    """Return the table that ``<table>_latest`` corrects, ``name`` itself where it is none."""
    base = name.removesuffix(LATEST)
    if base == name:
        return name
    table = catalog.find(lake, base) if TableName.is_one(base) else None
    return base if table is not None and values_of(table) else name


def _select(made: Views, table: Table, name: str, pin: str, as_of: AsOf) -> str:
    """Return the SELECT of one table's rows as of a time, noting its files and snapshot."""
    plan = scan.plan(table, snapshot_id=pin)
    if plan.odd is not None:
        raise FaultError(
            f"{name!r} has deleted rows or changed columns, which SQL does not read yet.",
            hint="Read it with get_bars, or query another table.",
            table=name,
        )
    made.snapshot_ids[name] = pin
    inside = plan.below(made.root)
    made.files += inside.files
    text = inside.sql() if inside.files else _nothing(table.schema().fields)
    return rows_at(plan.schema, as_of).replace("%s", f"({text})")


def _nothing(fields: Any) -> str:
    columns = (f"NULL::{field.field_type} AS {scan.identifier(field.name)}" for field in fields)
    return f"SELECT {', '.join(columns)} WHERE false"


def stamps(files: list[str]) -> dict[str, tuple[int, int]]:
    """Return the size and the time of the last change of data files, which are read-only.

    A child without capabilities cannot write a file of mode 0444, not even as uid 0; files are
    written so, and those of another hand become so here.
    """
    try:
        for file in files:
            if os.stat(file).st_mode & 0o222:
                os.chmod(file, 0o444)
        return {file: _stamp(file) for file in files}
    except OSError as error:
        raise catalog.unreachable("warehouse") from error


def changed(before: Mapping[str, tuple[int, int]]) -> list[str]:
    """Return the files that are not what they were."""
    return [file for file, stamp in before.items() if _changed(file, stamp)]


def _stamp(file: str) -> tuple[int, int]:
    facts = os.stat(file)
    return facts.st_size, facts.st_mtime_ns


def _changed(file: str, stamp: tuple[int, int]) -> bool:
    try:
        return _stamp(file) != stamp
    except FileNotFoundError:  # maintenance removes files; no query can
        return False
