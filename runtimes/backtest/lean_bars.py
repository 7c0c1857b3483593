"""What the lake holds for a run by Lean's rules: bars and quotes of the session, and the benchmark.

Lean lives in New York: days are days there, sessions of stocks are the regular ones, and the
benchmark is read by the hour whatever the strategy trades on.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from lakehouse import calendars, catalog, days, query
from lakehouse.lake import Lake
from lakehouse.panel import Panel, panel
from runtimes.backtest import bars, factoring, surroundings
from runtimes.engine.arrays import DIVIDEND, SPLIT, Floats, Ints, Market, Records
from runtimes.engine.lean.data import LeanData
from runtimes.engine.lean.sampling import MINUTE_NS, ZONE, midnight
from runtimes.specs.backtest import BacktestSpec
from runtimes.specs.universe import Members
from topology.errors import InvalidSpecError
from topology.symbols import Symbol

Benchmark = tuple[Ints, Floats]
NO_BENCHMARK: Benchmark = (np.zeros(1, np.int64), np.zeros(1))
"""One that never moves."""
STEP_NS = {"1d": 1_440 * MINUTE_NS, "1h": 60 * MINUTE_NS, "1m": MINUTE_NS}
DAY = dt.timedelta(days=1)
OPENS, CLOSES = 9 * 60 + 30, 16 * 60
"""The regular session of US stocks, in minutes of New York's day."""
AMERICAN = "XNYS"
US_MARKET = "USA"
"""Lean's name of the market of US stocks; a symbol whose exchange nobody knows has it."""


@dataclass(frozen=True, slots=True)
class LeanWindow:
    """The bars of a run by Lean's rules and the hourly closes of its benchmark."""

    data: LeanData
    benchmark: Benchmark
    unadjusted: tuple[str, ...] = ()


def tables(spec: BacktestSpec) -> list[str]:
    """Return the tables that a run needs."""
    return sorted({spec.data.table, *([_hours(spec)] if spec.benchmark else [])})


def pins(lake: Lake, spec: BacktestSpec) -> dict[str, str]:
    """Return the newest snapshot of every table whose content shapes the result."""
    quotes = [bars.quotes_of(spec)]
    needed = tables(spec)
    beside = [c for name in (*needed, *quotes) for c in bars.companions(name)]
    found = query.resolve(lake, needed, optional=[*quotes, *beside])
    return found | factoring.pins(lake, spec)


def check(lake: Lake, spec: BacktestSpec) -> None:
    """Raise unless the lake holds bars of every symbol, of one kind of market, in the period."""
    always_open(spec)
    bars.check(lake, spec.model_copy(update={"benchmark": None}))
    if spec.benchmark is None:
        return
    table = _hours(spec)
    if catalog.find(lake, table) is None:
        problem = f"Lean reads the benchmark by the hour, but there is no table {table}."
        raise _refused("benchmark", spec.benchmark, problem, "Ingest its hours, or set it to null.")
    known = {row.vt_symbol: row for row in query.coverage(lake, table)}
    bars.refuse_unknown(table, [("benchmark", spec.benchmark)], known)


def always_open(spec: BacktestSpec) -> bool:
    """Tell whether the symbols' markets never close; a mixture raises `InvalidSpecError`."""
    symbols = _symbols(spec)
    kinds = {symbol: _calendar(symbol) in (calendars.ALWAYS, calendars.FOREX) for symbol in symbols}
    if len(set(kinds.values())) > 1:
        odd = next(symbol for symbol in symbols if kinds[symbol] != kinds[symbols[0]])
        raise _refused(
            f"universe.symbols[{symbols.index(odd)}]",
            odd,
            f"{odd} and {symbols[0]} trade in markets of which one closes and one does not.",
            "Run them apart.",
        )
    return kinds[symbols[0]]


