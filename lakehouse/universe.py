"""Who belonged to a universe when: members come and go, and the dead are not forgotten.

A backtest over today's members of an index knows who survived. The table ``universes`` holds
membership by day; a plain list of symbols has none, and what uses one says so.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from lakehouse.asof import AsOf
from lakehouse.identity import latest_sets
from lakehouse.lake import Lake
from topology.errors import BadInputError, UnknownNameError, did_you_mean, nearest

TABLE = "alphaswarm_silver_market.universes"


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


def plain(symbols: Sequence[str], start: dt.date) -> Universe:
    """Return a plain list as a universe whose members were there all along: it is flagged."""
    listed = (Member(symbol, start, None) for symbol in sorted(set(symbols)))
    return Universe(None, tuple(listed), survivorship=True)
