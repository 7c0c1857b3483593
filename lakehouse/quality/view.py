"""What rules look at: bars with the ones before and after, their session and their factor.

`prepare` makes, where ``base``, ``factors``, ``calendars``, ``sessions`` and ``lives`` are:

* ``seen``: the bars, with ``day`` (the UTC day that a bar ends in), ``previous`` (the end of the
  bar before) and ``close_before, volume_before, currency_before, source_before, day_before``,
  ``level`` and ``opening`` (close and open, adjusted by known factors), ``level_before``, ``move``
  (log return of levels), ``move_before``, ``move_after``, ``calendar`` and
  ``ordinal, session_day, session_closes, next_opens`` of the last session that began by then, null
  where there is none;
* ``sessions``: of each calendar, by ``ordinal``, with how many bars of each length they have;
* ``marks``: where each symbol has bars, the nearest ones outside of ``seen`` included;
* ``lives``: each symbol's first and last bar, and those next to the window; ``told``: ``now``.

Of quotes, a price is the middle of bid and ask, or the side that there is.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable

import duckdb
import numpy as np
import pyarrow as pa

from lakehouse import calendars
from lakehouse.calendars import Calendar, Integers
from lakehouse.quality.rule import Scope
from lakehouse.schemas import TIME
from topology.symbols import Symbol

_MIDDLE = ", ".join(
    f"coalesce((bid_{part} + ask_{part}) / 2, bid_{part}, ask_{part}) AS {part}"
    for part in ("open", "high", "low", "close")
)
_DAY = '("timestamp" - INTERVAL 1 MICROSECOND)::DATE'


def base(scope: Scope, source: str) -> str:
    """Return the SELECT of the columns that rules know, from the SELECT of a table's rows."""
    prices = (
        "open, high, low, close, volume"
        if scope.kind == "bars"
        else (
            f"{_MIDDLE}, NULL::DOUBLE AS volume, bid_open, bid_high, bid_low, bid_close, "
            "ask_open, ask_high, ask_low, ask_close"
        )
    )
    return f'SELECT vt_symbol, "timestamp", {prices}, currency, source FROM ({source})'  # noqa: S608


def prepare(connection: duckdb.DuckDBPyConnection, scope: Scope, now: dt.datetime) -> None:
    """Make ``seen``, ``marks`` and ``told`` from what the connection holds."""
    connection.execute("CREATE TABLE told AS SELECT $now::TIMESTAMPTZ AS now", {"now": str(now)})
    for statement in (_SEEN % _began(scope, "p"), _MARKS % _began(scope, "n")):
        connection.execute(statement)


def _began(scope: Scope, bars: str) -> str:
    """Return the condition that session ``s`` began by a bar: on its day, or before its end."""
    if scope.daily:
        return f"{bars}.calendar = s.calendar AND {bars}.day >= s.day"
    return f'{bars}.calendar = s.calendar AND {bars}."timestamp" > s.opens'


_SEEN = f"""
CREATE TABLE seen AS
WITH dated AS (SELECT *, {_DAY} AS day FROM base),
p AS (
    SELECT d.*, c.calendar, coalesce(f.split_factor * f.price_factor, 1) AS factor
    FROM dated d LEFT JOIN calendars c USING (vt_symbol)
    ASOF LEFT JOIN factors f ON d.vt_symbol = f.vt_symbol AND d.day <= f.date
), placed AS (
    SELECT p.*, s.ordinal, s.day AS session_day, s.closes AS session_closes, s.next_opens,
        close * factor AS level, open * factor AS opening
    FROM p ASOF LEFT JOIN sessions s ON %s
), following AS (
    SELECT *, lag("timestamp") OVER same AS previous, lag(close) OVER same AS close_before,
        lag(volume) OVER same AS volume_before, lag(currency) OVER same AS currency_before,
        lag(source) OVER same AS source_before, lag(day) OVER same AS day_before,
        lag(level) OVER same AS level_before
    FROM placed WINDOW same AS (PARTITION BY vt_symbol ORDER BY "timestamp")
), moved AS (
    SELECT *, CASE WHEN level > 0 AND level_before > 0 THEN ln(level / level_before) END AS move
    FROM following
)
SELECT *, lag(move) OVER same AS move_before, lead(move) OVER same AS move_after
FROM moved WINDOW same AS (PARTITION BY vt_symbol ORDER BY "timestamp")
"""  # noqa: S608

_MARKS = f"""
CREATE TABLE marks AS
SELECT vt_symbol, "timestamp", calendar, ordinal FROM seen
UNION
SELECT n.vt_symbol, n."timestamp", n.calendar, s.ordinal FROM (
    SELECT vt_symbol, "timestamp", {_DAY} AS day, calendar
    FROM (SELECT vt_symbol, unnest([previous, following]) AS "timestamp" FROM lives)
    JOIN calendars USING (vt_symbol) WHERE "timestamp" IS NOT NULL
) n ASOF LEFT JOIN sessions s ON %s
"""  # noqa: S608


def exchanges(symbols: Iterable[str]) -> tuple[pa.Table, pa.Table, dict[str, list[str]]]:
    """Return ``calendars`` and ``sessions`` for these symbols, and who has none, by exchange."""
    places = {symbol: Symbol.parse(symbol).exchange for symbol in symbols}
    calendars.prepare(set(places.values()))
    known = {place: calendars.find(place) for place in sorted(set(places.values()))}
    lacking: dict[str, list[str]] = {}
    for symbol, place in places.items():
        if known[place] is None:
            lacking.setdefault(place, []).append(symbol)
    kept = {symbol: calendars.name(place) for symbol, place in places.items() if known[place]}
    held = {calendars.name(place): found for place, found in known.items() if found}
    names = pa.table(
        {
            "vt_symbol": pa.array(kept.keys(), pa.string()),
            "calendar": pa.array(kept.values(), pa.string()),
        }
    )
    return names, sessions(held), lacking


def sessions(held: dict[str, Calendar]) -> pa.Table:
    """Return the sessions of calendars, one row each; ``bars_1h`` is what both grids agree on."""
    parts = [_sessions(name, found) for name, found in held.items()] or [_sessions("", _NOTHING)]
    return pa.concat_tables(parts)


def _sessions(name: str, found: Calendar) -> pa.Table:
    starts, stops = found.stretches()
    session = np.searchsorted(found.opens, starts, side="right") - 1
    minute, hour = calendars.STEP_US["1m"], calendars.STEP_US["1h"]
    minutes = _per(session, (stops - starts) // minute, found)
    by_open = _per(session, -((starts - stops) // hour), found)
    by_clock = _per(session, -((starts // hour * hour - stops) // hour), found)
    after = np.append(found.opens, calendars.NONE)[1:]
    return pa.table(
        {
            "calendar": pa.array([name] * found.days.size, pa.string()),
            "ordinal": pa.array(np.arange(found.days.size)),
            "day": pa.array(found.days.astype(np.int32), pa.int32()).cast(pa.date32()),
            "opens": pa.array(found.opens).cast(TIME),
            "closes": pa.array(found.closes).cast(TIME),
            "next_opens": pa.array(after, mask=after == calendars.NONE).cast(TIME),
            "bars_1m": pa.array(minutes.astype(np.float64)),
            "bars_1h": pa.array(np.minimum(by_open, by_clock).astype(np.float64)),
        }
    )


def _per(session: Integers, counts: Integers, found: Calendar) -> Integers:
    return np.bincount(session, weights=counts, minlength=found.days.size).astype(np.int64)


_NOTHING = Calendar(*(np.array([], dtype=np.int64) for _ in range(5)))
