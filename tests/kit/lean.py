"""Lean's regression cases and the real bars they ran on, read from the development data."""

from __future__ import annotations

import csv
import datetime as dt
import json
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any, cast
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from runtimes.backtest import lean
from runtimes.engine.arrays import ACTION, DIVIDEND, SPLIT, Floats, Ints, Market, Records
from runtimes.engine.lean import sampling
from runtimes.engine.lean.data import LeanData
from runtimes.engine.lean.profile import NO_BENCHMARK
from runtimes.engine.lean.running import LeanOutcome
from runtimes.engine.lean.statistics import Rates
from runtimes.engine.script import Script
from runtimes.specs.backtest import BacktestSpec
from runtimes.specs.base import parse

ZONE = ZoneInfo("America/New_York")
FILES = {"daily": "equity_daily", "hour": "equity_hour", "minute": "equity_minute_trade"}
LENGTH = {"daily": 24 * 60, "hour": 60, "minute": 1}
CLOSE = dt.time(16)
BAR = {"daily": "1d", "hour": "1h", "minute": "1m"}
CONTINUOUS = {"COINBASE": "crypto_coinbase", "OANDA": "forex_oanda", "BITFINEX": "crypto_bitfinex"}
"""Files of markets that never close, by the exchange of a symbol."""
PRICES = ("open", "high", "low", "close")
QUOTES = [f"{side}_{price}" for side in ("bid", "ask") for price in PRICES]


@dataclass(frozen=True, slots=True)
class Bars:
    """Bars of one symbol by their end (ns UTC), prices adjusted to the newest date."""

    times: Ints
    open: Floats
    high: Floats
    low: Floats
    close: Floats


@cache
def cases(folder: Path) -> dict[str, dict[str, Any]]:
    """Return Lean's cases by name."""
    found = json.loads((folder / "lean_cases_dev.json").read_text())["cases"]
    return {
        case["name"].removesuffix("Algorithm").removesuffix("Regression"): case for case in found
    }


@cache
def factors(folder: Path) -> dict[str, list[tuple[dt.date, float]]]:
    """Return price factor times split factor by symbol, each valid to its date inclusive."""
    found: dict[str, list[tuple[dt.date, float]]] = {}
    with (folder / "equity_factor_files.csv").open() as lines:
        for row in csv.DictReader(lines):
            day = dt.datetime.strptime(row["date"], "%Y%m%d").date()  # noqa: DTZ007
            factor = float(row["price_factor"]) * float(row["split_factor"])
            found.setdefault(row["symbol"], []).append((day, factor))
    return found


@cache
def table(folder: Path, file: str, symbol: str) -> pa.Table:
    """Return the rows of a symbol."""
    return pq.read_table(folder / f"{file}.parquet", filters=[("symbol", "=", symbol)])


@cache
def ends(folder: Path, file: str, symbol: str) -> tuple[Ints, Ints, Floats]:
    """Return the regular session's bars of a symbol: rows, ends in ns UTC, adjusting factors."""
    starts = table(folder, file, symbol)["time"].to_numpy().astype("datetime64[m]")
    days = starts.astype("datetime64[D]")
    resolution = next(name for name, minutes in LENGTH.items() if name in file)
    local = starts + LENGTH[resolution]
    if resolution == "daily":
        local = days.astype("datetime64[m]") + 16 * 60
    clock = (local - days).astype(int)
    rows = np.flatnonzero((clock > 9 * 60 + 30) & (clock <= 16 * 60))
    zoned = pc.assume_timezone(pa.array(local[rows].astype("datetime64[ns]")), str(ZONE))
    found = factors(folder)
    known = found.get(symbol) or found.get(f"{symbol}.1", [])  # a ticker used again: VXX
    dates = np.array([day for day, _ in known], dtype="datetime64[D]")
    factor = np.array([*(value for _, value in known), 1.0])[np.searchsorted(dates, days[rows])]
    return rows, np.asarray(zoned.cast(pa.int64())), factor


@cache
def bars(
    folder: Path, symbol: str, resolution: str, first: dt.date, last: dt.date, *, raw: bool = False
) -> Bars:
    """Return the regular session's bars between two days, adjusted unless ``raw``."""
    file = FILES[resolution]
    times, columns = columns_of(folder, file, symbol, first, last, PRICES, raw=raw)
    return Bars(times, *columns)


def columns_of(
    folder: Path,
    file: str,
    symbol: str,
    first: dt.date,
    last: dt.date,
    names: Sequence[str],
    *,
    raw: bool = False,
) -> tuple[Ints, list[Floats]]:
    """Return the ends and the named columns of a symbol's bars between two days."""
    rows, times, factor = ends(folder, file, symbol)
    start, stop = (sampling.midnight(day) for day in (first, last + dt.timedelta(days=1)))
    inside = (times > start) & (times <= stop)
    scale = np.ones(int(inside.sum())) if raw else factor[inside]
    held = table(folder, file, symbol)
    return times[inside], [held[name].to_numpy()[rows[inside]] * scale for name in names]


