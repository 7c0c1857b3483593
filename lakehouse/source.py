"""The rows of a table as they were known: pinned, as of a time, corrections laid over."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import pyarrow as pa
from pyiceberg.table import Table
from pyiceberg.types import FloatType

from lakehouse import catalog, scan
from lakehouse.asof import AsOf, rows_at, snapshot_at
from lakehouse.lake import Lake
from lakehouse.novelty import REVISIONS, overlay
from lakehouse.scan import ALL, Plan, Where
from lakehouse.schemas import FEATURES, QUOTES, VALUES
from topology.errors import BadInputError

Revisions = Literal["latest", "first"]
"""``latest``: a bar as it is now known, corrected; ``first``: as it was first known."""


@dataclass(frozen=True, slots=True)
class Source:
    """A SELECT of the rows, unsorted, with what it reads; ``order`` is the table's own."""

    table: str
    schema: pa.Schema
    order: tuple[str, ...]
    sql: str
    sources: Mapping[str, Plan]
    parameters: Mapping[str, object]

    def rows(self, sql: str = "SELECT * FROM source") -> pa.Table:
        """Return what ``sql`` makes of the rows, which it knows as ``source``."""
        return scan.select(f"WITH source AS ({self.sql}) {sql}", self.sources, self.parameters)


def open_source(
    lake: Lake,
    table: str,
    *,
    where: Where = ALL,
    snapshot_ids: Mapping[str, str] | None = None,
    as_of: AsOf = None,
    revisions: Revisions = "latest",
) -> Source:
    """Return the rows of ``table`` that ``where`` lets through.

    ``snapshot_ids`` pins tables; revisions that it does not name count as absent. Without it
    tables are pinned by ``as_of``; a time hides rows that are dated after it in both cases.
    """
    main = catalog.load(lake, table)
    _refuse_lacking(main, table, where)
    loaded = {table: main}
    values = values_of(main)
    if values and revisions == "latest" and (later := catalog.find(lake, table + REVISIONS)):
        loaded[table + REVISIONS] = later
    pins = pinned(loaded, table, snapshot_ids, as_of)
    plans = {
        name: scan.plan(loaded[name], snapshot_id=_old(loaded[name], pin), where=where)
        for name, pin in pins
    }
    condition, parameters = where.condition()
    held = rows_at(plans[table].schema, as_of).replace("%s", "held")
    sql = f"SELECT * FROM ({held}) WHERE {condition}"  # noqa: S608
    sources = {"held": plans[table]}
    if (revised := plans.get(table + REVISIONS)) is not None:
        sources["later"] = revised
        corrections = rows_at(revised.schema, as_of).replace("%s", "later")
        sql = overlay(f"({sql})", f"({corrections})", values)
    return Source(table, plans[table].schema, order_of(main), sql, sources, parameters)


def pinned(
    loaded: Mapping[str, Table],
    table: str,
    snapshot_ids: Mapping[str, str] | None,
    as_of: AsOf,
) -> list[tuple[str, str]]:
    """Return each table of ``loaded`` that existed, with its snapshot; ``table`` must have."""
    found = []
    for name in loaded:
        if snapshot_ids is not None and (name != table or name in snapshot_ids):
            pin = snapshot_ids.get(name)
        else:
            pin = snapshot_at(loaded, name, as_of, required=name == table)
        if pin is not None:
            found.append((name, pin))
    return found


def _refuse_lacking(main: Table, table: str, where: Where) -> None:
    wanted = {"vt_symbol"} if where.symbols is not None else set()
    wanted |= {"timestamp"} if where.start or where.end else set()
    if lacking := sorted(wanted - {field.name for field in main.schema().fields}):
        raise BadInputError(
            f"{table!r} is not a table of bars: it has no column {lacking[0]!r}.",
            hint="Read it with query_sql, or name a table such as "
            "alphaswarm_silver_market.bars_1d.",
            table=table,
        )


def _old(table: Table, pin: str) -> str | None:
    """Return the snapshot where it is not the newest, which has the table's columns of today."""
    newest = table.current_snapshot()
    return None if newest is not None and str(newest.snapshot_id) == pin else pin


def values_of(table: Table) -> tuple[str, ...]:
    """Return what a correction may change in this table; nothing where it is none of bars."""
    names = {field.name for field in table.schema().fields}
    if not {"vt_symbol", "timestamp"} <= names or table.name()[-1].endswith(REVISIONS):
        return ()
    if table.name()[0] == FEATURES:
        return tuple(f.name for f in table.schema().fields if isinstance(f.field_type, FloatType))
    return next((v for v in (VALUES, QUOTES.values) if set(v) <= names), ())


def order_of(table: Table) -> tuple[str, ...]:
    """Return the columns by which the table's rows are sorted."""
    names = (
        table.schema().find_column_name(field.source_id) for field in table.sort_order().fields
    )
    return tuple(name for name in names if name)
