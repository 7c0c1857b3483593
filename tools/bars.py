"""Bars for a conversation: some symbols between two days, cut to what fits."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from tools.registry import Office
from tools.rows import Rows, capped
from topology.errors import BadInputError

Adjust = Literal["none", "split", "total"]
Revisions = Literal["latest", "first"]
MOST_READ = 2_000_000
"""Bars that one call reads, whatever it shows: the server holds them in memory."""
_PER_DAY = {"1d": 1, "1h": 24, "1m": 1_440}


class Bars(Rows):
    """Bars; ``unadjusted`` names symbols whose prices stay raw, because no factors are known."""

    unadjusted: list[str] = Field(default_factory=list)


def between(
    office: Office,
    symbols: Sequence[str],
    start: str,
    end: str,
    *,
    table: str,
    adjust: Adjust,
    revisions: Revisions,
    as_of: str | None,
    max_rows: int,
) -> Bars:
    """Return at most ``max_rows`` bars that end on the UTC days ``start`` to ``end``."""
    from lakehouse import query
    from runtimes.backtest.bars import companions

    first, last = _period(start, end)
    _refuse_too_many(office, symbols, first, last, table)
    beside = companions(table, adjust=adjust != "none")
    snapshot_ids = query.resolve(office.lake, [table], as_of=as_of, optional=beside)
    found = query.bars(
        office.lake,
        symbols,
        first,
        last,
        table=table,
        adjust=adjust,
        revisions=revisions,
        snapshot_ids=snapshot_ids,
        as_of=as_of,
    )
    head = found.slice(0, max_rows)
    shown = capped(
        found.column_names,
        zip(*(column.to_pylist() for column in head.columns), strict=True),
        most_rows=max_rows,
        snapshot_ids=snapshot_ids,
        more=found.num_rows > max_rows,
    )
    raw = (found.schema.metadata or {}).get(query.UNADJUSTED, b"").decode()
    return Bars(**shown.model_dump(), unadjusted=[name for name in raw.split(",") if name])


def day(text: str, path: str) -> dt.date:
    """Return the UTC day of a date or an RFC 3339 time."""
    try:
        if len(text) == len("YYYY-MM-DD"):
            return dt.date.fromisoformat(text)
        moment = dt.datetime.fromisoformat(text)
        known = moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)
        return known.astimezone(dt.UTC).date()
    except (ValueError, OverflowError) as error:
        raise BadInputError(
            f"{text[:40]!r} is not a day.",
            hint="Write YYYY-MM-DD, for example 2012-12-31.",
            errors=[{"path": path, "value": text[:40], "problem": "This is no day."}],
        ) from error


def _period(start: str, end: str) -> tuple[dt.date, dt.date]:
    first, last = day(start, "start"), day(end, "end")
    refuse_reversed(first, last)
    return first, last


def refuse_reversed(first: dt.date, last: dt.date) -> None:
    """Raise for a period that ends before it starts."""
    if last < first:
        raise BadInputError(
            f"end ({last}) lies before start ({first}).",
            hint="Swap them.",
            errors=[{"path": "end", "value": str(last), "problem": "It lies before start."}],
        )


def _refuse_too_many(
    office: Office, symbols: Sequence[str], first: dt.date, last: dt.date, table: str
) -> None:
    """Refuse what the server could not hold; counted only where the period allows so much."""
    from lakehouse import source
    from lakehouse.scan import Where

    per_day = _PER_DAY.get(table.rpartition("_")[2], 1)
    if ((last - first).days + 1) * per_day * len(symbols) <= MOST_READ:
        return
    where = Where(  # the ends of the calendar do not restrict: nothing lies beyond them
        symbols,
        None if first == dt.date.min else dt.datetime.combine(first, dt.time(), dt.UTC),
        None if last == dt.date.max else dt.datetime.combine(last, dt.time.max, dt.UTC),
    )
    held = source.open_source(office.lake, table, where=where, revisions="first")
    found = held.rows("SELECT count(*) AS bars FROM source")["bars"][0].as_py()
    if found > MOST_READ:
        raise BadInputError(
            f"These are {found} bars; {MOST_READ} are the most that one call reads.",
            hint="Ask for fewer days or symbols, aggregate with query_sql, or use export_table.",
            bars=found,
            most=MOST_READ,
        )
