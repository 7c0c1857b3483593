"""When exchanges trade: days worked by hand, another publisher's calendar, and real bars."""

from __future__ import annotations

import datetime as dt
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakehouse import calendars, schemas
from lakehouse.calendars import ALWAYS, DAY_US, FOREX, NONE, Calendar
from topology.errors import UnknownNameError

D = dt.date


def on(exchange: str, date: dt.date) -> Calendar:
    return calendars.of(exchange).sessions(date, date)


def clock(instants: Any, shape: str = "%d %H:%M") -> list[str]:
    return [f"{dt.datetime.fromtimestamp(int(t) / 1e6, dt.UTC):{shape}}" for t in instants]


@pytest.fixture(scope="module", autouse=True)
def computed() -> None:
    calendars.prepare(["NYSE", "LSE", "XTKS", "ASX"])  # one child process for all of them


@pytest.mark.parametrize(
    ("exchange", "date", "expected"),
    [
        pytest.param("NYSE", D(2024, 1, 2), ["02 14:30", "02 21:00"], id="a winter day"),
        pytest.param("NASDAQ", D(2024, 7, 2), ["02 13:30", "02 20:00"], id="a summer day"),
        pytest.param("ARCA", D(2013, 11, 29), ["29 14:30", "29 18:00"], id="after Thanksgiving"),
        pytest.param("NYSE", D(2013, 11, 28), [], id="Thanksgiving"),
        pytest.param("NYSE", D(2012, 10, 29), [], id="hurricane Sandy"),
        pytest.param("NYSE", D(2012, 10, 30), [], id="hurricane Sandy, second day"),
        pytest.param("NYSE", D(2012, 10, 31), ["31 13:30", "31 20:00"], id="after Sandy"),
        pytest.param("NYSE", D(2001, 9, 14), [], id="closed until 17 September 2001"),
        pytest.param("NYSE", D(2021, 6, 18), ["18 13:30", "18 20:00"], id="Juneteenth not yet"),
        pytest.param("NYSE", D(2022, 6, 20), [], id="Juneteenth, first observed"),
        pytest.param("NYSE", D(2024, 3, 29), [], id="Good Friday"),
        pytest.param("NYSE", D(2024, 3, 8), ["08 14:30", "08 21:00"], id="before DST begins"),
        pytest.param("NYSE", D(2024, 3, 11), ["11 13:30", "11 20:00"], id="after DST began"),
        pytest.param("NYSE", D(2024, 11, 4), ["04 14:30", "04 21:00"], id="after DST ended"),
        pytest.param("LSE", D(2024, 3, 28), ["28 08:00", "28 16:30"], id="London before DST"),
        pytest.param("LSE", D(2024, 4, 2), ["02 07:00", "02 15:30"], id="London after DST"),
        pytest.param("LSE", D(2022, 9, 19), [], id="the Queen's funeral"),
        pytest.param("LSE", D(2024, 12, 24), ["24 08:00", "24 12:30"], id="London, half a day"),
        pytest.param("XTKS", D(2024, 1, 4), ["04 00:00", "04 06:00"], id="Tokyo, a full day"),
        pytest.param("ASX", D(2024, 1, 3), ["02 23:00", "03 05:00"], id="Sydney opens yesterday"),
        pytest.param(
            "BINANCE", D(2024, 12, 25), ["25 00:00", "26 00:00"], id="crypto on a holiday"
        ),
        pytest.param("OANDA", D(2024, 1, 8), ["07 22:00", "08 22:00"], id="forex opens on Sunday"),
        pytest.param("OANDA", D(2024, 7, 5), ["04 21:00", "05 21:00"], id="forex in summer"),
        pytest.param("OANDA", D(2024, 1, 6), [], id="forex on a Saturday"),
        pytest.param("OANDA", D(2024, 12, 25), [], id="forex on 25 December"),
        pytest.param("OANDA", D(2024, 12, 26), ["25 22:00", "26 22:00"], id="and on the next day"),
    ],
)
def test_a_day_by_hand(exchange: str, date: dt.date, expected: list[str]) -> None:
    day = on(exchange, date)
    assert clock([*day.opens, *day.closes]) == expected


