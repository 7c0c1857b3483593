"""Clean data gives no findings; real data few, and they are real."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as csv
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lakehouse import calendars, schemas
from lakehouse.calendars import Resolution
from lakehouse.quality.rule import Scope
from tests.kit.quality import NO_FACTORS, NOW, judged

SESSIONS: dict[Resolution, int] = {"1d": 150, "1h": 20, "1m": 3}
SYMBOLS = ("AAA.NYSE", "BBB.LSE", "CCC.XTKS", "DDD.COINBASE", "EEE.OANDA")


def clean(
    symbol: str, resolution: Resolution, start: dt.date, draw: np.random.Generator
) -> pa.Table:
    """Return a random walk on every bar that the exchange has room for."""
    found = calendars.of(symbol.rpartition(".")[2])
    span = found.sessions(start, start + dt.timedelta(days=SESSIONS[resolution] * 2 + 20))
    last = span.dates()[SESSIONS[resolution] - 1]
    ends = found.sessions(start, last).expected(resolution)
    count = ends.size
    close = 100 * np.exp(np.cumsum(draw.uniform(-0.02, 0.02, count)))
    open_ = np.append(100.0, close[:-1]) * np.exp(draw.uniform(-0.005, 0.005, count))
    spread = draw.uniform(0, 0.01, (2, count))
    return pa.table(
        {
            "vt_symbol": pa.array([symbol] * count),
            "timestamp": pa.array(ends).cast(schemas.TIME),
            "open": open_,
            "high": np.maximum(open_, close) * (1 + spread[0]),
            "low": np.minimum(open_, close) * (1 - spread[1]),
            "close": close,
            "volume": draw.integers(1, 10**6, count).astype(float),
            "currency": pa.array(["USD"] * count),
            "source": pa.array(["test"] * count),
            "ingested_at": pa.array([NOW] * count, schemas.TIME),
            "run_id": pa.array(["r"] * count),
        }
    ).cast(schemas.BARS.columns)


@settings(max_examples=2, deadline=None)
@given(st.integers(0, 2**32), st.dates(dt.date(2000, 1, 3), dt.date(2024, 1, 1)))
@pytest.mark.parametrize("resolution", ["1d", "1h", "1m"])
def test_clean_data_gives_no_findings(resolution: Resolution, seed: int, start: dt.date) -> None:
    draw = np.random.default_rng(seed)
    bars = pa.concat_tables(clean(symbol, resolution, start, draw) for symbol in SYMBOLS)
    assert judged(bars, Scope("bars", resolution)) == []


def real(folder: Path, file: str, exchange: str, zone: str, step_s: int) -> pa.Table:
    """Return development data as bars: ends in UTC, a daily bar at the close or at midnight."""
    rows = pq.read_table(folder / f"{file}.parquet")
    times = rows["time"].cast(pa.timestamp("us"))
    if not step_s:
        step_s = 16 * 3_600 if zone != "UTC" else 86_400
    ends = pc.assume_timezone(pc.add(times, pa.scalar(dt.timedelta(seconds=step_s))), zone)
    columns = schemas.BARS.columns if "close" in rows.schema.names else schemas.QUOTES.columns
    known = {
        "vt_symbol": pc.binary_join_element_wise(rows["symbol"], exchange, "."),
        "timestamp": ends.cast(schemas.TIME),
        "currency": pa.repeat("USD", rows.num_rows),
        "source": pa.repeat("lean", rows.num_rows),
        "run_id": pa.repeat("r", rows.num_rows),
        "ingested_at": pa.repeat(pa.scalar(NOW, schemas.TIME), rows.num_rows),
    }
    made = pa.table(
        {
            f.name: known.get(f.name, rows[f.name] if f.name in rows.schema.names else None)
            for f in columns
        }
    )
    return made.cast(columns).sort_by([("vt_symbol", "ascending"), ("timestamp", "ascending")])


def counted(found: list[dict[str, Any]]) -> str:
    once = {(row["rule"], row["vt_symbol"]): row["found"] for row in found}
    sums: Counter[str] = Counter()
    for (rule, _), count in once.items():
        sums[rule] += count
    return ", ".join(f"{rule} {count}" for rule, count in sorted(sums.items()))


def factors(folder: Path) -> pa.Table:
    rows = csv.read_csv(folder / "equity_factor_files.csv")
    days = pc.strptime(rows["date"].cast("string"), "%Y%m%d", "s").cast("date32")
    made = {
        "vt_symbol": pc.binary_join_element_wise(rows["symbol"], "NYSE", "."),
        "date": days,
        "price_factor": rows["price_factor"].cast("double"),
        "split_factor": rows["split_factor"].cast("double"),
    }
    return pa.table(made)


Source = tuple[Any, Any, Any, str, str, int]
REAL: dict[Source, str] = {
    ("equity_daily", "bars", "1d", "NYSE", "America/New_York", 0): (
        "missing_sessions 404, outlier 35, spike 10, split_jump 7, stale_run 1, zero_volume 26"
    ),
    ("equity_minute_trade", "bars", "1m", "NYSE", "America/New_York", 60): (
        "missing_bars 2, missing_sessions 2, outside_hours 5980, spike 3, split_jump 1"
    ),
    ("equity_minute_quote", "quotes", "1m", "NYSE", "America/New_York", 60): (
        "missing_sessions 1, one_sided 12, outlier 8, outside_hours 9118, spike 3"
    ),
    ("crypto_coinbase_minute_trade", "bars", "1m", "COINBASE", "UTC", 60): (
        "missing_bars 2, missing_sessions 4"
    ),
    ("crypto_coinbase_daily_quote", "quotes", "1d", "COINBASE", "UTC", 0): (
        "crossed 1, missing_sessions 4, outlier 3"
    ),
    ("crypto_bitfinex_hour_trade", "bars", "1h", "BITFINEX", "UTC", 3600): (
        "missing_bars 3, outlier 2, spike 2"
    ),
    ("forex_oanda_daily_quote", "quotes", "1d", "OANDA", "UTC", 0): (
        "closed_day 4, missing_sessions 8"
    ),
    ("forex_oanda_minute_quote", "quotes", "1m", "OANDA", "UTC", 60): (
        "missing_bars 3, missing_sessions 1"
    ),
}
"""What rules find in the development data. All was looked at by eye: tickers that changed hands,
splits without factors, days that were not delivered, the crashes of 2008 and 2020, thin trading."""


@cache
def looked_at(folder: Path, source: Source) -> list[dict[str, Any]]:
    file, kind, resolution, exchange, zone, step_s = source
    bars = real(folder, file, exchange, zone, step_s)
    known = factors(folder) if exchange == "NYSE" and kind == "bars" else NO_FACTORS
    return judged(bars, Scope(kind, resolution), factors=known)


@pytest.mark.parametrize("source", list(REAL), ids=[source[0] for source in REAL])
def test_what_is_found_in_real_data(shared_data: Path, source: Source) -> None:
    assert counted(looked_at(shared_data, source)) == REAL[source]


def test_the_tickers_that_changed_hands_stand_out(shared_data: Path) -> None:
    """FB was another company before 2012, QQQ was called QQQQ from 2004 to 2011."""
    found = looked_at(shared_data, next(source for source in REAL if source[0] == "equity_daily"))
    gaps = {
        row["vt_symbol"]: row["detail"]
        for row in found
        if row["rule"] == "missing_sessions" and row["value"] > 80
    }
    assert gaps["FB.NYSE"] == "2302 sessions from 2003-03-31 to 2012-05-17"
    assert gaps["QQQ.NYSE"] == "1588 sessions from 2004-12-01 to 2011-03-22"
    assert "SPY.NYSE" not in gaps
    splits = {row["vt_symbol"]: row["detail"] for row in found if row["rule"] == "split_jump"}
    assert splits["GOOG.NYSE"] == "2:1 split? 1135.1 to 569.85 over night, no factor"
