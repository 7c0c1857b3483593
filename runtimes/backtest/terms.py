"""On what terms symbols trade: sessions, pieces, price steps, and what their money is worth."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa

from lakehouse import days, query
from lakehouse.lake import Lake
from lakehouse.panel import panel
from runtimes.engine.arrays import (
    FIRST_OF_SESSION,
    LAST_OF_SESSION,
    TERMS,
    Conditions,
    Floats,
    Ints,
    Records,
    named,
)
from runtimes.engine.errors import instant
from runtimes.specs.backtest import BacktestSpec
from runtimes.specs.execution import Portfolio
from runtimes.specs.terms import inverse
from topology.errors import InvalidSpecError
from topology.symbols import Symbol

RATE_DAYS = 14
"""How long before a run's first bar a rate may have been the last one, in days."""


def table_of(spec: BacktestSpec) -> str:
    """Return the table that exchange rates come from."""
    return spec.portfolio.rates_table or spec.data.table


def rate_symbols(spec: BacktestSpec) -> list[tuple[str, str]]:
    """Return the path in the spec and the symbol of every rate that is read."""
    rates = sorted(spec.portfolio.rates.items())
    return [(f"portfolio.rates.{name}", rate) for name, rate in rates if isinstance(rate, str)]


def currencies(bars: pa.Table) -> dict[str, str]:
    """Return the currency of each symbol of a table of bars; two for one symbol are refused."""
    pairs = bars.select(["vt_symbol", "currency"]).group_by(["vt_symbol", "currency"]).aggregate([])
    found: dict[str, str] = {}
    for symbol, currency in sorted(zip(*(c.to_pylist() for c in pairs.columns), strict=True)):
        if found.setdefault(symbol, currency) != currency:
            raise InvalidSpecError(
                f"The prices of {symbol} change from one currency to another in this period.",
                hint="Choose a period on one side of the change.",
                symbol=symbol,
                currencies=sorted({currency, found[symbol]}),
            )
    return found


def agreed(
    lake: Lake,
    spec: BacktestSpec,
    conditions: Conditions,
    *,
    symbols: Sequence[str],
    times: Ints,
    first: int,
    paid_in: Mapping[str, str],
    snapshot_ids: Mapping[str, str],
) -> Conditions:
    """Return ``conditions`` with sessions, terms and rates of bars at ``times`` (T,).

    ``paid_in`` is the currency of each symbol. A foreign one without a rate in the spec, or without
    one at bar ``first``, raises ``invalid_spec``.
    """
    own = spec.portfolio.currency
    foreign = sorted({paid_in.get(symbol, own) for symbol in symbols} - {own})
    _refuse_missing(spec, foreign, paid_in)
    read = _read(lake, spec, foreign, times, snapshot_ids)
    columns = [rate_at(spec.portfolio, name, read, times) for name in foreign]
    rates = np.stack(columns, axis=1) if columns else np.zeros((0, 0))
    _refuse_late(foreign, rates, times, first)
    return conditions._replace(
        flags=np.zeros(0, np.int64) if days.daily(spec.data.table) else sessions(times, symbols),
        terms=terms(spec.portfolio, symbols, [paid_in.get(name, own) for name in symbols], foreign),
        rates=rates,
    )


