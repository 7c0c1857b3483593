"""The trading day of a bar, by hand: the clock of the exchange, not that of Greenwich."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakehouse import calendars, days, staging
from lakehouse.schemas import TIME

CASES = {
    # symbol, end in UTC: day
    ("BHP.ASX", "2024-02-04 23:01"): "2024-02-05",  # 10:01 in Sydney, summer (+11)
    ("BHP.ASX", "2024-02-05 05:00"): "2024-02-05",  # 16:00
    ("BHP.ASX", "2024-02-05 13:00"): "2024-02-05",  # midnight: the day that ends
    ("BHP.ASX", "2024-02-05 13:01"): "2024-02-06",
    ("BHP.ASX", "2024-07-01 13:30"): "2024-07-01",  # 23:30, winter (+10)
    ("BHP.ASX", "2024-01-01 13:30"): "2024-01-02",  # 00:30, summer
    ("FPH.NZX", "2024-02-04 21:30"): "2024-02-05",
    ("7203.JPX", "2024-02-05 00:00"): "2024-02-05",  # 09:00 in Tokyo
    ("7203.JPX", "2024-02-05 06:00"): "2024-02-05",
    ("WMT.NYSE", "2024-02-03 00:00"): "2024-02-02",  # 19:00 in winter
    ("WMT.NYSE", "2024-02-03 01:00"): "2024-02-02",
    ("WMT.NYSE", "2024-02-03 05:00"): "2024-02-02",  # midnight in winter,
    ("WMT.NYSE", "2024-07-03 04:01"): "2024-07-03",  # and past midnight in summer
    ("WMT.USA", "2024-02-03 00:30"): "2024-02-02",
    ("BRK.B.NYSE", "2024-02-03 00:30"): "2024-02-02",
    ("BTCUSD.COINBASE", "2024-02-03 00:00"): "2024-02-02",
    ("BTCUSD.COINBASE", "2024-02-03 00:01"): "2024-02-03",
    ("EURUSD.OANDA", "2024-02-02 22:00"): "2024-02-02",  # 17:00 in New York, where the day rolls
    ("EURUSD.OANDA", "2024-02-04 22:01"): "2024-02-05",  # Sunday evening is Monday's trading
    ("EURUSD.OANDA", "2024-07-01 21:01"): "2024-07-02",
    ("ES.CME", "2024-02-04 23:01"): "2024-02-05",  # 17:01 on Sunday in Chicago
    ("X.NOWHERE", "2024-02-03 00:01"): "2024-02-03",
    ("BHP.ASX", "2024-04-06 15:30"): "2024-04-07",  # 02:30 comes twice when summer time ends
    ("BHP.ASX", "2024-04-06 16:30"): "2024-04-07",
    ("WMT.NYSE", "2024-03-11 00:30"): "2024-03-10",  # the evening after clocks go forward
}


def moment(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC)


def by_arrow(symbols: list[str], ends: list[dt.datetime], *, daily: bool) -> list[dt.date]:
    columns = pa.chunked_array([pa.array(symbols)]), pa.chunked_array([pa.array(ends, TIME)])
    found = days.of(*columns, daily=daily).tolist()
    return [dt.date(1970, 1, 1) + dt.timedelta(days=day) for day in found]


def by_sql(symbols: list[str], ends: list[dt.datetime], *, daily: bool) -> list[dt.date]:
    rows = pa.table({"vt_symbol": symbols, "timestamp": pa.array(ends, TIME)})
    day = days.sql(symbols, daily=daily, end='"timestamp"')
    with duckdb.connect() as connection:
        connection.register("rows", rows)
        return [row[0] for row in connection.execute(f"SELECT {day} FROM rows").fetchall()]


def test_days_by_hand() -> None:
    symbols, ends = [symbol for symbol, _ in CASES], [moment(end) for _, end in CASES]
    wanted = [dt.date.fromisoformat(day) for day in CASES.values()]
    assert by_arrow(symbols, ends, daily=False) == wanted
    assert by_sql(symbols, ends, daily=False) == wanted


@pytest.mark.parametrize(
    ("symbol", "ends"),
    [
        ("BHP.ASX", ["2024-02-05 05:00", "2024-02-05 13:00", "2024-02-06 00:00"]),
        ("WMT.NYSE", ["2024-02-05 21:00", "2024-02-06 05:00", "2024-02-06 00:00"]),
        ("BTCUSD.COINBASE", ["2024-02-06 00:00"]),
        ("EURUSD.OANDA", ["2024-02-05 22:00", "2024-02-06 00:00"]),
    ],
)
def test_a_daily_bar_ends_at_the_close_or_at_a_midnight(symbol: str, ends: list[str]) -> None:
    times = [moment(end) for end in ends]
    for known in (by_arrow, by_sql):
        assert set(known([symbol] * len(ends), times, daily=True)) == {dt.date(2024, 2, 5)}


@given(
    ends=st.lists(
        st.integers(631_152_000, 2_114_380_800).map(lambda s: dt.datetime.fromtimestamp(s, dt.UTC)),
        min_size=1,
        max_size=20,
    ),
    symbol=st.sampled_from(["BHP.ASX", "WMT.NYSE", "EURUSD.FX", "BTCUSD.KRAKEN", "A.LSE"]),
    daily=st.booleans(),
)
def test_arrow_and_sql_agree(ends: list[dt.datetime], symbol: str, daily: bool) -> None:
    symbols = [symbol] * len(ends)
    assert by_arrow(symbols, ends, daily=daily) == by_sql(symbols, ends, daily=daily)


@pytest.mark.parametrize("exchange", ["ASX", "NZX", "JPX", "NYSE", "OANDA", "CME", "BINANCE"])
def test_a_session_lies_within_its_day(exchange: str) -> None:
    found = calendars.of(exchange).sessions(dt.date(2010, 1, 1), dt.date(2037, 1, 1))
    for ends in (found.opens + calendars.STEP_US["1m"], found.closes):
        own = days.local(pa.array(ends).cast(TIME), days.clock(exchange), daily=False)
        assert np.array_equal(own, found.days)


def test_every_exchange_has_a_clock() -> None:
    lacking = set(calendars.EXCHANGES.values()) - set(days.ZONES)
    assert lacking == {calendars.ALWAYS}


def test_a_name_changes_with_the_day_of_its_exchange(tmp_path: Path) -> None:
    """FB was META from 9 June 2022: the evening before ends at 20:30 EDT."""
    ends = ["2022-06-08 23:59", "2022-06-09 00:30", "2022-06-09 13:31"]
    names = pa.table(
        {
            "name": ["META.NYSE"],
            "vt_symbol": ["FB.NYSE"],
            "first": pa.array([dt.date(2022, 6, 9)]),
            "last": pa.array([None], pa.date32()),
        }
    )
    with staging.opened("bars", memory_mb=64, spill=tmp_path) as stage:
        for end in ends:
            stage._db.execute(
                'INSERT INTO good (vt_symbol, "timestamp") VALUES (?, ?)',
                ["META.NYSE", moment(end)],
            )
        stage.rename(names, daily=False)
        found = stage._db.execute('SELECT vt_symbol FROM good ORDER BY "timestamp"').fetchall()
    assert found == [("META.NYSE",), ("META.NYSE",), ("FB.NYSE",)]