@pytest.mark.parametrize(
    ("exchange", "date", "resolution", "grid", "count", "ends"),
    [
        pytest.param(
            *("NYSE", D(2024, 1, 2), "1d", "open", 1, ["21:00"]), id="one bar a day, at the close"
        ),
        pytest.param(
            *("NYSE", D(2024, 1, 2), "1m", "open", 390, ["14:31", "21:00"]), id="390 minutes"
        ),
        pytest.param(
            *("NYSE", D(2013, 11, 29), "1m", "open", 210, ["14:31", "18:00"]), id="210 on half days"
        ),
        pytest.param(
            *("NYSE", D(2024, 1, 2), "1h", "open", 7, ["15:30", "21:00"]), id="hours from the open"
        ),
        pytest.param(
            *("NYSE", D(2024, 1, 2), "1h", "clock", 7, ["15:00", "21:00"]), id="hours by the clock"
        ),
        pytest.param(
            *("NYSE", D(2013, 11, 29), "1h", "clock", 4, ["15:00", "18:00"]), id="half a day"
        ),
        pytest.param(
            *("XTKS", D(2024, 1, 4), "1m", "open", 300, ["00:01", "06:00"]), id="not in the break"
        ),
        pytest.param(
            *("BINANCE", D(2024, 1, 6), "1h", "open", 24, ["01:00", "00:00"]), id="crypto, 24 hours"
        ),
    ],
)
def test_expected_bars_by_hand(
    exchange: str, date: dt.date, resolution: Any, grid: Any, count: int, ends: list[str]
) -> None:
    found = on(exchange, date).expected(resolution, grid=grid)
    assert found.size == count
    assert clock(np.unique([found[0], found[-1]]), "%H:%M") == sorted(ends, key=ends.index)


def test_tokyo_pauses_at_noon() -> None:
    day = on("XTKS", D(2024, 1, 4))
    assert clock([*day.break_starts, *day.break_ends]) == ["04 02:30", "04 03:30"]
    noon = day.break_starts[0], day.break_ends[0]
    minutes = day.expected("1m")
    assert not ((minutes > noon[0]) & (minutes <= noon[1])).any()


@given(st.dates(D(1990, 1, 1), D(2025, 1, 1)), st.integers(0, 400), st.sampled_from(["1m", "1h"]))
def test_expected_bars_rise_and_lie_inside_their_sessions(
    start: dt.date, days: int, resolution: Any
) -> None:
    for exchange in ("NYSE", "XTKS", "OANDA"):
        part = calendars.of(exchange).sessions(start, start + dt.timedelta(days=days))
        bars = part.expected(resolution)
        assert (np.diff(bars) > 0).all()
        session = np.searchsorted(part.closes, bars)
        assert (bars > part.opens[session]).all()
        assert np.unique(session).size == part.days.size
        pause = part.break_starts[session] != NONE
        inside = (bars > part.break_starts[session]) & (bars <= part.break_ends[session])
        assert not (inside & pause).any()


def test_codes_of_one_exchange_share_a_calendar_and_a_mic_stands_for_itself() -> None:
    assert calendars.of("NASDAQ") is calendars.of("XNYS") is calendars.of("BATS")
    assert calendars.of("COINBASE") is calendars.of(ALWAYS)
    assert calendars.of("IDEALPRO") is calendars.of(FOREX)
    assert calendars.of("LSE") is calendars.of("XLON")


def test_an_unknown_code_is_named_with_the_nearest_one() -> None:
    assert calendars.find("NASDAK") is None
    with pytest.raises(UnknownNameError) as caught:
        calendars.of("NASDAK")
    assert caught.value.facts["nearest"][0] == "NASDAQ"


