"""Which trading day a bar belongs to: what the clock of its exchange shows when the bar ends.

A day of trading in Sydney begins on the day before in UTC, an evening in New York ends on the day
after. What is known by day (factors, names, members, sessions) meets bars by the days of this
module. Where an exchange trades on from the evening before, its day begins then, as its calendar
has it. A bar that ends at midnight belongs to the day that ends. Crypto, and exchanges whose zone
nobody knows, count in UTC.

A daily bar may be stamped at the close, or at midnight there or in UTC: of the day in UTC and that
of the exchange, the earlier one is meant.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lakehouse import calendars
from lakehouse.calendars import DAY_US, Integers
from lakehouse.schemas import TIME
from topology.symbols import Symbol

HOUR_US = 3_600_000_000
_ZONES = """
Africa/Johannesburg XJSE | America/Argentina/Buenos_Aires XBUE | America/Chicago CMES XCBF
America/Lima XLIM | America/Mexico_City XMEX | America/New_York 24/5 IEPA USA XBOG XNYS us_futures
America/Santiago XSGO | America/Sao_Paulo BVMF | America/Toronto XTSE | Asia/Almaty AIXK
Asia/Bangkok XBKK | Asia/Hong_Kong XHKG | Asia/Jakarta XIDX | Asia/Jerusalem XTAE
Asia/Karachi XKAR | Asia/Kolkata XBOM | Asia/Kuala_Lumpur XKLS | Asia/Manila XPHS
Asia/Nicosia XCYS | Asia/Riyadh XSAU | Asia/Seoul XKRX | Asia/Shanghai XSHG | Asia/Singapore XSES
Asia/Taipei XTAI | Asia/Tokyo XTKS | Atlantic/Bermuda XBDA | Atlantic/Reykjavik XICE
Australia/Sydney XASX | Europe/Amsterdam XAMS | Europe/Athens ASEX | Europe/Belgrade XBEL
Europe/Berlin XEEE XETR XEUR XFRA XSTU | Europe/Bratislava XBRA
Europe/Brussels XBRU XDUS XHAM | Europe/Bucharest XBSE | Europe/Budapest XBUD
Europe/Copenhagen XCSE | Europe/Dublin XDUB | Europe/Helsinki XHEL | Europe/Istanbul XIST
Europe/Lisbon XLIS | Europe/Ljubljana XLJU | Europe/London XLON | Europe/Luxembourg XLUX
Europe/Madrid XMAD | Europe/Moscow XMOS | Europe/Oslo XOSL | Europe/Paris XPAR
Europe/Prague XPRA | Europe/Riga XRIS | Europe/Rome XMIL | Europe/Stockholm XSTO
Europe/Tallinn XTAL | Europe/Vienna XWBO | Europe/Vilnius XLIT | Europe/Warsaw XWAR
Europe/Zagreb XZAG | Europe/Zurich XSWX | Pacific/Auckland XNZE
"""
ZONES: Mapping[str, str] = {
    calendar: zone
    for part in _ZONES.replace("\n", " | ").split(" | ")
    for zone, *known in [part.split() or [""]]
    for calendar in known
}
"""The time zone of each calendar of `lakehouse.calendars`, and of Lean's market ``USA``."""
EVENINGS: Mapping[str, int] = {calendars.FOREX: 7, "CMES": 7, "us_futures": 6, "IEPA": 4}
"""How many hours before midnight the day of a calendar begins, where it does."""


@dataclass(frozen=True, slots=True)
class Clock:
    """A time zone, and how many hours before its midnight a day of trading begins."""

    zone: str
    early: int


def clock(exchange: str) -> Clock:
    """Return the clock of an exchange code or MIC; UTC where nobody knows one."""
    calendar = calendars.name(exchange)
    return Clock(ZONES.get(calendar, "UTC"), EVENINGS.get(calendar, 0))


def daily(table: str) -> bool:
    """Tell whether a bar of this table is a day, by the table's name."""
    return table.endswith("_1d")


def of(symbols: pa.ChunkedArray, ends: pa.ChunkedArray, *, daily: bool) -> Integers:
    """Return the day of each bar, counted since 1970, shape (rows,), from symbols and ends."""
    encoded = symbols.cast(pa.string()).combine_chunks().dictionary_encode()
    clocks = [clock(Symbol.parse(symbol).exchange) for symbol in encoded.dictionary.to_pylist()]
    known = sorted(set(clocks), key=repr)
    places = np.array([known.index(each) for each in clocks], dtype=np.int64)
    own = places[encoded.indices.to_numpy(zero_copy_only=False)]
    days = np.zeros(len(ends), dtype=np.int64)
    for place, each in enumerate(known):
        rows = np.flatnonzero(own == place)
        days[rows] = local(ends.take(pa.array(rows)), each, daily=daily)
    return days


def local(ends: pa.ChunkedArray | pa.Array, at: Clock, *, daily: bool) -> Integers:
    """Return the day by one clock of each end (a timestamp in UTC), counted since 1970."""
    there = pc.local_timestamp(ends.cast(pa.timestamp("us", tz=at.zone)))
    days = _day(there.cast(pa.int64()), at.early)
    return np.minimum(days, _day(ends.cast(TIME).cast(pa.int64()), 0)) if daily else days


def _day(times: pa.ChunkedArray | pa.Array, early: int) -> Integers:
    numbers = times.to_numpy() if isinstance(times, pa.ChunkedArray) else np.asarray(times)
    return np.asarray((numbers + early * HOUR_US - 1) // DAY_US, dtype=np.int64)


def sql(symbols: Iterable[str], *, daily: bool, symbol: str = "vt_symbol", end: str) -> str:
    """Return the SQL of a bar's day, a DATE, from the columns ``symbol`` and ``end``.

    Only the clocks of ``symbols`` are known to it: rows of others count in UTC.
    """
    clocks: dict[Clock, set[str]] = {}
    for exchange in {Symbol.parse(each).exchange for each in symbols}:
        clocks.setdefault(clock(exchange), set()).add(exchange)
    place = f"split_part({symbol}, '.', -1)"
    cases = [
        f"WHEN {place} IN ({', '.join(map(_quoted, sorted(exchanges)))}) THEN {_sql(at, end)}"
        for at, exchanges in sorted(clocks.items(), key=repr)
        if at != Clock("UTC", 0)
    ]
    utc = _sql(Clock("UTC", 0), end)
    there = f"CASE {' '.join(cases)} ELSE {utc} END" if cases else utc
    return f"least({there}, {utc})" if daily and cases else there


def _sql(at: Clock, end: str) -> str:
    shift = f"INTERVAL {at.early} HOUR - INTERVAL 1 MICROSECOND"
    return f"(timezone('{at.zone}', {end}) + {shift})::DATE"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
