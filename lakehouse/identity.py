"""Which symbol bore which ticker when: names change, the symbol and its history stay.

A symbol keeps one ``vt_symbol`` for ever; bars of all its tickers are stored under it. The table
``symbol_map`` beside the bars says which ticker it had on which days.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from lakehouse import catalog
from lakehouse.asof import AsOf, rows_at, snapshot_at, time_of
from lakehouse.lake import Lake
from lakehouse.layers import TableName
from lakehouse.source import open_source
from topology.errors import BadInputError, UnknownNameError, did_you_mean, nearest


@dataclass(frozen=True, slots=True)
class Ticker:
    """A name that ``vt_symbol`` bore from one day to another, both inclusive; None: still."""

    vt_symbol: str
    ticker: str
    exchange: str
    valid_from: dt.date
    valid_to: dt.date | None

    @property
    def name(self) -> str:
        """Return the name as ``TICKER.EXCHANGE``."""
        return f"{self.ticker}.{self.exchange}"

    def within(self, start: dt.date, end: dt.date) -> bool:
        """Tell whether the name was borne on any of these days."""
        return self.valid_from <= end and (self.valid_to is None or self.valid_to >= start)


def tickers(
    lake: Lake,
    table: str,
    *,
    as_of: AsOf = None,
    snapshot_ids: Mapping[str, str] | None = None,
) -> list[Ticker]:
    """Return every name of every symbol beside ``table``, sorted by symbol and day.

    Of each symbol the latest set counts, as of the time; an end that lay ahead then is None.
    ``snapshot_ids`` pins the map; where it does not name one there is none.
    """
    rows = latest_sets(lake, table, "symbol_map", "vt_symbol", as_of, snapshot_ids)
    facts = [
        Ticker(*(row[name] for name in Ticker.__dataclass_fields__))
        for row in (rows.to_pylist() if rows is not None else [])
    ]
    return sorted(facts, key=lambda fact: (fact.vt_symbol, fact.valid_from))


def latest_sets(
    lake: Lake,
    table: str,
    name: str,
    owner: str,
    as_of: AsOf,
    snapshot_ids: Mapping[str, str] | None = None,
) -> pa.Table | None:
    """Return each owner's latest set in the table ``name`` beside ``table``; None without one."""
    beside = f"{TableName.parse(table).namespace}.{name}"
    found = catalog.find(lake, beside)
    if found is None:
        return None
    loaded = {beside: found}
    if (main := catalog.find(lake, table)) is not None:
        loaded[table] = main
    if snapshot_ids is not None:
        pin = snapshot_ids.get(beside)
    else:
        pin = snapshot_at(loaded, beside, as_of, required=False)
    if pin is None:
        return None
    when = time_of(as_of)
    known = "true" if when is None else f"known_at <= TIMESTAMPTZ '{when.isoformat()}'"
    latest = (
        f"(SELECT * FROM source WHERE {known} "  # noqa: S608
        f"QUALIFY known_at = max(known_at) OVER (PARTITION BY {owner}))"
    )
    rows = open_source(lake, beside, snapshot_ids={beside: pin})
    return rows.rows(rows_at(rows.schema, as_of).replace("%s", latest))


def resolved(
    lake: Lake,
    table: str,
    names: Sequence[str],
    known: Sequence[str],
    start: dt.date,
    end: dt.date,
    *,
    as_of: AsOf = None,
    snapshot_ids: Mapping[str, str] | None = None,
) -> list[str]:
    """Return for each of ``names`` the symbol that has bars: itself, or the one that bore it.

    A name that two symbols bore in the period is refused, and so is one that nobody bore. The map
    is read at its pin among ``snapshot_ids``, if it has one there, else ``as_of``.
    """
    pinned = f"{TableName.parse(table).namespace}.symbol_map" in (snapshot_ids or {})
    pins = snapshot_ids if pinned else None
    former: Mapping[str, list[Ticker]] = {}
    held = set(known)
    found = []
    for name in names:
        if name in held:
            found.append(name)
            continue
        former = former or _by_name(tickers(lake, table, as_of=as_of, snapshot_ids=pins), held)
        borne = former.get(name, [])
        bearers = [fact for fact in borne if fact.within(start, end)] or borne
        found.append(_only(table, name, bearers, [*held, *former]))
    return found


def _by_name(facts: Sequence[Ticker], held: set[str]) -> dict[str, list[Ticker]]:
    named: dict[str, list[Ticker]] = {}
    for fact in facts:
        if fact.vt_symbol in held:
            named.setdefault(fact.name, []).append(fact)
    return named


def _only(table: str, name: str, bearers: Sequence[Ticker], known: Sequence[str]) -> str:
    symbols = sorted({fact.vt_symbol for fact in bearers})
    if len(symbols) == 1:
        return symbols[0]
    if not symbols:
        raise UnknownNameError(
            f"{table} has no bars of {name[:64]!r}.",
            hint=did_you_mean(name[:64], known),
            value=name[:64],
            nearest=nearest(name[:64], known),
        )
    raise BadInputError(
        f"{name!r} was the ticker of {len(symbols)} symbols: {', '.join(symbols[:5])}.",
        hint="Name the symbol itself, or a period in which only one of them bore it.",
        value=name,
        symbols=[
            {"vt_symbol": f.vt_symbol, "from": str(f.valid_from), "to": str(f.valid_to or "")}
            for f in bearers
        ],
    )
