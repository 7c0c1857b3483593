"""Bars without a lake, for rules: written as a table, judged as an ingest would have it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from lakehouse import calendars, schemas
from lakehouse.quality import view
from lakehouse.quality.judge import Case, Limits, judge
from lakehouse.quality.rule import Scope

TRADES = Scope("bars", "1d")
NOW = dt.datetime(2026, 1, 5, 12, tzinfo=dt.UTC)
NO_FACTORS = schemas.ADJUSTMENTS.columns.empty_table()


def at(text: str) -> dt.datetime:
    """Return the UTC time of ``2024-01-02 21:00`` or ``2024-01-02T21:00``."""
    return dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC)


def trades(rows: Sequence[dict[str, Any]], **constants: Any) -> pa.Table:
    """Return bars of trades: rows say ``timestamp`` and what differs from a flat bar at close."""
    made = []
    for row in rows:
        close = row.get("close", 100.0)
        bar = {"vt_symbol": "AAA.NYSE", "currency": "USD", "source": "test", "volume": 1_000.0}
        bar |= dict.fromkeys(("open", "high", "low", "close"), close)
        bar |= {"ingested_at": NOW, "run_id": "r", **constants, **row}
        made.append(bar)
    return pa.Table.from_pylist(made, schema=schemas.BARS.columns)


def quotes(rows: Sequence[dict[str, Any]], **constants: Any) -> pa.Table:
    """Return bars of quotes: rows say ``timestamp``, ``bid`` and ``ask``, and what differs."""
    made = []
    for given in rows:
        row = {"vt_symbol": "EURUSD.OANDA", "currency": "USD", "source": "test", **given}
        for side in ("bid", "ask"):
            price = row.pop(side, None)
            for part in ("open", "high", "low", "close"):
                row.setdefault(f"{side}_{part}", price)
            row.setdefault(f"{side}_size", None)
        made.append(row | {"ingested_at": NOW, "run_id": "r", **constants})
    return pa.Table.from_pylist(made, schema=schemas.QUOTES.columns)


def judged(
    bars: pa.Table,
    scope: Scope = TRADES,
    *,
    factors: pa.Table = NO_FACTORS,
    limits: Limits | None = None,
    now: dt.datetime = NOW,
) -> list[dict[str, Any]]:
    """Return what the rules find in ``bars``, as rows."""
    times = pc.min_max(bars.column("timestamp")).as_py()
    symbols = bars.column("vt_symbol").unique().to_pylist()
    names, sessions, _ = view.exchanges(symbols, times["min"], times["max"])
    ends = bars.group_by("vt_symbol").aggregate([("timestamp", "min"), ("timestamp", "max")])
    lives = ends.rename_columns(["vt_symbol", "first", "last"])
    for beside in ("previous", "following"):
        lives = lives.append_column(beside, pa.nulls(lives.num_rows, schemas.TIME))
    case = Case(scope, "SELECT * FROM b", {"b": bars}, {}, factors, names, sessions, lives, now)
    found: list[dict[str, Any]] = judge(case, limits or Limits()).to_pylist()
    return found


def names(found: Sequence[dict[str, Any]]) -> list[str]:
    """Return the names of the rules that found something, sorted."""
    return sorted({row["rule"] for row in found})


def closes(exchange: str, start: dt.date, count: int) -> list[dt.datetime]:
    """Return when the first ``count`` sessions from ``start`` on close."""
    found = calendars.of(exchange).sessions(start, start + dt.timedelta(days=3 * count + 10))
    instants = (dt.datetime.fromtimestamp(int(t) / 1e6, dt.UTC) for t in found.closes[:count])
    return list(instants)


def daily(prices: Sequence[float | dict[str, Any]], **constants: Any) -> pa.Table:
    """Return bars of successive sessions in New York; a price, or what differs from a flat bar."""
    times = closes("NYSE", dt.date(2024, 1, 2), len(prices))
    rows = [price if isinstance(price, dict) else {"close": price} for price in prices]
    return trades([{"timestamp": t, **r} for t, r in zip(times, rows, strict=True)], **constants)


def wave(count: int, level: float = 100.0) -> list[float]:
    """Return prices that move by half a percent up and down, none twice in a row."""
    return [level * (1 + 0.005 * (n % 3)) for n in range(count)]


class Apart:
    """The cases of a table test, judged all at once: each under a symbol of its own."""

    def __init__(
        self, cases: Sequence[Any], make: Callable[[Any], pa.Table], scope: Scope = TRADES
    ) -> None:
        self.cases, self.make, self.scope = cases, make, scope

    def __call__(self, value: Any) -> list[dict[str, Any]]:
        """Return what is found in the bars of the case whose first value this is."""
        return self._told[repr(value)]

    @cached_property
    def _told(self) -> dict[str, list[dict[str, Any]]]:
        tables, told = [], {}
        for number, case in enumerate(self.cases):
            bars = self.make(case.values[0])
            exchange = bars.column("vt_symbol")[0].as_py().rpartition(".")[2]
            name = f"CASE{number}.{exchange}"
            tables.append(bars.set_column(0, "vt_symbol", pa.array([name] * bars.num_rows)))
            told[name] = repr(case.values[0])
        found: dict[str, list[dict[str, Any]]] = {key: [] for key in told.values()}
        for row in judged(pa.concat_tables(tables), self.scope):
            found[told[row["vt_symbol"]]].append(row)
        return found
