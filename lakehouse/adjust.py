"""Splits and dividends laid over raw bars: one factor per symbol and day."""

from __future__ import annotations

import datetime as dt
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lakehouse import days

Adjust = Literal["none", "split", "total"]
PRICES = (
    *("open", "high", "low", "close"),
    *(f"{side}_{part}" for side in ("bid", "ask") for part in ("open", "high", "low", "close")),
)
SIZES = ("volume", "bid_size", "ask_size")
"""What factors change, in bars of trades and of quotes."""
_FACTORS = ("price_factor", "split_factor")


def adjusted(bars: pa.Table, factors: pa.Table, adjust: Adjust, *, daily: bool = False) -> pa.Table:
    """Return ``bars`` with prices times the factor of their day, sizes over the split factor.

    ``factors`` has ``vt_symbol, date, price_factor, split_factor``, one set per symbol; a row
    counts for days up to and including its ``date``, later days have factor 1. ``split`` applies
    splits only, ``total`` dividends too. A bar's day is that of its exchange (`lakehouse.days`;
    ``daily`` tells whether a bar is a day). NaN and null stay. Volume follows splits in both
    cases: a dividend moves no shares.
    """
    if adjust == "none" or not bars.num_rows:
        return bars
    split, price = _factors(bars, factors, daily=daily)
    scale = split if adjust == "split" else split * price
    for name in bars.column_names:
        if name in PRICES:
            bars = _replaced(bars, name, _floats(bars, name) * scale)
        elif name in SIZES:
            bars = _replaced(bars, name, _floats(bars, name) / split)
    return bars


def as_known(factors: pa.Table, day: dt.date) -> pa.Table:
    """Return ``factors`` as they stood on ``day``: later events taken out, that day at factor 1.

    A set may tell of a split that is still to come: what it says of days before ``day`` is
    divided by what it says of ``day`` itself.
    """
    kept: list[dict[str, Any]] = []
    at: dict[str, dict[str, Any]] = {}
    rows = factors.sort_by([("vt_symbol", "ascending"), ("date", "descending")]).to_pylist()
    for row in rows:
        if row["date"] >= day:
            at[row["vt_symbol"]] = row
    for row in rows:
        now = at.get(row["vt_symbol"])
        if row["date"] <= day:
            kept.append({**row, **{f: row[f] / now[f] for f in _FACTORS}} if now else row)
    return pa.Table.from_pylist(kept, factors.schema)


def unadjusted(bars: pa.Table, factors: pa.Table) -> list[str]:
    """Return the symbols of ``bars`` that have no factors at all, sorted."""
    return sorted(
        set(bars.column("vt_symbol").unique().to_pylist())
        - set(factors.column("vt_symbol").unique().to_pylist())
    )


def _factors(
    bars: pa.Table, factors: pa.Table, *, daily: bool
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return split and price factor of each bar, shape (rows,)."""
    symbols = _texts(bars)
    dated = days.of(bars.column("vt_symbol"), bars.column("timestamp"), daily=daily)
    split, price = np.ones(len(dated)), np.ones(len(dated))
    factors = factors.sort_by([("vt_symbol", "ascending"), ("date", "ascending")])
    owners = _texts(factors)
    dates = factors.column("date").cast(pa.int32()).to_numpy().astype(np.int64)
    values = [_floats(factors, name) for name in reversed(_FACTORS)]
    for symbol in np.unique(owners):
        mine, own = symbols == symbol, owners == symbol
        place = np.searchsorted(dates[own], dated[mine])
        for target, column in zip((split, price), values, strict=True):
            target[mine] = np.append(column[own], 1.0)[place]
    return split, price


def _texts(table: pa.Table) -> NDArray[np.object_]:
    return np.asarray(table.column("vt_symbol").to_numpy(zero_copy_only=False), dtype=np.object_)


def _floats(table: pa.Table, name: str) -> NDArray[np.float64]:
    return np.asarray(table.column(name).to_numpy(zero_copy_only=False), dtype=np.float64)


def _replaced(table: pa.Table, name: str, values: NDArray[np.float64]) -> pa.Table:
    place = table.schema.get_field_index(name)
    nulls = table.column(name).is_null().to_numpy(zero_copy_only=False)
    return table.set_column(place, name, pa.array(values, pa.float64(), mask=nulls))
