"""Splits and dividends of Yahoo: prices as they were traded, and the factors that lead back."""

from __future__ import annotations

import datetime as dt
from bisect import bisect_left
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from lakehouse.providers.charts import HUNDREDTHS, PRICES, Chart
from lakehouse.providers.remote import SYMBOL

RATIO = "split_ratio"
"""The bronze column that says by how much later splits have divided the prices of a row."""
_DIGITS = 7
"""Decimal digits that a 32-bit float holds, which is what Yahoo sends; more of them are noise."""


def restored(rows: pa.Table) -> pa.Table:
    """Return rows with prices times, and volumes over, the split ratio beside them.

    Prices keep seven digits: a bar then has the same value before and after a later split.
    Hundredths of a currency (GBp) become the whole one. Null stays null.
    """
    ratio = _numbers(rows, RATIO)
    currencies = rows.column("currency").to_pylist()
    unit = np.array([0.01 if one in HUNDREDTHS else 1.0 for one in currencies])
    for name in PRICES:
        rows = _replaced(rows, name, [_short(one) for one in _numbers(rows, name) * ratio * unit])
    volume = [
        None if np.isnan(one) else float(round(one)) for one in _numbers(rows, "volume") / ratio
    ]
    rows = _replaced(rows, "volume", volume)
    whole = pa.array([HUNDREDTHS.get(one, one) for one in currencies], pa.string())
    return rows.set_column(rows.schema.get_field_index("currency"), "currency", whole)


def of(symbol: str, chart: Chart) -> pa.Table:
    """Return ``vt_symbol, date, price_factor, split_factor`` of a symbol's whole daily history.

    A row counts for the days up to its date, the last one before an event; later days have factor
    1. A dividend of ``d`` after a close of ``c`` gives ``1 - d / c`` (both with the same splits
    laid over them), a split its ratio's inverse. A history without events gives one row of ones
    at its first day: it is known that there are none. A dividend that is not below the close
    before it, or that comes before the first one, has no factor.
    """
    days = [chart.day(stamp) for stamp in chart.stamps]
    closes = [None if text is None else float(text) for text in chart.columns["close"]]
    price: dict[dt.date, float] = {}
    split: dict[dt.date, float] = {}
    for day, ratio in chart.splits:
        place = _before(days, closes, day)
        if place is not None:
            split[days[place]] = split.get(days[place], 1.0) / ratio
    for day, amount in chart.dividends:
        place = _before(days, closes, day)
        close = None if place is None else closes[place]
        if place is not None and close is not None and 0 < amount < close:
            price[days[place]] = price.get(days[place], 1.0) * (1 - amount / close)
    dates = sorted({*price, *split}) or days[:1]
    return pa.table(
        {
            SYMBOL: pa.array([symbol] * len(dates), pa.string()),
            "date": pa.array(dates, pa.date32()),
            "price_factor": _backwards([price.get(day, 1.0) for day in dates]),
            "split_factor": _backwards([split.get(day, 1.0) for day in dates]),
        }
    )


def _before(days: Sequence[dt.date], closes: Sequence[float | None], event: dt.date) -> int | None:
    """Return the place of the last close before the day of an event."""
    for place in range(bisect_left(days, event) - 1, -1, -1):
        if closes[place] is not None:
            return place
    return None


def _backwards(factors: list[float]) -> NDArray[np.float64]:
    return np.multiply.accumulate(np.array(factors, dtype=np.float64)[::-1])[::-1]


def _short(value: float) -> float | None:
    return None if np.isnan(value) else float(f"{value:.{_DIGITS}g}")


def _numbers(rows: pa.Table, name: str) -> NDArray[np.float64]:
    numbers = pc.fill_null(rows.column(name).cast(pa.float64()), float("nan"))
    return np.asarray(numbers.to_numpy(), dtype=np.float64)


def _replaced(rows: pa.Table, name: str, values: Sequence[float | None]) -> pa.Table:
    place = rows.schema.get_field_index(name)
    return rows.set_column(place, name, pa.array(values, pa.float64()))
