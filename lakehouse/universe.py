"""Who belonged to a universe when: members come and go, and the dead are not forgotten.

A backtest over today's members of an index knows who survived. The table ``universes`` holds
membership by day; a plain list of symbols has none, and what uses one says so.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lakehouse import days
from lakehouse.asof import AsOf
from lakehouse.identity import latest_sets
from lakehouse.lake import Lake
from lakehouse.schemas import TIME
from topology.errors import BadInputError, UnknownNameError, did_you_mean, nearest
from topology.symbols import Symbol

TABLE = "alphaswarm_silver_market.universes"
LAST = dt.date(2199, 12, 31)
Stay = tuple[dt.date, dt.date | None]


@dataclass(frozen=True, slots=True)
class Member:
    """A symbol that belonged from one day to another, both inclusive; None: still."""

    vt_symbol: str
    date_from: dt.date
    date_to: dt.date | None


@dataclass(frozen=True, slots=True)
class Universe:
    """Members of a universe in a period, sorted by symbol and day.

    ``survivorship`` is true for a plain list: nobody knows who would have belonged earlier, so
    results over it may be too good.
    """

    name: str | None
    members: tuple[Member, ...]
    survivorship: bool

    def symbols(self) -> list[str]:
        """Return every symbol that belonged on any day of the period, sorted."""
        return sorted({member.vt_symbol for member in self.members})

    def days(self) -> dict[str, list[Stay]]:
        """Return each symbol's stays: first and last day, None where it still belongs."""
        found: dict[str, list[Stay]] = {}
        for member in self.members:
            found.setdefault(member.vt_symbol, []).append((member.date_from, member.date_to))
        return found

    def on(self, day: dt.date) -> list[str]:
        """Return who belonged on ``day``, sorted."""
        return sorted(
            {
                m.vt_symbol
                for m in self.members
                if m.date_from <= day and (m.date_to is None or m.date_to >= day)
            }
        )


def members(
    lake: Lake,
    name: str,
    start: dt.date,
    end: dt.date,
    *,
    table: str = TABLE,
    as_of: AsOf = None,
) -> Universe:
    """Return who belonged to ``name`` on any day from ``start`` to ``end``, both inclusive.

    The intervals are whole, not cut to the period. As of a time the latest set known then counts,
    and an end that lay ahead is None. ``unknown_name`` has the nearest universes.
    """
    if start > end:
        raise BadInputError(
            f"The period starts on {start} but ends on {end}.",
            hint="Put the earlier day first.",
            start=str(start),
            end=str(end),
        )
    rows = latest_sets(lake, table, "universes", "universe", as_of)
    found = [] if rows is None else rows.to_pylist()
    mine = [row for row in found if row["universe"] == name]
    if not mine:
        known = sorted({row["universe"] for row in found})
        raise UnknownNameError(
            f"No universe is called {name[:64]!r}.",
            hint=did_you_mean(name[:64], known) or "Ingest one with the table `universes`.",
            value=name[:64],
            nearest=nearest(name[:64], known),
        )
    inside = (
        Member(row["vt_symbol"], row["date_from"], row["date_to"])
        for row in mine
        if row["date_from"] <= end and (row["date_to"] is None or row["date_to"] >= start)
    )
    ordered = sorted(inside, key=lambda member: (member.vt_symbol, member.date_from))
    return Universe(name, tuple(ordered), survivorship=False)


def belonging(
    symbol: str, stays: Sequence[Stay], times: NDArray[np.int64], *, daily: bool
) -> NDArray[np.bool_]:
    """Return (R,) whether ``symbol`` belonged on the day of each bar.

    ``times`` are ends of bars in ns UTC; the day is that of the symbol's exchange (`days.local`).
    """
    ends = pa.array(times // 1_000).cast(TIME)
    day = days.local(ends, days.clock(Symbol.parse(symbol).exchange), daily=daily)
    inside = np.zeros(times.size, dtype=bool)
    for since, until in stays:
        inside |= (day >= _number(since)) & (day <= _number(LAST if until is None else until))
    return inside


def _number(day: dt.date) -> int:
    return day.toordinal() - dt.date(1970, 1, 1).toordinal()


def plain(symbols: Sequence[str], start: dt.date) -> Universe:
    """Return a plain list as a universe whose members were there all along: it is flagged."""
    listed = (Member(symbol, start, None) for symbol in sorted(set(symbols)))
    return Universe(None, tuple(listed), survivorship=True)
