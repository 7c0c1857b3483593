"""What rules look at: bars with the ones before and after, their session and their factor.

`prepare` makes, where ``base``, ``factors``, ``calendars``, ``sessions`` and ``lives`` are:

* ``seen``: the bars, with ``day`` (its exchange's, `lakehouse.days`), ``previous`` (the end of the
  bar before) and ``close_before, volume_before, currency_before, source_before, day_before``,
  ``level`` and ``opening`` (close and open, adjusted by known factors), ``level_before``, ``move``
  (log return of levels), ``move_before``, ``move_after``, ``z`` (distance of the move from the
  median of those before, by their median absolute deviation; of intraday bars within a day only),
  ``calendar`` and ``ordinal, session_day, session_closes, next_opens`` of the last session that
  began by then, null where there is none;
* ``sessions``: of each calendar, by ``ordinal``, with how many bars of each length they have;
* ``marks``: where each symbol has bars, the nearest ones outside of ``seen`` included;
* ``lives``: each symbol's first and last bar, and those next to the window; ``told``: ``now``.

Of quotes, a price is the middle of bid and ask, or the side that there is.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping

import duckdb
import numpy as np
import pyarrow as pa

from lakehouse import calendars, days
from lakehouse.calendars import Calendar, Integers
from lakehouse.quality.rule import Scope
from lakehouse.schemas import TIME
from topology.symbols import Symbol

WINDOW, ENOUGH = 63, 30
"""Moves before the one judged (a quarter of days), and how many of them there must be."""
MAD_TO_SIGMA = 0.6745
"""The median absolute deviation of a normal variable is 0.6745 standard deviations."""
AROUND = dt.timedelta(days=31)
"""How far beyond the bars sessions are known: further than any exchange closes."""
STILL = 0.001
"""Smallest scale of a move that z is measured in: where prices hardly move, z means nothing."""

_MIDDLE = ", ".join(
    f"coalesce((bid_{part} + ask_{part}) / 2, bid_{part}, ask_{part}) AS {part}"
    for part in ("open", "high", "low", "close")
)


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
    symbols = connection.execute("SELECT vt_symbol FROM base UNION SELECT vt_symbol FROM lives")
    names = [row[0] for row in symbols.fetchall()]
    day = days.sql(names, daily=scope.daily, end='"timestamp"')
    connection.execute(_seen(scope, day))
    connection.execute(_MARKS.format(day=day, began=_began(scope, "n")))


def _began(scope: Scope, bars: str) -> str:
    """Return the condition that session ``s`` began by a bar: on its day, or before its end."""
    if scope.daily:
        return f"{bars}.calendar = s.calendar AND {bars}.day >= s.day"
    return f'{bars}.calendar = s.calendar AND {bars}."timestamp" > s.opens'


def _seen(scope: Scope, day: str) -> str:
    """Return the statement that makes ``seen``; each window is one pass over sorted bars."""
    usual = "move" if scope.daily else "CASE WHEN day = day_before THEN move END"
    return f"""
    CREATE TABLE seen AS
    WITH dated AS (SELECT *, {day} AS day FROM base),
    p AS (
        SELECT d.*, c.calendar, coalesce(f.split_factor * f.price_factor, 1) AS factor
        FROM dated d LEFT JOIN calendars c USING (vt_symbol)
        ASOF LEFT JOIN factors f ON d.vt_symbol = f.vt_symbol AND d.day <= f.date
    ), placed AS (
        SELECT p.*, s.ordinal, s.day AS session_day, s.closes AS session_closes, s.next_opens,
            close * factor AS level, open * factor AS opening
        FROM p ASOF LEFT JOIN sessions s ON {_began(scope, "p")}
    ), following AS (
        SELECT *, lag("timestamp") OVER same AS previous, lag(close) OVER same AS close_before,
            lag(volume) OVER same AS volume_before, lag(currency) OVER same AS currency_before,
            lag(source) OVER same AS source_before, lag(day) OVER same AS day_before,
            lag(level) OVER same AS level_before,
            {_log("level", "lag(level) OVER same")} AS move,
            {_log("lag(level) OVER same", "lag(level, 2) OVER same")} AS move_before,
            {_log("lead(level) OVER same", "level")} AS move_after
        FROM placed WINDOW same AS (PARTITION BY vt_symbol ORDER BY "timestamp")
    ), usual AS (SELECT *, {usual} AS comparable FROM following),
    compared AS (
        SELECT *, median(comparable) OVER before AS middle, mad(comparable) OVER before AS spread,
            count(comparable) OVER before AS moves
        FROM usual WINDOW before AS (PARTITION BY vt_symbol ORDER BY "timestamp"
            ROWS BETWEEN {WINDOW} PRECEDING AND 1 PRECEDING)
    )
    SELECT * EXCLUDE (middle, spread, moves, comparable, factor), CASE WHEN moves >= {ENOUGH}
        THEN {MAD_TO_SIGMA} * abs(comparable - middle) / greatest(spread, {STILL}) END AS z
    FROM compared
    """  # noqa: S608


def _log(value: str, before: str) -> str:
    return f"CASE WHEN {value} > 0 AND {before} > 0 THEN ln({value} / {before}) END"


_MARKS = """
CREATE TABLE marks AS
SELECT vt_symbol, "timestamp", calendar, ordinal FROM seen
UNION
SELECT n.vt_symbol, n."timestamp", n.calendar, s.ordinal FROM (
    SELECT vt_symbol, "timestamp", {day} AS day, calendar
    FROM (SELECT vt_symbol, unnest([previous, following]) AS "timestamp" FROM lives)
    JOIN calendars USING (vt_symbol) WHERE "timestamp" IS NOT NULL
) n ASOF LEFT JOIN sessions s ON {began}
"""


def exchanges(
    symbols: Iterable[str], first: dt.datetime | None = None, last: dt.datetime | None = None
) -> tuple[pa.Table, pa.Table, dict[str, list[str]]]:
    """Return ``calendars`` and ``sessions`` for these symbols, and who has none, by exchange.

    Sessions are those around bars that end from ``first`` to ``last``.
    """
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
    return names, sessions(held, first, last), lacking


def sessions(
    held: Mapping[str, Calendar], first: dt.datetime | None, last: dt.datetime | None
) -> pa.Table:
    """Return the sessions of calendars, one row each; ``bars_1h`` is what both grids agree on."""
    start = calendars.FIRST if first is None else first.date() - AROUND
    end = calendars.LAST if last is None else last.date() + AROUND
    parts = [_sessions(name, found, start, end) for name, found in held.items()]
    return pa.concat_tables(parts or [_sessions("", _NOTHING, start, end)])


def _sessions(name: str, whole: Calendar, start: dt.date, end: dt.date) -> pa.Table:
    found = whole.sessions(start, end)
    before = int(np.searchsorted(whole.days, found.days[0])) if found.days.size else 0
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
            "ordinal": pa.array(np.arange(found.days.size) + before),
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
