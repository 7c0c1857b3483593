"""Bars for a backtest: which tables it reads, whether they hold what it asks, and the market."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa

from lakehouse import adjust, catalog, days, query
from lakehouse.lake import Lake
from lakehouse.panel import Panel, panel
from runtimes.backtest import factoring, inputs, surroundings, terms
from runtimes.backtest.universe import Cast, cast
from runtimes.engine.arrays import (
    ACTION,
    DELISTING,
    Conditions,
    Floats,
    Ints,
    Market,
    surrounded,
)
from runtimes.engine.errors import EmptyWindowError, instant
from runtimes.specs.backtest import BacktestSpec
from runtimes.specs.factors import SymbolFactors
from runtimes.specs.universe import Members
from runtimes.strategies.base import Flags, Reading, Told, View
from runtimes.words import FIRST_DAY
from topology.errors import BadInputError, UnknownNameError, did_you_mean, nearest

DAYS_PER_BAR = 1.6
"""Calendar days that surely hold one bar: 365 / 252 trading days, and some."""
DAYS_SPARE = 14


@dataclass(frozen=True, slots=True)
class Window:
    """The market of a run (T, N): bars before ``first`` are look-back only.

    ``benchmark`` (T,) are the closes of the spec's benchmark, NaN where it has no bar.
    ``unadjusted`` names symbols for which no adjustments are known, ``delisted`` those whose bars
    end before the others' and ``unquoted`` those without a quote where quotes are needed.
    ``member`` (T, N) says who belongs to a point-in-time universe when, None for a fixed list, and
    ``without_bars`` names members of whom the table never had a bar;
    ``panels`` are what the strategy asked for beside the bars, ``factors`` returns (T, K) that the
    result is explained by.
    """

    market: Market
    symbols: tuple[str, ...]
    first: int
    benchmark: Floats | None = None
    unadjusted: tuple[str, ...] = ()
    conditions: Conditions | None = None
    delisted: tuple[str, ...] = ()
    unquoted: tuple[str, ...] = ()
    member: Flags | None = None
    without_bars: tuple[str, ...] = ()
    panels: Mapping[Reading, Told] = field(default_factory=dict)
    factors: factoring.Explained | None = None

    @property
    def view(self) -> View:
        """Return what the strategy may look at."""
        return View(self.market, self.first, self.member, self.panels, self.symbols)


@dataclass(frozen=True, slots=True)
class Loaded:
    """What the lake holds for a run, before look-back is cut: bars, their factors, quotes.

    ``split`` and ``price`` (T, N) are the factors of raw bars, None where prices are adjusted;
    ``currencies`` what symbols are priced in.
    """

    bars: Panel
    unadjusted: tuple[str, ...]
    split: Floats | None = None
    price: Floats | None = None
    quotes: Floats | None = None
    currencies: Mapping[str, str] = field(default_factory=dict)


def pins(lake: Lake, spec: BacktestSpec) -> dict[str, str]:
    """Return the newest snapshot of every table whose content shapes the result."""
    wanted = [spec.data.table, *([quotes_of(spec)] if spec.needs_quotes else [])]
    if terms.rate_symbols(spec) and terms.table_of(spec) not in wanted:
        wanted.append(terms.table_of(spec))
    beside = [c for name in wanted for c in companions(name)]
    if isinstance(spec.universe, Members):
        wanted.append(spec.universes)
    found = query.resolve(lake, wanted, optional=beside)
    asked = inputs.pins(lake, spec.readings)
    for more in (asked, factoring.pins(lake, spec)):
        _refuse_two_pins(found, more)
        found = found | more
    return found


def checked_pins(lake: Lake, spec: BacktestSpec) -> dict[str, str]:
    """Return `pins` of a spec that passes `check`."""
    check(lake, spec)
    return pins(lake, spec)


def _refuse_two_pins(bars: Mapping[str, str], asked: Mapping[str, str]) -> None:
    """Raise where a strategy reads a table of the bars at another snapshot than they are read."""
    for table, pin in asked.items():
        if bars.get(table, pin) != pin:
            raise BadInputError(
                f"The strategy reads {table} at {pin}, the bars are read at {bars[table]}.",
                hint="Leave its snapshot_id out, or read a feature table.",
                table=table,
            )


def companions(table: str, *, adjust: bool = True) -> list[str]:
    """Return the tables that belong to ``table``, there or not: revisions and adjustments."""
    adjustments = [f"{table.partition('.')[0]}.adjustments"] if adjust else []
    return [f"{table}_revisions", *adjustments]


def quotes_of(spec: BacktestSpec) -> str:
    """Return the name of the table of quotes beside the bars."""
    return spec.data.table.replace(".bars_", ".quotes_")


def check(lake: Lake, spec: BacktestSpec) -> None:
    """Raise unless the lake holds bars of every symbol and some inside the period.

    ``table_not_found`` and ``unknown_name`` carry the nearest names, ``empty_window`` the first
    and the last bar there is.
    """
    coverage = query.coverage(lake, spec.data.table)
    known = {row.vt_symbol: row for row in coverage}
    refuse_unknown(spec.data.table, _named(spec), known)
    if spec.needs_quotes:
        _check_quotes(lake, spec)
    if rates := terms.rate_symbols(spec):
        held = {row.vt_symbol: row for row in query.coverage(lake, terms.table_of(spec))}
        refuse_unknown(terms.table_of(spec), rates, held)
    players = cast(lake, spec).symbols
    inputs.check(lake, spec.readings, players)
    factoring.check(lake, spec)
    rows = [known[symbol] for symbol in players if symbol in known]
    if not rows:
        raise empty(spec, None, None)
    first, last = min(row.first for row in rows), max(row.last for row in rows)
    if first.date() > spec.data.end or last.date() < spec.data.start:
        raise empty(spec, first, last)


def window(lake: Lake, spec: BacktestSpec, *, snapshot_ids: Mapping[str, str]) -> Window:
    """Read the bars from the strategy's look-back before ``start`` to ``end``, both inclusive.

    Days are UTC days of the bars' ends. Where the table has fewer than one bar per trading day
    there may be less look-back than asked.
    """
    players = cast(lake, spec, at=snapshot_ids.get(spec.universes))
    players, without = _with_bars(lake, spec, players, snapshot_ids)
    loaded = _loaded(lake, spec, players, snapshot_ids)
    found = _cut(loaded, spec, players)
    times = found.market.timestamps
    around = terms.agreed(
        lake,
        spec,
        surrounded(found.conditions),
        symbols=found.symbols,
        times=times,
        first=found.first,
        paid_in={
            name: loaded.currencies[name] for name in found.symbols if name in loaded.currencies
        },
        snapshot_ids=snapshot_ids,
    )
    told = {
        reading: inputs.read(lake, reading, snapshot_ids, symbols=players.symbols, times=times)
        for reading in spec.readings
    }
    explained = factoring.load(lake, spec, times, snapshot_ids=snapshot_ids)
    return replace(found, panels=told, without_bars=without, conditions=around, factors=explained)


def _with_bars(
    lake: Lake, spec: BacktestSpec, players: Cast, snapshot_ids: Mapping[str, str]
) -> tuple[Cast, tuple[str, ...]]:
    """Return the members that the table knows, and those of whom it never had a bar."""
    if players.stays is None:
        return players, ()
    table = spec.data.table
    held = {row.vt_symbol for row in query.coverage(lake, table, as_of=snapshot_ids[table])}
    known = tuple(symbol for symbol in players.symbols if symbol in held)
    return replace(players, symbols=known), tuple(sorted(set(players.symbols) - held))


def _loaded(
    lake: Lake, spec: BacktestSpec, players: Cast, snapshot_ids: Mapping[str, str]
) -> Loaded:
    read = sorted({*players.symbols, *([spec.benchmark] if spec.benchmark else [])})
    found = _read(lake, spec, spec.data.table, read, snapshot_ids)
    bars = panel(found)
    if spec.data.adjust == "none":
        factors = query.factors(lake, spec.data.table, bars.symbols, snapshot_ids=snapshot_ids)
        lacking = adjust.unadjusted(found, factors)
        return Loaded(
            bars,
            tuple(lacking),
            *surroundings.factors_at(found, factors, daily=days.daily(spec.data.table)),
            quotes=_quotes(lake, spec, bars, snapshot_ids),
            currencies=terms.currencies(found),
        )
    named = (found.schema.metadata or {}).get(query.UNADJUSTED, b"").decode()
    quotes = _quotes(lake, spec, bars, snapshot_ids)
    unadjusted = tuple(filter(None, named.split(",")))
    return Loaded(bars, unadjusted, quotes=quotes, currencies=terms.currencies(found))


def _quotes(
    lake: Lake, spec: BacktestSpec, bars: Panel, snapshot_ids: Mapping[str, str]
) -> Floats | None:
    if not spec.needs_quotes:
        return None
    found = _read(lake, spec, quotes_of(spec), bars.symbols, snapshot_ids)
    return surroundings.quoted(found, bars.timestamps, bars.symbols)


def _read(
    lake: Lake,
    spec: BacktestSpec,
    table: str,
    symbols: Sequence[str],
    snapshot_ids: Mapping[str, str],
) -> pa.Table:
    """Return bars of trades or quotes from the first day of look-back on."""
    back = math.ceil((spec.warmup + spec.impact_days) * DAYS_PER_BAR) + DAYS_SPARE
    begin = max(spec.data.start.toordinal() - back, FIRST_DAY.toordinal())
    return query.bars(
        lake,
        symbols,
        dt.date.fromordinal(begin),
        spec.data.end,
        table=table,
        adjust=spec.data.adjust,
        snapshot_ids=snapshot_ids,
    )


def _cut(loaded: Loaded, spec: BacktestSpec, players: Cast) -> Window:
    """Split the benchmark off, drop bars that only it has, and keep the look-back asked for.

    A symbol of the universe without a bar keeps its column, all NaN: the engine names it. The
    benchmark of raw prices is one whose dividends are reinvested.
    """
    bars = loaded.bars
    order = {name: place for place, name in enumerate(bars.symbols)}
    places = np.array([order.get(name, -1) for name in players.symbols])
    traded = ~np.isnan(bars.close[:, places[places >= 0]]).all(axis=1)
    times = bars.timestamps[traded]
    start = np.datetime64(spec.data.start.isoformat(), "ns").astype(np.int64)
    first = int(np.searchsorted(times, start))
    if first == times.size:
        raise empty(spec, None, None)
    begin = max(first - spec.warmup, 0)

    def kept(column: Floats, wanted: Ints = places) -> Floats:
        taken = column[..., traded, :][..., begin:, :][..., wanted]
        taken[..., wanted < 0] = np.nan
        return np.ascontiguousarray(taken)

    market = Market(
        times[begin:], *(kept(c) for c in (bars.open, bars.high, bars.low, bars.close, bars.volume))
    )
    benchmark = None
    if spec.benchmark is not None:
        closes = bars.close
        if loaded.split is not None and loaded.price is not None:
            closes = closes * loaded.split * loaded.price
        benchmark = kept(closes, np.array([order.get(spec.benchmark, -1)]))[:, 0]
    conditions = _conditions(loaded, spec, market, first - begin, kept)
    return Window(
        market,
        players.symbols,
        first - begin,
        benchmark,
        loaded.unadjusted,
        conditions,
        delisted=_delisted(players.symbols, conditions),
        unquoted=_unquoted(players.symbols, conditions),
        member=players.mask(market.timestamps, spec.data.table),
    )


def _conditions(
    loaded: Loaded,
    spec: BacktestSpec,
    market: Market,
    first: int,
    kept: Callable[[Floats], Floats],
) -> Conditions:
    """Return what surrounds the bars of ``market``, which are those that ``kept`` keeps."""
    bars, none = loaded.bars, np.zeros((0, 0, 0))
    impact, events = none, np.zeros(0, ACTION)
    if spec.impact_days:
        impact = kept(
            surroundings.impact(bars.timestamps, bars.close, bars.volume, days=spec.impact_days)
        )
    if loaded.split is not None and loaded.price is not None:
        split, price = kept(loaded.split), kept(loaded.price)
        events = surroundings.actions(market.close, split, price, first=first)
    quotes = none if loaded.quotes is None else kept(loaded.quotes)
    return Conditions(np.zeros(0, np.int64), quotes, impact, events)


def _delisted(symbols: Sequence[str], conditions: Conditions) -> tuple[str, ...]:
    ended = conditions.actions["symbol"][conditions.actions["kind"] == DELISTING]
    return tuple(symbols[i] for i in np.unique(ended).tolist())


def _unquoted(symbols: Sequence[str], conditions: Conditions) -> tuple[str, ...]:
    if not conditions.quotes.size:
        return ()
    none = np.isnan(conditions.quotes).all(axis=(0, 1))
    return tuple(symbols[i] for i in np.flatnonzero(none).tolist())


def _without_quotes(spec: BacktestSpec) -> UnknownNameError:
    path, value = "slippage.model", str(spec.execution.slippage.model)
    instead = ["bps", "volume_share", "square_root"]
    if spec.execution.fill == "quote_side":
        path, value, instead = "fill", "quote_side", ["next_open", "next_close"]
    problem = f"{value} needs quotes, but there is no table {quotes_of(spec)}."
    error = {"path": f"execution.{path}", "value": value, "problem": problem, "nearest": instead}
    return UnknownNameError(
        problem,
        hint=f"Ingest quotes into it, or choose another one: {', '.join(instead)}.",
        errors=[error],
    )


def _check_quotes(lake: Lake, spec: BacktestSpec) -> None:
    table = quotes_of(spec)
    if catalog.find(lake, table) is None:
        raise _without_quotes(spec)
    quoted = {row.vt_symbol: row for row in query.coverage(lake, table)}
    refuse_unknown(table, _traded(spec), quoted)


def refuse_unknown(table: str, named: list[tuple[str, str]], known: Mapping[str, object]) -> None:
    """Raise `UnknownNameError` for the symbols of ``named`` (path, symbol) that are not known."""
    problems = [
        {
            "path": path,
            "value": symbol,
            "problem": f"{table} has no bars of {symbol}.",
            "nearest": nearest(symbol, known),
        }
        for path, symbol in named
        if symbol not in known
    ]
    if problems:
        raise UnknownNameError(
            str(problems[0]["problem"]),
            hint=did_you_mean(str(problems[0]["value"]), known),
            errors=problems,
        )


def _named(spec: BacktestSpec) -> list[tuple[str, str]]:
    explained = spec.factors.symbols if isinstance(spec.factors, SymbolFactors) else ()
    return [
        *_traded(spec),
        *([("benchmark", spec.benchmark)] if spec.benchmark else []),
        *((f"factors.symbols[{i}]", symbol) for i, symbol in enumerate(explained)),
    ]


def _traded(spec: BacktestSpec) -> list[tuple[str, str]]:
    if isinstance(spec.universe, Members):
        return []  # of members without bars the result says so
    return [(f"universe.symbols[{i}]", symbol) for i, symbol in enumerate(spec.universe.symbols)]


def empty(
    spec: BacktestSpec, first: dt.datetime | None, last: dt.datetime | None
) -> EmptyWindowError:
    """Return the error of a period without bars; ``first`` and ``last`` are what there is."""
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
