"""Rules on when bars are: days of the calendar worked by hand."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from lakehouse.quality.judge import Limits
from lakehouse.quality.rule import Scope
from tests.kit.quality import NOW, Apart, at, judged, names, quotes, trades

HOURS, MINUTES = Scope("bars", "1h"), Scope("bars", "1m")


def on(*texts: str, **constants: Any) -> Any:
    """Return daily bars, each ending at 21:00 or when it says."""
    times = [at(text if ":" in text else f"{text} 21:00") for text in texts]
    return trades([{"timestamp": t, "close": 100.0 + n} for n, t in enumerate(times)], **constants)


def minutes(start: str, count: int, first: int = 1, **constants: Any) -> list[dict[str, Any]]:
    begun = at(start)
    return [
        {"timestamp": begun + dt.timedelta(minutes=n), "close": 100 + n % 7 / 10, **constants}
        for n in range(first, count + 1)
    ]


GAPS = [
    pytest.param(["2024-01-02", "2024-01-03"], None, id="nothing is missing"),
    pytest.param(["2024-01-12", "2024-01-16"], None, id="a weekend and a holiday"),
    pytest.param(["2024-01-03", "2024-01-05"], "no bar on 2024-01-04", id="one session"),
    pytest.param(
        ["2024-01-11", "2024-01-18"], "3 sessions from 2024-01-12 to 2024-01-17", id="three"
    ),
    pytest.param(["2012-10-26", "2012-10-31"], None, id="closed for hurricane Sandy"),
    pytest.param(["2022-06-17", "2022-06-21"], None, id="Juneteenth, first observed in 2022"),
    pytest.param(["2021-06-17", "2021-06-21"], "no bar on 2021-06-18", id="not so in 2021"),
    pytest.param(["2024-03-28", "2024-04-01"], None, id="Good Friday"),
]
gaps = Apart(GAPS, lambda days: on(*days))


@pytest.mark.parametrize(("days", "told"), GAPS)
def test_missing_sessions_by_hand(days: list[str], told: str | None) -> None:
    found = [row["detail"] for row in gaps(days) if row["rule"] == "missing_sessions"]
    assert found == ([] if told is None else [told])


def test_crypto_misses_a_weekend_and_forex_does_not() -> None:
    days = [f"2024-01-{day:02d} 00:00" for day in (5, 6, 9)]  # bars of the 4th, 5th and 8th
    crypto = judged(on(*days, vt_symbol="BTCUSD.COINBASE"))
    assert [row["detail"] for row in crypto] == ["2 sessions from 2024-01-06 to 2024-01-07"]
    assert judged(on(*days, vt_symbol="EURUSD.OANDA")) == []


def test_forex_may_have_a_bar_of_the_few_hours_of_sunday() -> None:
    days = [f"2024-01-{day:02d} 00:00" for day in (6, 8, 9)]  # Friday, Sunday, Monday
    assert judged(on(*days, vt_symbol="EURUSD.OANDA")) == []


DAYS = [
    pytest.param("2024-01-06", ["closed_day"], id="a Saturday"),
    pytest.param("2024-12-25", ["closed_day"], id="Christmas"),
    pytest.param("2024-07-03 17:00", [], id="the end of half a day"),
    pytest.param("2024-07-03 20:00", [], id="half a day, dated by the usual close"),
    pytest.param("2024-01-02 16:00", ["ends_early"], id="16:00 UTC is 11:00 in New York"),
    pytest.param("2024-07-02 20:00", [], id="16:00 in New York, in summer"),
    pytest.param("2024-01-03 00:00", [], id="midnight ends the day before"),
    pytest.param("2026-01-05", [], id="hours ahead: the world has time zones"),
    pytest.param("2026-01-07", ["future_bar"], id="more than a day ahead"),
    pytest.param("1955-06-01", [], id="before the calendar begins: not judged"),
]
days = Apart(DAYS, on)


@pytest.mark.parametrize(("bar", "rules"), DAYS)
def test_a_daily_bar(bar: str, rules: list[str]) -> None:
    assert at("2026-01-05 12:00") == NOW
    assert names(days(bar)) == rules


def test_an_early_end_says_by_how_much() -> None:
    [row] = judged(on("2024-01-02 16:00"))
    assert row["value"] == 5.0
    assert row["detail"] == "ends 2024-01-02 16:00 UTC, the session 2024-01-02 21:00 UTC"


def test_two_bars_of_a_day_are_told_with_their_sources() -> None:
    bars = trades(
        [
            {"timestamp": at("2024-01-02 21:00"), "close": 100.0, "source": "vendor"},
            {"timestamp": at("2024-01-02 22:00"), "close": 101.0, "source": "broker"},
        ]
    )
    [row] = judged(bars)
    assert (row["rule"], row["severity"], row["value"]) == (
        "double_bar",
        "error",
        pytest.approx(0.01),
    )
    assert row["detail"] == "another one ends 2024-01-02 21:00 UTC, from vendor and broker"


def test_the_last_hour_of_a_session_may_be_half_a_one() -> None:
    ends = ["15:30", "16:30", "17:30", "18:30", "19:30", "20:30", "21:00"]
    rows = [
        {"timestamp": at(f"2024-01-02 {end}"), "close": 100.0 + n} for n, end in enumerate(ends)
    ]
    assert judged(trades(rows), HOURS) == []
    rows.append({"timestamp": at("2024-01-02 21:10"), "close": 99.0})
    assert names(judged(trades(rows), HOURS)) == ["double_bar", "outside_hours"]


def test_a_whole_session_of_minutes_lacks_nothing() -> None:
    rows = [row for day in (2, 3, 4) for row in minutes(f"2024-01-{day:02d} 14:30", 390)]
    assert judged(trades(rows), MINUTES) == []


def test_half_a_day_of_minutes_lacks_nothing() -> None:
    days = [("2013-11-27 14:30", 390), ("2013-11-29 14:30", 210), ("2013-12-02 14:30", 390)]
    assert judged(trades([row for day in days for row in minutes(*day)]), MINUTES) == []


def test_missing_minutes_are_counted_by_session_but_not_in_the_first_and_last() -> None:
    rows = [
        *minutes("2024-01-02 14:30", 390, first=100),  # it began to trade late that day
        *minutes("2024-01-03 14:30", 390, first=40),
        *minutes("2024-01-04 14:30", 390, first=19),  # 18 of 390 are less than five percent
        *minutes("2024-01-05 14:30", 20),
    ]
    [row] = judged(trades(rows), MINUTES)
    assert (row["rule"], row["detail"]) == ("missing_bars", "351 of 390 bars on 2024-01-03")
    assert row["value"] == pytest.approx(39 / 390)


def test_trading_around_a_session_is_told_apart_from_a_closed_day() -> None:
    rows = [
        {"timestamp": at("2024-01-02 13:00"), "close": 1.0},  # 08:00 in New York
        {"timestamp": at("2024-01-02 14:31"), "close": 1.1},
        {"timestamp": at("2024-01-03 00:30"), "close": 1.2},  # 19:30 in New York
        {"timestamp": at("2024-01-06 16:00"), "close": 1.3},  # a Saturday
    ]
    told = {
        row["timestamp"]: row["rule"]
        for row in judged(trades(rows), MINUTES)
        if row["rule"] in ("outside_hours", "closed_day")
    }
    assert list(told.values()).count("outside_hours") == 2
    assert told[at("2024-01-06 16:00")] == "closed_day"


def test_a_symbol_without_a_calendar_has_no_sessions_to_miss() -> None:
    assert judged(on("2024-01-02", "2024-01-20", vt_symbol="XYZ.NOWHERE")) == []


QUOTES = [
    pytest.param({"bid": 1.1, "ask": 1.2}, [], id="bid below ask"),
    pytest.param({"bid": 1.2, "ask": 1.2}, [], id="locked is not crossed"),
    pytest.param({"bid": 1.3, "ask": 1.2}, ["crossed"], id="bid above ask"),
    pytest.param(
        {
            "bid": 1.1,
            "ask": 1.2,
            "bid_open": 1.2,
            "ask_open": 1.1,
            "bid_high": 1.2,
            "ask_low": 1.1,
        },
        ["crossed"],
        id="crossed at the open only",
    ),
    pytest.param({"bid": 1.1, "ask": None}, ["one_sided"], id="no ask"),
    pytest.param({"bid": 1.1, "ask": -1.0}, ["crossed", "not_positive"], id="a negative ask"),
]
sides = Apart(
    QUOTES,
    lambda quote: quotes([{"timestamp": at("2024-01-09 12:00"), **quote}]),
    Scope("quotes", "1h"),
)


@pytest.mark.parametrize(("quote", "rules"), QUOTES)
def test_a_bar_of_quotes(quote: dict[str, Any], rules: list[str]) -> None:
    assert names(sides(quote)) == rules


def test_neighbouring_pieces_tell_nothing_twice() -> None:
    bars = on("2024-01-03", "2024-01-05", "2024-01-09", "2024-01-11")
    cut = at("2024-01-07 00:00")
    whole = judged(bars)
    parts = [*judged(bars, limits=Limits(until=cut)), *judged(bars, limits=Limits(after=cut))]
    assert [row["timestamp"] for row in parts] == [row["timestamp"] for row in whole]
    assert len(whole) == 3


def test_a_window_tells_of_gaps_that_its_bars_border_on() -> None:
    bars = on("2024-01-03", "2024-01-05", "2024-01-09", "2024-01-11")
    day = Limits(start=at("2024-01-05 00:00"), end=at("2024-01-06 00:00"))
    told = [row["detail"] for row in judged(bars, limits=day)]
    assert sorted(told) == ["no bar on 2024-01-04", "no bar on 2024-01-08"]