def window(lake: Lake, spec: BacktestSpec, *, snapshot_ids: Mapping[str, str]) -> LeanWindow:
    """Read the bars from the look-back before ``start`` to ``end``, days of New York, inclusive."""
    continuous = always_open(spec)
    traded = _read(lake, spec, spec.data.table, _symbols(spec), snapshot_ids)
    named = (traded.schema.metadata or {}).get(query.UNADJUSTED, b"").decode()
    quotes = _quotes(lake, spec, snapshot_ids, continuous=continuous)
    hours = _benchmark(lake, spec, snapshot_ids)
    held = _regular(panel(traded))
    times = held.timestamps
    if quotes is not None:
        times = np.union1d(times, _inside(_symbols(spec), _instants(quotes)))
    if not continuous and _bar(spec) == "1m":
        times = np.union1d(times, _every_minute(hours[0], times))
    times = _kept(spec, times, held)
    data = LeanData(
        _symbols(spec),
        _aligned(held, times, _symbols(spec)),
        None if quotes is None else surroundings.quoted(quotes, times, _symbols(spec)),
        continuous=continuous,
        every=STEP_NS[_bar(spec)] if continuous else None,
    )
    if spec.data.adjust == "none":
        data = replace(data, actions=_actions(lake, spec, data, snapshot_ids))
    return LeanWindow(data, hours, tuple(filter(None, named.split(","))))


def _symbols(spec: BacktestSpec) -> tuple[str, ...]:
    """Return the list of symbols, which Lean's rules require."""
    return () if isinstance(spec.universe, Members) else spec.universe.symbols


def _bar(spec: BacktestSpec) -> str:
    return spec.data.table.rpartition("_")[2]


def _hours(spec: BacktestSpec) -> str:
    return f"{spec.data.table.partition('.')[0]}.bars_1h"


def _calendar(symbol: str) -> str:
    return calendars.name(Symbol.parse(symbol).exchange)


def _read(
    lake: Lake,
    spec: BacktestSpec,
    table: str,
    symbols: Sequence[str],
    snapshot_ids: Mapping[str, str],
) -> pa.Table:
    back = math.ceil(spec.warmup * bars.DAYS_PER_BAR) + bars.DAYS_SPARE
    return query.bars(
        lake,
        symbols,
        spec.data.start - dt.timedelta(days=back),
        spec.data.end + DAY,
        table=table,
        adjust=spec.data.adjust,
        snapshot_ids=snapshot_ids,
    )


def _quotes(
    lake: Lake, spec: BacktestSpec, snapshot_ids: Mapping[str, str], *, continuous: bool
) -> pa.Table | None:
    """Return the quotes where Lean would subscribe to them and the lake has some."""
    table = bars.quotes_of(spec)
    if table not in snapshot_ids or not (continuous or _bar(spec) == "1m"):
        return None
    known = {row.vt_symbol for row in query.coverage(lake, table, as_of=snapshot_ids[table])}
    symbols = [symbol for symbol in _symbols(spec) if symbol in known]
    return _read(lake, spec, table, symbols, snapshot_ids) if symbols else None


def _benchmark(lake: Lake, spec: BacktestSpec, snapshot_ids: Mapping[str, str]) -> Benchmark:
    """Return ends and closes of the benchmark's hours, dividends reinvested."""
    if spec.benchmark is None:
        return NO_BENCHMARK
    total = spec.model_copy(update={"data": spec.data.model_copy(update={"adjust": "total"})})
    found = _read(lake, total, _hours(spec), [spec.benchmark], snapshot_ids)
    held = _regular(panel(found))
    return held.timestamps, held.close[:, 0]


def _regular(held: Panel) -> Panel:
    """Leave out bars that US stocks have before and after the regular session."""
    inside = np.isin(held.timestamps, _inside(held.symbols, held.timestamps))
    columns = (held.open, held.high, held.low, held.close, held.volume)
    return Panel(held.timestamps[inside], held.symbols, *(c[inside] for c in columns))


def _inside(symbols: Sequence[str], times: Ints) -> Ints:
    """Return those of ``times`` that lie in the regular session, of other markets all."""
    if any(_calendar(symbol) not in (AMERICAN, US_MARKET) for symbol in symbols):
        return times
    clock = _clock(times)
    return times[(clock > OPENS) & (clock <= CLOSES)]