def sessions(times: Ints, symbols: Sequence[str]) -> Ints:
    """Return the session marks (T,) of bars by their end, ns UTC.

    A session is the trading day of the exchange of the first symbol, of a universe the first by
    name: bars of several exchanges are on one calendar.
    """
    ends = pa.array(times // 1_000, pa.timestamp("us", tz="UTC"))
    day = days.local(ends, days.clock(Symbol.parse(symbols[0]).exchange), daily=False)
    changes = np.flatnonzero(np.diff(day)) + 1
    marks = np.zeros(times.size, dtype=np.int64)
    marks[np.concatenate([[0], changes])] |= FIRST_OF_SESSION
    marks[np.concatenate([changes - 1, [times.size - 1]])] |= LAST_OF_SESSION
    return marks


def terms(
    portfolio: Portfolio, symbols: Sequence[str], paid_in: Sequence[str], foreign: Sequence[str]
) -> Records:
    """Return the terms (N,) of ``symbols``; size 0 where all trade on the account's own."""
    plain = not (portfolio.lot or portfolio.lots or portfolio.tick or portfolio.ticks or foreign)
    rows = np.zeros(0 if plain else len(symbols), TERMS)
    if not plain:
        usual = portfolio.lot or (0.0 if portfolio.fractional else 1.0)
        places = {name: place + 1 for place, name in enumerate(foreign)}
        rows["lot"] = [portfolio.lots.get(symbol, usual) for symbol in symbols]
        rows["tick"] = [portfolio.ticks.get(symbol, portfolio.tick) for symbol in symbols]
        rows["currency"] = [places.get(currency, 0) for currency in paid_in]
    return named(rows)


def rate_at(
    portfolio: Portfolio, currency: str, read: Mapping[str, tuple[Ints, Floats]], times: Ints
) -> Floats:
    """Return what a unit of ``currency`` was worth at each of ``times`` (T,), NaN before the first.

    It is the last close at or before each time, or the number that the spec says.
    """
    rate = portfolio.rates[currency]
    if not isinstance(rate, str):
        return np.full(times.size, float(rate))
    known, closes = read[rate]
    rows = np.searchsorted(known, times, side="right") - 1
    found: Floats = np.full(times.size, np.nan)
    found[rows >= 0] = closes[rows[rows >= 0]]
    return 1.0 / found if inverse(rate, currency, portfolio.currency) else found


def _read(
    lake: Lake,
    spec: BacktestSpec,
    foreign: Sequence[str],
    times: Ints,
    snapshot_ids: Mapping[str, str],
) -> dict[str, tuple[Ints, Floats]]:
    """Return times and closes of every rate that is a symbol."""
    rates = spec.portfolio.rates
    wanted = sorted({rate for name in foreign if isinstance(rate := rates[name], str)})
    if not wanted:
        return {}
    start = np.datetime64(int(times[0]), "ns").astype("datetime64[D]").astype(dt.date)
    found = query.bars(
        lake,
        wanted,
        start - dt.timedelta(days=RATE_DAYS),
        spec.data.end,
        table=table_of(spec),
        snapshot_ids=snapshot_ids,
    )
    if not found.num_rows:
        return {name: (np.zeros(0, np.int64), np.zeros(0)) for name in wanted}
    grid = panel(found)
    read = {}
    for name in wanted:
        place = grid.symbols.index(name) if name in grid.symbols else None
        closes = np.zeros(0) if place is None else grid.close[:, place]
        own = ~np.isnan(closes)
        read[name] = (grid.timestamps[: own.size][own], closes[own])
    return read


def _refuse_missing(spec: BacktestSpec, foreign: Sequence[str], paid_in: Mapping[str, str]) -> None:
    missing = [name for name in foreign if name not in spec.portfolio.rates]
    if not missing:
        return
    own, lacking = spec.portfolio.currency, missing[0]
    symbol = min(symbol for symbol, currency in paid_in.items() if currency == lacking)
    problem = f"{symbol} is priced in {lacking}, the account is in {own}, and no rate is given."
    raise InvalidSpecError(
        problem,
        hint=f"Name a forex symbol ({lacking}{own}) or a number in portfolio.rates.{lacking}.",
        errors=[
            {"path": f"portfolio.rates.{name}", "value": None, "problem": problem}
            for name in missing
        ],
    )


def _refuse_late(foreign: Sequence[str], rates: Floats, times: Ints, first: int) -> None:
    for place, name in enumerate(foreign):
        if np.isnan(rates[first, place]):
            problem = f"There is no rate of {name} before {instant(int(times[first]))}."
            raise InvalidSpecError(
                problem,
                hint="Ingest earlier rates, or start later.",
                errors=[{"path": f"portfolio.rates.{name}", "value": None, "problem": problem}],
            )