def data(
    folder: Path,
    symbols: Sequence[str],
    resolution: str,
    first: dt.date,
    last: dt.date,
    *,
    raw: bool = False,
) -> LeanData:
    """Return the bars, and for minutes the quotes, of equities between two days."""
    ordered = sorted(symbols)
    held = [bars(folder, symbol, resolution, first, last, raw=raw) for symbol in ordered]
    rows = steps(folder, resolution, first, last) or [one.times for one in held]
    times = np.unique(np.concatenate(rows))
    prices = [aligned(times, [(one.times, getattr(one, name)) for one in held]) for name in PRICES]
    quotes = None
    if resolution == "minute":
        sides = [
            columns_of(folder, "equity_minute_quote", symbol, first, last, QUOTES, raw=raw)
            for symbol in ordered
        ]
        quotes = np.stack([aligned(times, [(at, side[k]) for at, side in sides]) for k in range(8)])
    market = market_of(times, prices)
    return LeanData(ordered, market, quotes)


def steps(folder: Path, resolution: str, first: dt.date, last: dt.date) -> list[Ints]:
    """Return when bars end on each day that SPY traded: Lean carries on where data ends early."""
    if resolution != "minute":
        return []
    _, times, _ = ends(folder, "equity_hour", "SPY")
    start, stop = (sampling.midnight(day) for day in (first, last + dt.timedelta(days=1)))
    closes: dict[dt.date, int] = {}
    for at in times[(times > start) & (times < stop)].tolist():
        closes[dt.datetime.fromtimestamp(at / 1e9, ZONE).date()] = at
    opened = dt.time(9, 31)
    return [
        np.arange(
            instant(dt.datetime.combine(day, opened, ZONE)), close + 1, sampling.MINUTE_NS
        ).astype(np.int64)
        for day, close in closes.items()
    ]


def market_of(times: Ints, prices: Sequence[Floats]) -> Market:
    """Return bars from (open, high, low, close), each (T, N), without volumes."""
    open_, high, low, close = prices
    return Market(times, open_, high, low, close, np.ones(close.shape))


def aligned(times: Ints, columns: Sequence[tuple[Ints, Floats]]) -> Floats:
    """Return (T, N): each column at its own times, NaN elsewhere."""
    found = np.full((times.size, len(columns)), np.nan)
    for place, (at, values) in enumerate(columns):
        known = np.isin(at, times)
        found[np.searchsorted(times, at[known]), place] = values[known]
    return found


@cache
def events(folder: Path, symbol: str) -> list[tuple[dt.date, int, float]]:
    """Return (last day before it, kind, value) of each dividend and split, from the factors.

    A dividend is cash a share, a split the factor on the price.
    """
    with (folder / "equity_factor_files.csv").open() as lines:
        rows = [row for row in csv.DictReader(lines) if row["symbol"] == symbol]
    found = []
    for row, following in pairwise(rows):
        day = dt.datetime.strptime(row["date"], "%Y%m%d").date()  # noqa: DTZ007
        paid = 1.0 - float(row["price_factor"]) / float(following["price_factor"])
        factor = float(row["split_factor"]) / float(following["split_factor"])
        cash = round(float(row["reference_price"]) * paid, 2)
        found += [(day, DIVIDEND, cash)] if cash else []
        found += [(day, SPLIT, factor)] if factor != 1.0 else []
    return found


def instant(moment: dt.datetime) -> int:
    """Return ns UTC."""
    return int(moment.timestamp()) * 10**9


def number(text: str) -> float:
    """Return the number in a figure as Lean prints it."""
    return float(text.strip("$%"))


def expected(folder: Path, name: str) -> dict[str, float]:
    """Return the 24 figures that Lean printed for a case."""
    told = cases(folder)[name]["expected"]
    return {key: number(text) for key, text in told.items() if key != "Start Equity"}


def benchmark(folder: Path) -> tuple[Ints, Floats]:
    """Return SPY's hourly closes, adjusted."""
    held = bars(folder, "SPY", "hour", dt.date(1998, 1, 1), dt.date(2021, 12, 31))
    return held.times, held.close


def spec_of(folder: Path, name: str, **changes: Any) -> BacktestSpec:
    """Return the public spec of a case: what the file tells of it, and ``changes`` by block."""
    told = cases(folder)[name]
    market = "COINBASE" if "crypto" in told["data_files"][0] else "USA"
    market = "OANDA" if "forex" in told["data_files"][0] else market
    raw = told["normalization"].startswith("raw")
    blocks: dict[str, Any] = {
        "data": {
            "table": f"alphaswarm_silver_market.bars_{BAR[told['resolution']]}",
            "start": told["start"],
            "end": told["end"],
            "adjust": "none" if raw else "total",
        },
        "portfolio": {"cash": told["starting_cash"]},
        "execution": {"rules": "lean_2026"},
    }
    if not isinstance(told["leverage"], str):
        blocks["portfolio"]["leverage"] = told["leverage"]
    for block, keys in changes.items():
        blocks[block] = {**blocks[block], **keys} if block in blocks else keys
    account = {"risk_free": steps_of(folder)} | blocks["execution"].get("lean", {})
    blocks["execution"] = {**blocks["execution"], "lean": account}
    return spec([f"{symbol}.{market}" for symbol in told["symbols"]], **blocks)


