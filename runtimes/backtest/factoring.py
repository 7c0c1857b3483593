"""Factor returns at the bars of a run, read at the snapshots that it pinned."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from lakehouse import query
from lakehouse.lake import Lake
from lakehouse.panel import panel
from lakehouse.scan import Where
from runtimes.engine.arrays import Floats, Ints
from runtimes.specs.backtest import BacktestSpec
from runtimes.specs.factors import SymbolFactors, TableFactors
from topology.errors import UnknownNameError, did_you_mean, nearest

DAYS_BEFORE = 14
"""Calendar days that surely hold the bar before the first one."""


class Explained(NamedTuple):
    """Factors by name, and their returns (T, K) at each bar, nan where there is none."""

    names: tuple[str, ...]
    returns: Floats


def pins(lake: Lake, spec: BacktestSpec) -> dict[str, str]:
    """Return the snapshot of the table of factors, if the spec names one."""
    factors = spec.factors
    if not isinstance(factors, TableFactors):
        return {}
    return query.resolve(lake, [factors.table], factors.snapshot_id)


def check(lake: Lake, spec: BacktestSpec) -> None:
    """Raise ``unknown_name`` unless the table has the factors' columns of numbers."""
    factors = spec.factors
    if not isinstance(factors, TableFactors):
        return
    schema = query.read(lake, factors.table, as_of=pins(lake, spec)[factors.table], limit=1).schema
    known = [field.name for field in schema if pa.types.is_floating(field.type)]
    problems = [
        {
            "path": f"factors.columns[{i}]",
            "value": name,
            "problem": f"{factors.table} has no column of numbers called {name}.",
            "nearest": nearest(name, known),
        }
        for i, name in enumerate(factors.columns)
        if name not in known
    ]
    if problems:
        hint = did_you_mean(str(problems[0]["value"]), known)
        raise UnknownNameError(str(problems[0]["problem"]), hint=hint, errors=problems)


def load(
    lake: Lake, spec: BacktestSpec, times: Ints, *, snapshot_ids: Mapping[str, str]
) -> Explained | None:
    """Return the factors' returns at ``times`` (T,) ns UTC, None where the spec names none.

    Of a symbol: its close against that of the bar before, dividends reinvested where the run books
    them itself. Of a table: the value of the row dated at the bar.
    """
    factors = spec.factors
    if factors is None:
        return None
    if isinstance(factors, SymbolFactors):
        return Explained(factors.names, _closes(lake, spec, factors, times, snapshot_ids))
    return Explained(factors.names, _columns(lake, factors, times, snapshot_ids))


def _closes(
    lake: Lake,
    spec: BacktestSpec,
    factors: SymbolFactors,
    times: Ints,
    snapshot_ids: Mapping[str, str],
) -> Floats:
    data = spec.data
    found = panel(
        query.bars(
            lake,
            factors.symbols,
            data.start - dt.timedelta(days=DAYS_BEFORE),
            data.end,
            table=data.table,
            adjust="total" if data.adjust == "none" else data.adjust,
            snapshot_ids=snapshot_ids,
        )
    )
    closes = np.full((times.size, len(factors.symbols)), np.nan)
    place = np.searchsorted(times, found.timestamps)
    there = np.flatnonzero((place < times.size) & (times[place % times.size] == found.timestamps))
    for i, symbol in enumerate(factors.symbols):
        if symbol in found.symbols:
            closes[place[there], i] = found.close[there, found.symbols.index(symbol)]
    returns = np.full(closes.shape, np.nan)
    returns[1:] = closes[1:] / closes[:-1] - 1.0
    return returns


def _columns(
    lake: Lake, factors: TableFactors, times: Ints, snapshot_ids: Mapping[str, str]
) -> Floats:
    rows = query.read(
        lake,
        factors.table,
        where=Where(symbols=[factors.symbol]),
        columns=["timestamp", *factors.columns],
        as_of=snapshot_ids[factors.table],
    )
    found = np.full((times.size, len(factors.columns)), np.nan)
    dated = rows.column("timestamp").cast(pa.int64()).to_numpy() * 1_000
    place = np.searchsorted(times, dated)
    there = np.flatnonzero((place < times.size) & (times[place % times.size] == dated))
    for k, name in enumerate(factors.columns):
        found[place[there], k] = rows.column(name).to_numpy()[there]
    return found