def test_no_process_of_ours_loads_pandas() -> None:
    text = (
        "import sys; from lakehouse import calendars; import datetime as dt;"
        "print(calendars.of('NYSE').days.size > 20_000, 'pandas' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "False"]


def _hours(folder: Path, key: str) -> Any:
    return json.loads((folder / "market_hours.json").read_text())[key]


def _days(texts: Any) -> set[dt.date]:
    split = ([int(part) for part in text.split("/")] for text in texts)
    return {D(year, month, day) for month, day, year in split}


UNLIKE = {
    D(1999, 12, 31): "closed at 13:00, as SPY's hour bars show; the other publisher lacks it",
    D(2017, 12, 24): "the other publisher lists an early close on a Sunday",
}


def test_sessions_and_early_closes_are_those_of_another_publisher(shared_data: Path) -> None:
    hours = _hours(shared_data, "Equity-usa-[*]")
    first, last = D(1998, 1, 1), D(2021, 12, 31)
    ours = calendars.of("NYSE").sessions(first, last)
    days = (first + dt.timedelta(days=n) for n in range((last - first).days + 1))
    theirs = {day for day in days if day.weekday() < 5} - _days(hours["holidays"])
    assert set(ours.dates()) ^ theirs == set()
    short = {
        date
        for date, span in zip(ours.dates(), ours.closes - ours.opens, strict=True)
        if span < 6.5 * 3600e6
    }
    listed = {day for day in _days(hours["earlyCloses"]) if first <= day <= last}
    since = D(1999, 1, 1)  # where the other list of early closes begins
    assert {day for day in short ^ listed if day >= since} == set(UNLIKE)


def test_real_daily_bars_stand_on_sessions_only(shared_data: Path) -> None:
    bars = pq.read_table(shared_data / "equity_daily.parquet", columns=["symbol", "time"])
    spy = bars.filter(pc.equal(bars["symbol"], "SPY"))["time"].cast("date32").to_pylist()
    assert calendars.of("ARCA").sessions(spy[0], spy[-1]).dates() == spy


def test_real_hour_bars_are_the_expected_ones(shared_data: Path) -> None:
    """23 years of SPY: times of day, early closes and daylight saving all fit."""
    bars = pq.read_table(shared_data / "equity_hour.parquet", columns=["symbol", "time"])
    local = bars.filter(pc.equal(bars["symbol"], "SPY"))["time"]
    starts = pc.assume_timezone(local, "America/New_York").cast(schemas.TIME)
    found = starts.cast("int64").to_numpy() + calendars.STEP_US["1h"]
    dates = local.cast("date32").to_pylist()
    wanted = calendars.of("NYSE").sessions(dates[0], dates[-1]).expected("1h", grid="clock")
    late_open = ["2002-09-11 14:00", "2002-09-11 15:00"]  # opened at noon, a year after
    assert clock(np.setdiff1d(wanted, found), "%Y-%m-%d %H:%M") == late_open
    extra = np.setdiff1d(found, wanted)  # late prints, on days that closed at 13:00
    short = _days(_hours(shared_data, "Equity-usa-[*]")["earlyCloses"])
    days = {dt.datetime.fromtimestamp(int(t) / 1e6, dt.UTC).date() for t in extra}
    assert days - short == {D(1998, 11, 27), D(1998, 12, 24), D(1999, 12, 31)}
    assert extra.size == 47


def test_real_minutes_stop_where_the_session_does(shared_data: Path) -> None:
    """2015-12-24 closed at 13:00: the volume of GOOG dries up in that very minute."""
    bars = pq.read_table(shared_data / "equity_minute_trade.parquet")
    goog = bars.filter(pc.equal(bars["symbol"], "GOOG"))
    starts = pc.assume_timezone(goog["time"], "America/New_York").cast(schemas.TIME)
    ends = starts.cast("int64").to_numpy() + calendars.STEP_US["1m"]
    day = on("NASDAQ", D(2015, 12, 24))
    wanted = day.expected("1m")
    assert wanted.size == 210
    assert np.isin(wanted, ends).mean() > 0.9
    after = (ends > day.closes[0]) & (ends < day.closes[0] + DAY_US)
    volume = goog["volume"].to_numpy()
    inside = (ends > day.opens[0]) & (ends <= day.closes[0])
    assert volume[after].size < 0.1 * volume[inside].size


@pytest.mark.parametrize(
    ("file", "symbol", "exchange", "share"),
    [
        ("forex_oanda_hour_quote", "EURUSD", "OANDA", 0.995),
        ("crypto_binance_hour_trade", "BTCUSDT", "BINANCE", 1.0),
        ("crypto_bitfinex_hour_trade", "BTCUSD", "BITFINEX", 0.985),
    ],
)
def test_real_hours_of_markets_without_holidays(
    shared_data: Path, file: str, symbol: str, exchange: str, share: float
) -> None:
    """Twelve years of forex cross two dozen changes of New York's clocks."""
    bars = pq.read_table(shared_data / f"{file}.parquet", columns=["symbol", "time"])
    times = bars.filter(pc.equal(bars["symbol"], symbol))["time"].cast("timestamp[us]")
    ends = times.cast("int64").to_numpy() + calendars.STEP_US["1h"]
    dates = times.cast("date32").to_pylist()
    wanted = calendars.of(exchange).sessions(dates[0], dates[-1]).expected("1h")
    wanted = wanted[(wanted >= ends[0]) & (wanted <= ends[-1])]
    assert np.isin(wanted, ends).mean() >= share
    assert np.isin(ends, wanted).mean() >= share
