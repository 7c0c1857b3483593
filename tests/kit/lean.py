"""Lean's regression cases and the real bars they ran on, read from the development data."""

from __future__ import annotations

import csv
import datetime as dt
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow.parquet as pq

from runtimes.engine.arrays import Floats, Ints
from runtimes.engine.lean.statistics import Rates

ZONE = ZoneInfo("America/New_York")
FILES = {"daily": "equity_daily", "hour": "equity_hour", "minute": "equity_minute_trade"}
LENGTH = {"hour": dt.timedelta(hours=1), "minute": dt.timedelta(minutes=1)}
OPEN, CLOSE = dt.time(9, 30), dt.time(16)


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
def bars(folder: Path, symbol: str, resolution: str, first: dt.date, last: dt.date) -> Bars:
    """Return the regular session's bars between two days, adjusted."""
    table = pq.read_table(
        folder / f"{FILES[resolution]}.parquet", filters=[("symbol", "=", symbol)]
    )
    ends, rows = [], []
    for row in table.to_pylist():
        end = ended(row["time"], resolution)
        if first <= end.date() <= last and OPEN < end.time() <= CLOSE:
            factor = next((f for day, f in factors(folder).get(symbol, []) if day >= end.date()), 1)
            ends.append(instant(end))
            rows.append([row[name] * factor for name in ("open", "high", "low", "close")])
    columns = np.ascontiguousarray(np.array(rows).T)
    return Bars(np.array(ends, dtype=np.int64), *columns)


def ended(start: dt.datetime, resolution: str) -> dt.datetime:
    """Return when the bar that began at ``start`` ended, in New York."""
    if resolution == "daily":
        return dt.datetime.combine(start.date(), CLOSE, ZONE)
    return (start + LENGTH[resolution]).replace(tzinfo=ZONE)


def instant(moment: dt.datetime) -> int:
    """Return ns UTC."""
    return int(moment.timestamp()) * 10**9


def rates(folder: Path) -> Rates:
    """Return the US primary credit rate."""
    with (folder / "interest_rate_usa.csv").open() as lines:
        rows = list(csv.DictReader(lines))
    days = [dt.datetime.fromisoformat(row["date"]).replace(tzinfo=ZONE) for row in rows]
    percent = np.array([float(row["primary_credit_rate_pct"]) for row in rows])
    return Rates(np.array([instant(day) for day in days], dtype=np.int64), percent)


def number(text: str) -> float:
    """Return the number in a figure as Lean prints it."""
    return float(text.strip("$%"))
