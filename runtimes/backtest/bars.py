"""Bars for a backtest: which tables it reads, whether they hold what it asks, and the market."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from lakehouse import query
from lakehouse.lake import Lake
from lakehouse.panel import Panel, panel
from runtimes.engine.arrays import Floats, Ints, Market
from runtimes.engine.errors import EmptyWindowError, instant
from runtimes.specs.backtest import BacktestSpec
from topology.errors import UnknownNameError, did_you_mean, nearest

DAYS_PER_BAR = 1.6
"""Calendar days that surely hold one bar: 365 / 252 trading days, and some."""
DAYS_SPARE = 14


@dataclass(frozen=True, slots=True)
class Window:
    """The market of a run (T, N): bars before ``first`` are look-back only.

    ``benchmark`` (T,) are the closes of the spec's benchmark, NaN where it has no bar.
    ``unadjusted`` names symbols for which no adjustments are known.
    """

    market: Market
    symbols: tuple[str, ...]
    first: int
    benchmark: Floats | None = None
    unadjusted: tuple[str, ...] = ()


def pins(lake: Lake, spec: BacktestSpec) -> dict[str, str]:
    """Return the newest snapshot of every table whose content shapes the result."""
    table, adjusted = spec.data.table, spec.data.adjust != "none"
    return query.resolve(lake, [table], optional=companions(table, adjust=adjusted))


def checked_pins(lake: Lake, spec: BacktestSpec) -> dict[str, str]:
    """Return `pins` of a spec that passes `check`."""
    check(lake, spec)
    return pins(lake, spec)


def companions(table: str, *, adjust: bool) -> list[str]:
    """Return the tables that belong to ``table``, there or not: revisions and adjustments."""
    adjustments = [f"{table.partition('.')[0]}.adjustments"] if adjust else []
    return [f"{table}_revisions", *adjustments]


def symbols_of(spec: BacktestSpec) -> list[str]:
    """Return every symbol that is read: the universe and the benchmark, sorted."""
    return sorted({*spec.universe.symbols, *([spec.benchmark] if spec.benchmark else [])})


def check(lake: Lake, spec: BacktestSpec) -> None:
    """Raise unless the lake holds bars of every symbol and some inside the period.

    ``table_not_found`` and ``unknown_name`` carry the nearest names, ``empty_window`` the first
    and the last bar there is.
    """
    coverage = query.coverage(lake, spec.data.table)
    known = {row.vt_symbol: row for row in coverage}
    _refuse_unknown(spec, known)
    rows = [known[symbol] for symbol in spec.universe.symbols]
    first, last = min(row.first for row in rows), max(row.last for row in rows)
    if first.date() > spec.data.end or last.date() < spec.data.start:
        raise _empty(spec, first, last)


def window(lake: Lake, spec: BacktestSpec, *, snapshot_ids: Mapping[str, str]) -> Window:
    """Read the bars from the strategy's look-back before ``start`` to ``end``, both inclusive.

    Days are UTC days of the bars' ends. Where the table has fewer than one bar per trading day
    there may be less look-back than asked.
    """
    spare = math.ceil(spec.warmup * DAYS_PER_BAR) + DAYS_SPARE
    table = query.bars(
        lake,
        symbols_of(spec),
        spec.data.start - dt.timedelta(days=spare),
        spec.data.end,
        table=spec.data.table,
        adjust=spec.data.adjust,
        snapshot_ids=snapshot_ids,
    )
    lacking = (table.schema.metadata or {}).get(query.UNADJUSTED, b"").decode()
    return _cut(panel(table), spec, tuple(filter(None, lacking.split(","))))


def _cut(bars: Panel, spec: BacktestSpec, unadjusted: tuple[str, ...]) -> Window:
    """Split the benchmark off, drop bars that only it has, and keep the look-back asked for.

    A symbol of the universe without a bar keeps its column, all NaN: the engine names it.
    """
    order = {name: place for place, name in enumerate(bars.symbols)}
    places = np.array([order.get(name, -1) for name in spec.universe.symbols])
    traded = ~np.isnan(bars.close[:, places[places >= 0]]).all(axis=1)
    times = bars.timestamps[traded]
    start = np.datetime64(spec.data.start.isoformat(), "ns").astype(np.int64)
    first = int(np.searchsorted(times, start))
    if first == times.size:
        raise _empty(spec, None, None)
    begin = max(first - spec.warmup, 0)

    def kept(column: Floats, wanted: Ints) -> Floats:
        taken = column[traded][begin:][:, wanted]
        taken[:, wanted < 0] = np.nan
        return np.ascontiguousarray(taken)

    market = Market(
        times[begin:],
        *(kept(c, places) for c in (bars.open, bars.high, bars.low, bars.close, bars.volume)),
    )
    benchmark = None
    if spec.benchmark is not None:
        benchmark = kept(bars.close, np.array([order.get(spec.benchmark, -1)]))[:, 0]
    return Window(market, spec.universe.symbols, first - begin, benchmark, unadjusted)


def _refuse_unknown(spec: BacktestSpec, known: Mapping[str, object]) -> None:
    problems = [
        {
            "path": path,
            "value": symbol,
            "problem": f"{spec.data.table} has no bars of {symbol}.",
            "nearest": nearest(symbol, known),
        }
        for path, symbol in _named(spec)
        if symbol not in known
    ]
    if problems:
        raise UnknownNameError(
            str(problems[0]["problem"]),
            hint=did_you_mean(str(problems[0]["value"]), known),
            errors=problems,
        )


def _named(spec: BacktestSpec) -> list[tuple[str, str]]:
    named = [(f"universe.symbols[{i}]", symbol) for i, symbol in enumerate(spec.universe.symbols)]
    return [*named, *([("benchmark", spec.benchmark)] if spec.benchmark else [])]


def _empty(
    spec: BacktestSpec, first: dt.datetime | None, last: dt.datetime | None
) -> EmptyWindowError:
    known = {} if first is None or last is None else {"first": _text(first), "last": _text(last)}
    return EmptyWindowError(
        f"There is no bar between {spec.data.start} and {spec.data.end}.",
        hint=(
            f"Bars of these symbols run from {known['first']} to {known['last']}."
            if known
            else "describe_table shows the coverage."
        ),
        errors=[
            {"path": f"data.{name}", "value": str(day), "problem": "The data has no bar there."}
            for name, day in (("start", spec.data.start), ("end", spec.data.end))
        ],
        **known,
    )


def _text(moment: dt.datetime) -> str:
    return instant(int(np.datetime64(moment.replace(tzinfo=None), "ns").astype(np.int64)))
