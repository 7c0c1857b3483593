"""Reading the lake: at the newest snapshot, at a pinned one, or as of a time."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from lakehouse import catalog, days, identity, scan
from lakehouse.adjust import Adjust, adjusted, as_known, unadjusted
from lakehouse.asof import AsOf, snapshot_at, time_of
from lakehouse.errors import SnapshotExpiredError
from lakehouse.lake import Lake
from lakehouse.layers import TableName
from lakehouse.scan import ALL, Where
from lakehouse.schemas import ADJUSTMENTS
from lakehouse.source import Revisions, Source, open_source
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


def standing(lake: Lake, as_of: AsOf) -> dict[str, str]:
    """Return every table that can be read as of a time or snapshot, with its snapshot id then.

    Tables that did not exist, held nothing or keep no snapshot of then are left out; a snapshot
    id that no table knows raises ``snapshot_expired``.
    """
    time_of(as_of)  # refuses what is no time, in an empty lake too
    loaded = {name: catalog.load(lake, name) for name in catalog.names(lake)}
    pins: dict[str, str] = {}
    gone: SnapshotExpiredError | None = None
    for name in loaded:
        try:
            pin = snapshot_at(loaded, name, as_of, required=False)
        except SnapshotExpiredError as error:
            gone = error
        else:
            pins |= {name: pin} if pin is not None else {}
    if gone is not None and not pins:
        raise gone
    return pins


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
    """Return the rows of a table that ``where`` lets through, in the table's own order.

    Bars come as they were first written; `bars` lays corrections over them.
    """
    rows = open_source(lake, table, where=where, as_of=as_of, revisions="first")
    for name in columns or ():
        if name not in rows.schema.names:
            raise UnknownNameError(
                f"{table!r} has no column {name[:64]!r}.",
                hint=did_you_mean(name[:64], rows.schema.names),
                nearest=nearest(name[:64], rows.schema.names),
            )
    chosen = ", ".join(scan.identifier(name) for name in columns or rows.schema.names)
    order = ", ".join(scan.identifier(name) for name in rows.order)
    return rows.rows(
        f"SELECT {chosen} FROM source"  # noqa: S608
        f"{f' ORDER BY {order}' if order else ''}{f' LIMIT {limit:d}' if limit else ''}"
    )


def coverage(lake: Lake, table: str, *, as_of: AsOf = None) -> list[Coverage]:
    """Return what a table of bars holds, one row per symbol, sorted."""
    held = open_source(lake, table, as_of=as_of, revisions="first")
    _refuse_without_bars(held)
    rows = held.rows(
        'SELECT vt_symbol, min("timestamp") AS first, max("timestamp") AS last, count(*) AS rows '
        "FROM source GROUP BY vt_symbol ORDER BY vt_symbol"
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
    revisions: Revisions = "latest",
) -> pa.Table:
    """Return bars of trades or quotes that end on UTC days ``start`` to ``end``, both inclusive.

    A long table sorted by symbol and time. ``revisions`` says whether corrections known at
    ``as_of`` are laid over the first values; then prices and volume are adjusted
    (`lakehouse.adjust`). ``snapshot_ids`` pins tables; of tables that it does not name, revisions
    and adjustments count as absent. A former ticker finds the bars of the symbol that bore it in
    the period, under the name that it keeps. One that neither the table nor the symbol map ever
    heard of raises ``unknown_name``; one without bars in the period has no rows.
    """
    if start > end:
        raise BadInputError(
            f"The period starts on {start} but ends on {end}.",
            hint="Put the earlier day first.",
            start=str(start),
            end=str(end),
        )

    def found_of(symbols: Sequence[str]) -> pa.Table:
        where = Where(  # the ends of the calendar do not restrict: nothing lies beyond them
            symbols=symbols,
            start=None if start == dt.date.min else _midnight(start),
            end=None if end == dt.date.max else _midnight(end + dt.timedelta(days=1)),
        )
        rows = open_source(
            lake,
            table,
            where=where,
            snapshot_ids=snapshot_ids,
            as_of=as_of,
            revisions=revisions,
        )
        _refuse_without_bars(rows)
        return rows.rows("SELECT * FROM source ORDER BY vt_symbol, timestamp")

    found = found_of(symbols)
    missing = sorted(set(symbols) - set(found.column("vt_symbol").unique().to_pylist()))
    if missing:
        known = _known(lake, table, snapshot_ids, as_of)
        kept = identity.resolved(
            lake, table, missing, known, start, end, as_of=as_of, snapshot_ids=snapshot_ids
        )
        if former := [name for name in kept if name not in symbols]:
            symbols = sorted({*symbols, *former})
            found = found_of(symbols)
    if adjust == "none":
        return found
    held = _latest_factors(lake, table, symbols, snapshot_ids, as_of)
    lacking = ",".join(unadjusted(found, held))
    known = _as_known(held, as_of)
    laid = adjusted(found, known, adjust, daily=days.daily(table))
    return laid.replace_schema_metadata({UNADJUSTED: lacking})


def factors(
    lake: Lake,
    table: str,
    symbols: Sequence[str] | None = None,
    *,
    snapshot_ids: Mapping[str, str] | None = None,
    as_of: AsOf = None,
) -> pa.Table:
    """Return each symbol's latest set of factors for the bars of ``table``; none: no rows.

    As of a time they are those that were known then, without events that were still to come.
    """
    return _as_known(_latest_factors(lake, table, symbols, snapshot_ids, as_of), as_of)


def _latest_factors(
    lake: Lake,
    table: str,
    symbols: Sequence[str] | None,
    snapshot_ids: Mapping[str, str] | None,
    as_of: AsOf,
) -> pa.Table:
    """Return each symbol's latest set, as it was known then, with the events still to come."""
    name = f"{TableName.parse(table).namespace}.adjustments"
    existing = catalog.find(lake, name)
    pins = snapshot_ids
    if existing is None or (pins is not None and name not in pins):
        return ADJUSTMENTS.columns.empty_table()
    if pins is None:
        main = {table: catalog.load(lake, table), name: existing}
        pin = snapshot_at(main, name, as_of, required=False)
        if pin is None:
            return ADJUSTMENTS.columns.empty_table()
        pins = {name: pin}
    when = time_of(as_of)
    known = "true" if when is None else f"known_at <= TIMESTAMPTZ '{when.isoformat()}'"
    return open_source(lake, name, where=Where(symbols=symbols), snapshot_ids=pins).rows(
        f"SELECT * FROM source WHERE {known} "  # noqa: S608
        "QUALIFY known_at = max(known_at) OVER (PARTITION BY vt_symbol)"
    )


def _as_known(latest: pa.Table, as_of: AsOf) -> pa.Table:
    when = time_of(as_of)
    return latest if when is None else as_known(latest, when.astimezone(dt.UTC).date())


def _known(
    lake: Lake, table: str, snapshot_ids: Mapping[str, str] | None, as_of: AsOf
) -> list[str]:
    held = open_source(lake, table, snapshot_ids=snapshot_ids, as_of=as_of, revisions="first")
    found: list[str] = held.rows("SELECT DISTINCT vt_symbol FROM source")["vt_symbol"].to_pylist()
    return found


def _refuse_without_bars(source: Source) -> None:
    names = set(source.schema.names)
    if not {"vt_symbol", "timestamp"} <= names or not {"close", "bid_close"} & names:
        raise BadInputError(
            f"{source.table!r} is not a table of bars.",
            hint=f"Read it with query_sql, or name a table such as {BARS}.",
            table=source.table,
        )


def _midnight(day: dt.date) -> dt.datetime:
    return dt.datetime.combine(day, dt.time(), dt.UTC)
