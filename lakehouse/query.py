"""Reading the lake: at the newest snapshot, at a pinned one, or as of a time."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
from pyiceberg.table import Table

from lakehouse import catalog, scan
from lakehouse.adjust import Adjust, adjusted, unadjusted
from lakehouse.asof import AsOf, snapshot_at
from lakehouse.lake import Lake
from lakehouse.layers import TableName
from lakehouse.novelty import REVISIONS, overlay
from lakehouse.scan import ALL, Plan, Where
from topology.errors import BadInputError, UnknownNameError, did_you_mean, nearest

BARS = "alphaswarm_silver_market.bars_1d"
UNADJUSTED = b"alphaswarm.unadjusted"
"""Schema metadata of `bars`: comma-separated symbols that have no adjustments at all."""


@dataclass(frozen=True, slots=True)
class Coverage:
    """What a table holds of one symbol: ends of its first and last bar (UTC), and how many."""

    vt_symbol: str
    first: dt.datetime
    last: dt.datetime
    rows: int


def tables(lake: Lake) -> list[str]:
    """Return the name of every table, sorted."""
    return catalog.names(lake)


def current_snapshot(lake: Lake, table: str) -> str | None:
    """Return the newest snapshot's id, or None for a table without one."""
    snapshot = catalog.load(lake, table).current_snapshot()
    return None if snapshot is None else str(snapshot.snapshot_id)


def resolve(
    lake: Lake, tables: Iterable[str], as_of: AsOf = None, *, optional: Iterable[str] = ()
) -> dict[str, str]:
    """Return the snapshot id of each table as of a time, a snapshot of one of them, or now.

    ``table_not_found`` and ``snapshot_expired`` name what there is instead; an ``optional`` table
    that does not exist, or held nothing then, is left out.
    """
    loaded = {name: catalog.load(lake, name) for name in tables}
    beside = {name: found for name in optional if (found := catalog.find(lake, name))}
    known = {**loaded, **beside}
    pins = {name: snapshot_at(known, name, as_of, required=name in loaded) for name in known}
    return {name: pin for name, pin in pins.items() if pin is not None}


def read(
    lake: Lake,
    table: str,
    *,
    where: Where = ALL,
    columns: Sequence[str] | None = None,
    as_of: AsOf = None,
    limit: int | None = None,
) -> pa.Table:
    """Return the rows of a table that ``where`` lets through, in the table's own order."""
    loaded = catalog.load(lake, table)
    known = [field.name for field in loaded.schema().fields]
    for name in columns or ():
        if name not in known:
            raise UnknownNameError(
                f"{table!r} has no column {name[:64]!r}.",
                hint=did_you_mean(name[:64], known),
                nearest=nearest(name[:64], known),
            )
    condition, parameters = where.condition()
    chosen = ", ".join(scan.identifier(name) for name in columns or known)
    order = ", ".join(scan.identifier(name) for name in _order(loaded))
    sql = (
        f"SELECT {chosen} FROM held WHERE {condition}"  # noqa: S608
        f"{f' ORDER BY {order}' if order else ''}{f' LIMIT {limit:d}' if limit else ''}"
    )
    plan = scan.plan(loaded, snapshot_id=_pinned({table: loaded}, table, as_of), where=where)
    return scan.select(sql, {"held": plan}, parameters)


def coverage(lake: Lake, table: str, *, as_of: AsOf = None) -> list[Coverage]:
    """Return what a table of bars holds, one row per symbol, sorted."""
    loaded = catalog.load(lake, table)
    _refuse_without_bars(loaded, table)
    rows = scan.select(
        'SELECT vt_symbol, min("timestamp") AS first, max("timestamp") AS last, count(*) AS rows '
        "FROM held GROUP BY vt_symbol ORDER BY vt_symbol",
        {"held": scan.plan(loaded, snapshot_id=_pinned({table: loaded}, table, as_of))},
    )
    return [Coverage(**row) for row in rows.to_pylist()]


def bars(
    lake: Lake,
    symbols: Sequence[str],
    start: dt.date,
    end: dt.date,
    *,
    table: str = BARS,
    adjust: Adjust = "none",
    snapshot_ids: Mapping[str, str] | None = None,
    as_of: AsOf = None,
) -> pa.Table:
    """Return bars that end on UTC days ``start`` to ``end``, both inclusive, as a long table.

    Sorted by symbol and time; corrections known at the snapshots are laid over the first values,
    then prices and volume are adjusted (`lakehouse.adjust`). ``snapshot_ids`` pins tables; of
    tables that it does not name, revisions and adjustments count as absent. A symbol that the
    table never heard of raises ``unknown_name``; one without bars in the period has no rows.
    """
    if start > end:
        raise BadInputError(
            f"The period starts on {start} but ends on {end}.",
            hint="Put the earlier day first.",
            start=str(start),
            end=str(end),
        )
    where = Where(  # the ends of the calendar do not restrict: nothing lies beyond them
        symbols=symbols,
        start=None if start == dt.date.min else _midnight(start),
        end=None if end == dt.date.max else _midnight(end + dt.timedelta(days=1)),
    )
    parts = _parts(lake, table, adjust, snapshot_ids, as_of)
    found = _read_bars(parts, table, where)
    _refuse_unknown(found, symbols, table, parts)
    if adjust == "none":
        return found
    factors = _factors(parts, table, symbols)
    lacking = ",".join(unadjusted(found, factors))
    return adjusted(found, factors, adjust).replace_schema_metadata({UNADJUSTED: lacking})