def spec(symbols: Sequence[str], **blocks: Any) -> BacktestSpec:
    """Return a spec by Lean's rules; its strategy is a placeholder where a test brings a script."""
    body = {
        "kind": "backtest",
        "name": "lean",
        "universe": {"symbols": list(symbols)},
        "strategy": {"name": "buy_and_hold"},
        "benchmark": "SPY.USA",
    }
    return cast("BacktestSpec", parse("backtest", body | blocks))


def steps_of(folder: Path) -> list[dict[str, Any]]:
    """Return the US primary credit rate as a spec's ``risk_free``."""
    with (folder / "interest_rate_usa.csv").open() as lines:
        return [
            {"since": row["date"], "percent": float(row["primary_credit_rate_pct"])}
            for row in csv.DictReader(lines)
        ]


def rates(folder: Path) -> Rates:
    """Return the US primary credit rate as the engine takes it."""
    return lean.rates_of(spec_of(folder, "BasicTemplate"))


def play(folder: Path, spec: BacktestSpec, script: Script, *, look_back: int = 0) -> LeanOutcome:
    """Run ``script`` by ``spec`` on the development data, ``look_back`` days of it before."""
    hours = NO_BENCHMARK if spec.benchmark is None else benchmark(folder)
    return lean.run(spec, script, data_of(folder, spec, look_back=look_back), benchmark=hours)


def data_of(folder: Path, spec: BacktestSpec, *, look_back: int = 0) -> LeanData:
    """Return the bars of a spec, from ``look_back`` days before its start on."""
    symbols = spec.looked()["symbols"]
    resolution = next(name for name, bar in BAR.items() if spec.data.table.endswith(bar))
    market = symbols[0].rpartition(".")[2]
    if market in CONTINUOUS:
        return continuous(folder, spec, market, resolution)
    first = spec.data.start - dt.timedelta(days=look_back)
    tickers = [symbol.rpartition(".")[0] for symbol in symbols]
    raw = spec.data.adjust == "none"
    found = data(folder, tickers, resolution, first, spec.data.end, raw=raw)
    events = actions(folder, found.symbols, found.market.timestamps) if raw else None
    return replace(found, symbols=symbols, actions=events)


def actions(folder: Path, symbols: Sequence[str], times: Ints) -> Records:
    """Return the symbols' corporate actions, due before the bar after their day."""
    days = [dt.datetime.fromtimestamp(at / 1e9, ZONE).date() for at in times.tolist()]
    due = [
        (bisect_right(days, before), place, kind, value)
        for place, symbol in enumerate(symbols)
        for before, kind, value in events(folder, symbol)
        if days[0] <= before < days[-1]
    ]
    return np.array(sorted(due), dtype=ACTION)


def continuous(folder: Path, spec: BacktestSpec, market: str, resolution: str) -> LeanData:
    """Return the bars of a market that never closes: quotes, and trades where there are any."""
    symbols = spec.looked()["symbols"]
    first = sampling.midnight(spec.data.start)
    last = sampling.midnight(spec.data.end + dt.timedelta(days=1))
    step = LENGTH[resolution] * sampling.MINUTE_NS

    def bars_of(kind: str, symbol: str, names: Sequence[str]) -> tuple[Ints, list[Floats]]:
        file = f"{CONTINUOUS[market]}_{resolution}_{kind}"
        if not (folder / f"{file}.parquet").exists():
            return np.zeros(0, np.int64), [np.zeros(0)] * len(names)
        held = table(folder, file, symbol.rpartition(".")[0])
        starts = held["time"].to_numpy().astype("datetime64[ns]").astype(np.int64)
        rows = (starts + step >= first) & (starts < last)
        return starts[rows] + step, [held[name].to_numpy()[rows] for name in names]

    sides = [bars_of("quote", symbol, QUOTES) for symbol in symbols]
    trades = [bars_of("trade", symbol, PRICES) for symbol in symbols]
    times = np.unique(np.concatenate([at for at, _ in (*sides, *trades)]))

    def column(found: list[tuple[Ints, list[Floats]]], k: int) -> Floats:
        return aligned(times, [(at, values[k]) for at, values in found])

    quoted = np.stack([column(sides, k) for k in range(len(QUOTES))])
    return LeanData(
        symbols,
        market_of(times, [column(trades, k) for k in range(len(PRICES))]),
        None if np.isnan(quoted).all() else quoted,
        continuous=True,
        every=step,
    )
