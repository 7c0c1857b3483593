"""What a table has of each symbol, period by period, against what its exchange would have."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lakehouse import calendars, days, query, scan
from lakehouse.asof import AsOf
from lakehouse.calendars import Resolution
from lakehouse.lake import Lake
from lakehouse.quality import view
from lakehouse.quality.inspect import scope_of
from lakehouse.scan import Where
from lakehouse.source import Source, open_source

MOST_SYMBOLS = 500
MOST_PERIODS = 400
"""Columns of a grid: days of a year, months of a generation."""
UNITS = ("day", "month", "quarter", "year")


@dataclass(frozen=True, slots=True)
class Filled:
    """Symbols by periods: arrays of shape (N, B), float64.

    ``starts`` are the first days of the periods and ``unit`` how long they are. ``covered`` counts
    the sessions that have bars, of intraday bars by the share that is there; ``expected`` those
    of the exchange from the symbol's first to its last bar. Where no calendar is known,
    ``expected`` is nan and ``covered`` counts days. ``left_out`` symbols were not looked at.
    """

    table: str
    unit: str
    starts: tuple[dt.date, ...]
    symbols: tuple[str, ...]
    covered: NDArray[np.float64]
    expected: NDArray[np.float64]
    left_out: int


def grid(
    lake: Lake,
    table: str,
    *,
    symbols: Sequence[str] | None = None,
    as_of: AsOf = None,
    most_symbols: int = MOST_SYMBOLS,
) -> Filled:
    """Return the coverage of ``table`` (bars or quotes) as of a time or snapshot, or now.

    Periods are the shortest of `UNITS` of which there are at most `MOST_PERIODS`.
    """
    scope = scope_of(table)
    pins = query.resolve(lake, [table], as_of)

    def opened(names: Sequence[str] | None) -> Source:
        where = Where(symbols=names)
        return open_source(
            lake, table, where=where, snapshot_ids=pins, as_of=as_of, revisions="first"
        )

    source = opened(symbols)
    lives = source.rows(
        'SELECT vt_symbol, min("timestamp") AS first, max("timestamp") AS last '
        "FROM source GROUP BY vt_symbol ORDER BY vt_symbol"
    )
    left_out = max(lives.num_rows - most_symbols, 0)
    lives = lives.slice(0, most_symbols)
    if not lives.num_rows:
        nothing = np.zeros((0, 0))
        return Filled(table, "day", (), (), nothing, nothing, left_out)
    lives = _dated(lives, daily=scope.daily)
    names = lives.column("vt_symbol").to_pylist()
    chosen = opened(names) if left_out else source
    return _filled(chosen, scope.resolution, names, lives, left_out)


def _dated(lives: pa.Table, *, daily: bool) -> pa.Table:
    """Return the first and the last bar's day for their ends."""
    for name in ("first", "last"):
        own = days.of(lives.column("vt_symbol"), lives.column(name), daily=daily)
        dates = pa.array(own.astype(np.int32), pa.int32()).cast(pa.date32())
        lives = lives.set_column(lives.schema.get_field_index(name), name, dates)
    return lives


def _filled(
    source: Source, resolution: Resolution, names: list[str], lives: pa.Table, left_out: int
) -> Filled:
    first = min(lives.column("first").to_pylist())
    last = max(lives.column("last").to_pylist())
    unit, starts = _periods(first, last)
    calendars_, sessions, _ = view.exchanges(names)
    day = days.sql(names, daily=resolution == "1d", end='"timestamp"')
    bars = "1" if resolution == "1d" else f"s.bars_{resolution}"
    cells = scan.select(
        f"""
        WITH days AS (
            SELECT vt_symbol, {day} AS day, count(*) AS bars FROM ({source.sql}) GROUP BY ALL
        ), wanted AS (
            SELECT vt_symbol, s.day, {bars} AS bars FROM lives l JOIN calendars c USING (vt_symbol)
            JOIN sessions s ON s.calendar = c.calendar AND s.day BETWEEN l.first AND l.last
        ), known AS (
            SELECT w.vt_symbol, w.day, 1.0 AS expected,
                least(coalesce(d.bars, 0) / w.bars, 1.0) AS covered
            FROM wanted w LEFT JOIN days d ON d.vt_symbol = w.vt_symbol AND d.day = w.day
            UNION ALL
            SELECT vt_symbol, day, 'nan'::DOUBLE, 1.0 FROM days JOIN lives USING (vt_symbol)
            ANTI JOIN calendars USING (vt_symbol)
        )
        SELECT l.place, p.place AS period, sum(covered) AS covered, sum(expected) AS expected
        FROM known JOIN lives l USING (vt_symbol) ASOF JOIN periods p ON known.day >= p.start
        GROUP BY ALL
        """,  # noqa: S608
        {
            "lives": lives.append_column("place", pa.array(range(len(names)))),
            **source.sources,
            "calendars": calendars_,
            "sessions": sessions,
            "periods": pa.table({"start": starts, "place": list(range(len(starts)))}),
        },
        source.parameters,
    )
    shape = (len(names), len(starts))
    covered, expected = np.zeros(shape), np.zeros(shape)
    for name in names:
        if calendars.find(name.rpartition(".")[2]) is None:
            expected[names.index(name)] = np.nan
    at = (cells.column("place").to_numpy(), cells.column("period").to_numpy())
    covered[at] = cells.column("covered").to_numpy()
    expected[at] = cells.column("expected").to_numpy()
    return Filled(source.table, unit, tuple(starts), tuple(names), covered, expected, left_out)


def _periods(first: dt.date, last: dt.date) -> tuple[str, list[dt.date]]:
    """Return the shortest unit with few enough periods, and the first day of each."""
    days = [first + dt.timedelta(days=n) for n in range((last - first).days + 1)]
    unit, starts = UNITS[0], days
    for longer in UNITS[1:]:
        if len(starts) <= MOST_PERIODS:
            break
        unit, starts = longer, sorted({start_of(day, longer) for day in days})
    return unit, starts


def start_of(day: dt.date, unit: str) -> dt.date:
    """Return the first day of the period that ``day`` lies in."""
    if unit == "day":
        return day
    months = {"month": 1, "quarter": 3, "year": 12}[unit]
    return dt.date(day.year, (day.month - 1) // months * months + 1, 1)