def _clock(times: Ints) -> Ints:
    """Return the minute of New York's day of each instant."""
    local = pa.array(times, pa.timestamp("ns", tz=str(ZONE)))
    there = pa.compute.local_timestamp(local).cast(pa.int64()).to_numpy()
    return np.asarray(there // MINUTE_NS % 1_440)


def _instants(found: pa.Table) -> Ints:
    return np.unique(found.column("timestamp").cast(pa.int64()).to_numpy()) * 1_000


def _every_minute(hours: Ints, times: Ints) -> Ints:
    """Return each minute of the sessions in which the benchmark traded: Lean carries on there."""
    inside = hours[(hours > times[0] - DAY_NS) & (hours < times[-1] + DAY_NS)] if times.size else []
    closes: dict[dt.date, int] = {}
    for at in np.asarray(inside, dtype=np.int64).tolist():
        closes[dt.datetime.fromtimestamp(at / 1e9, ZONE).date()] = at
    opened = dt.timedelta(minutes=OPENS + 1)
    rows = [
        np.arange(midnight(day) + int(opened.total_seconds()) * 10**9, close + 1, MINUTE_NS)
        for day, close in closes.items()
    ]
    return np.concatenate([np.zeros(0, np.int64), *rows]).astype(np.int64)


def _kept(spec: BacktestSpec, times: Ints, held: Panel) -> Ints:
    """Return the instants of the run and of as much look-back as the strategy asks for."""
    first, stop = midnight(spec.data.start), midnight(spec.data.end + DAY)
    before = held.timestamps[held.timestamps <= first][max(-spec.warmup, -held.timestamps.size) :]
    begin = int(before[0]) - 1 if before.size else first
    chosen = times[(times > begin) & (times <= stop)]
    if not (chosen > first).any():
        raise bars.empty(spec, None, None)
    return chosen


def _aligned(held: Panel, times: Ints, symbols: Sequence[str]) -> Market:
    """Return the bars (T, N) of ``symbols`` at ``times``, NaN where there is none."""
    rows, at = np.isin(held.timestamps, times), np.searchsorted(times, held.timestamps)
    places = np.array([symbols.index(symbol) for symbol in held.symbols], dtype=np.int64)

    def spread(column: Floats) -> Floats:
        grid = np.full((times.size, len(symbols)), np.nan)
        grid[np.ix_(at[rows], places)] = column[rows]
        return grid

    columns = (held.open, held.high, held.low, held.close, held.volume)
    return Market(times, *(spread(column) for column in columns))


def _actions(
    lake: Lake, spec: BacktestSpec, data: LeanData, snapshot_ids: Mapping[str, str]
) -> Records:
    """Return dividends, in whole cents a share, and splits of raw bars, due before the next bar."""
    factors = query.factors(lake, spec.data.table, data.symbols, snapshot_ids=snapshot_ids)
    raw = _read(lake, spec, spec.data.table, data.symbols, snapshot_ids)
    split, price = surroundings.factors_at(raw, factors, daily=days.daily(spec.data.table))
    held = panel(raw)
    place = [held.symbols.index(s) if s in held.symbols else -1 for s in data.symbols]
    rows = np.searchsorted(held.timestamps, data.market.timestamps)
    rows = np.minimum(rows, held.timestamps.size - 1)
    found = surroundings.actions(
        data.market.close, split[rows][:, place], price[rows][:, place], first=0
    )
    kept = found[np.isin(found["kind"], (DIVIDEND, SPLIT))].copy()
    paid = kept["kind"] == DIVIDEND
    kept["value"][paid] = np.round(kept["value"][paid], 2)
    return kept


def _refused(path: str, value: object, problem: str, hint: str) -> InvalidSpecError:
    errors = [{"path": path, "value": value, "problem": problem}]
    return InvalidSpecError(problem, hint=hint, errors=errors)


DAY_NS = 86_400 * 10**9
