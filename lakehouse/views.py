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
from lakehouse.asof import AsOf, snapshot_at
from lakehouse.lake import Lake
from lakehouse.novelty import REVISIONS, overlay
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
    loaded: dict[str, Table] = {}
    for name in names:
        base = name.removesuffix(LATEST)
        later = catalog.find(lake, base + REVISIONS) if base != name else None
        if later is not None:
            loaded[base + REVISIONS] = later
        loaded[base if later else name] = catalog.load(lake, base if later else name)
    selects = {name: _select(made, loaded, name, as_of) for name in loaded}
    for name in names:
        base = name.removesuffix(LATEST)
        text = selects.get(name) or _overlaid(selects[base], selects[base + REVISIONS])
        made.views.append([*name.split("."), text])
    return made


def _overlaid(first: str, later: str) -> str:
    return overlay(f"({first})", f"({later})")


def _select(made: Views, loaded: Mapping[str, Table], name: str, as_of: AsOf) -> str:
    """Return the SELECT of one table, noting its files and snapshot."""
    table = loaded[name]
    snapshot_id = snapshot_at(loaded, name, as_of)
    plan = scan.plan(table, snapshot_id=snapshot_id)
    if plan.odd is not None:
        raise FaultError(
            f"{name!r} has deleted rows or changed columns, which SQL does not read yet.",
            hint="Read it with get_bars, or query another table.",
            table=name,
        )
    made.snapshot_ids[name] = snapshot_id
    if not plan.files:
        return _nothing(table.schema().fields)
    inside = plan.below(made.root)
    made.files += inside.files
    return inside.sql()


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