@dataclass(frozen=True, slots=True)
class _Pin:
    """A table at a snapshot."""

    table: Table
    snapshot_id: str

    def plan(self, where: Where = ALL) -> Plan:
        return scan.plan(self.table, snapshot_id=self.snapshot_id, where=where)


def _parts(
    lake: Lake, table: str, adjust: Adjust, snapshot_ids: Mapping[str, str] | None, as_of: AsOf
) -> dict[str, _Pin]:
    """Return the bars and those of their companions that existed, each at its snapshot."""
    main = catalog.load(lake, table)
    _refuse_without_bars(main, table)
    wanted = [table + REVISIONS, *([_adjustments(table)] if adjust != "none" else [])]
    companions = {name: found for name in wanted if (found := catalog.find(lake, name))}
    loaded = {table: main, **companions}
    if snapshot_ids is not None:
        pinned = {name: snapshot_ids.get(name) for name in loaded}
        pinned[table] = pinned[table] or snapshot_at(loaded, table, as_of)
    else:
        pinned = {name: snapshot_at(loaded, name, as_of, required=name == table) for name in loaded}
    return {name: _Pin(loaded[name], pin) for name, pin in pinned.items() if pin}


def _read_bars(parts: Mapping[str, _Pin], table: str, where: Where) -> pa.Table:
    condition, parameters = where.condition()
    sources = {"held": parts[table].plan(where)}
    bars = f"SELECT * FROM held WHERE {condition}"  # noqa: S608
    if (later := parts.get(table + REVISIONS)) is not None:
        sources["later"] = later.plan(where)
        bars = overlay(f"({bars})", "later")
    return scan.select(f"{bars} ORDER BY vt_symbol, timestamp", sources, parameters)


def _factors(parts: Mapping[str, _Pin], table: str, symbols: Sequence[str]) -> pa.Table:
    """Return each symbol's latest set of factors."""
    where = Where(symbols=symbols)
    pin = parts.get(_adjustments(table))
    if pin is None:
        from lakehouse.schemas import ADJUSTMENTS

        return ADJUSTMENTS.columns.empty_table()
    condition, parameters = where.condition()
    return scan.select(
        f"SELECT * FROM held WHERE {condition} "  # noqa: S608
        "QUALIFY known_at = max(known_at) OVER (PARTITION BY vt_symbol)",
        {"held": pin.plan(where)},
        parameters,
    )


def _adjustments(table: str) -> str:
    return f"{TableName.parse(table).namespace}.adjustments"


def _refuse_without_bars(table: Table, name: str) -> None:
    known = {field.name for field in table.schema().fields}
    if not {"vt_symbol", "timestamp", "close"} <= known:
        raise BadInputError(
            f"{name!r} is not a table of bars.",
            hint=f"Read it with query_sql, or name a table such as {BARS}.",
            table=name,
        )


def _refuse_unknown(
    found: pa.Table, symbols: Sequence[str], table: str, parts: Mapping[str, _Pin]
) -> None:
    missing = sorted(set(symbols) - set(found.column("vt_symbol").unique().to_pylist()))
    if not missing:
        return
    sql = "SELECT DISTINCT vt_symbol FROM held"
    known = scan.select(sql, {"held": parts[table].plan()}).column("vt_symbol").to_pylist()
    for symbol in missing:
        if symbol not in known:
            raise UnknownNameError(
                f"{table} has no bars of {symbol[:64]!r}.",
                hint=did_you_mean(symbol[:64], known),
                value=symbol[:64],
                nearest=nearest(symbol[:64], known),
            )


def _pinned(loaded: Mapping[str, Table], table: str, as_of: AsOf) -> str | None:
    return None if as_of is None else snapshot_at(loaded, table, as_of)


def _order(table: Table) -> list[str]:
    names = (
        table.schema().find_column_name(field.source_id) for field in table.sort_order().fields
    )
    return [name for name in names if name]


def _midnight(day: dt.date) -> dt.datetime:
    return dt.datetime.combine(day, dt.time(), dt.UTC)
