"""Rules on prices and volume, each with a bar that it must find and one that it must not."""

from __future__ import annotations

import datetime as dt
import math
from typing import Any

import pyarrow as pa
import pytest

from lakehouse import schemas
from lakehouse.quality.rule import Scope
from tests.kit.quality import NOW, Apart, daily, judged, names, quotes, trades, wave


def found(prices: list[Any], rule: str, **named: Any) -> list[dict[str, Any]]:
    return [row for row in judged(daily(prices), **named) if row["rule"] == rule]


def factors(*rows: tuple[str, float, float]) -> pa.Table:
    made = [
        {
            "vt_symbol": "AAA.NYSE",
            "date": dt.date.fromisoformat(day),
            "price_factor": price,
            "split_factor": split,
            "known_at": NOW,
            "source": "test",
            "run_id": "r",
        }
        for day, price, split in rows
    ]
    return pa.Table.from_pylist(made, schema=schemas.ADJUSTMENTS.columns)


BARS = [
    pytest.param({}, [], id="a flat bar is a bar"),
    pytest.param({"low": -1.0, "open": -1.0}, ["not_positive"], id="a negative price"),
    pytest.param({"low": 0.0}, ["not_positive"], id="a price of 0"),
    pytest.param({"volume": -1.0}, ["not_positive"], id="a negative volume"),
    pytest.param({"volume": 0.0}, ["zero_volume"], id="no volume"),
    pytest.param({"volume": None}, [], id="unknown volume is not no volume"),
    pytest.param({"high": 99.0}, ["inconsistent"], id="the high below the close"),
    pytest.param({"low": 101.0}, ["inconsistent"], id="the low above the open"),
    pytest.param({"high": 120.0, "low": 80.0}, [], id="a wide bar is consistent"),
]
bars = Apart(BARS, lambda bar: daily([bar]))


@pytest.mark.parametrize(("bar", "rules"), BARS)
def test_one_bar(bar: dict[str, Any], rules: list[str]) -> None:
    assert names(bars(bar)) == rules


def test_a_change_of_currency_is_found_at_the_first_bar_of_the_new_one() -> None:
    bars = [1.0, 1.1, {"close": 1.2, "currency": "GBP"}, {"close": 1.3, "currency": "GBP"}]
    [row] = found(bars, "currency_change")
    assert (row["detail"], row["severity"]) == ("from USD to GBP", "error")
    assert row["timestamp"].date() == dt.date(2024, 1, 4)


RUNS = [
    pytest.param([100.0] * 4, None, id="four closes alike happen"),
    pytest.param([99.0] + [100.0] * 6, 6, id="six bars alike, volume too"),
    pytest.param([{"volume": 0.0}] * 5, 5, id="five without volume"),
    pytest.param([{"volume": 100.0 + n} for n in range(9)], None, id="traded at one price"),
    pytest.param([{"volume": None}] * 5, 5, id="volume unknown, no range"),
    pytest.param([{"volume": None, "high": 101.0}] * 9, None, id="volume unknown, a range"),
    pytest.param([100.0, 100.0, 100.0, 101.0, 101.0, 101.0], None, id="two short runs"),
]
runs = Apart(RUNS, daily)


@pytest.mark.parametrize(("bars", "length"), RUNS)
def test_stale_runs_by_hand(bars: list[Any], length: int | None) -> None:
    found = [row["value"] for row in runs(bars) if row["rule"] == "stale_run"]
    assert found == ([] if length is None else [length])


def test_a_stale_run_tells_from_when_to_when() -> None:
    [row] = found([99.0, *[100.0] * 6, 101.0], "stale_run")
    assert row["detail"] == "6 bars at 100"
    assert (row["since"].date(), row["timestamp"].date()) == (
        dt.date(2024, 1, 3),
        dt.date(2024, 1, 10),
    )


def test_a_bad_print_is_a_spike_and_lasting_news_an_outlier() -> None:
    calm = wave(60)
    bad = [row for row in judged(daily([*calm, 150.0, *wave(5)])) if row["rule"] == "spike"]
    assert [(row["timestamp"].date(), row["severity"]) for row in bad] == [
        (dt.date(2024, 3, 28), "warning")
    ]
    news = judged(daily([*calm, *wave(5, 130.0)]))
    assert names(news) == ["outlier"]


def test_the_distance_is_measured_in_median_absolute_deviations() -> None:
    """Of 63 moves, 21 each are -1 %, 0 and +1 %: median 0, deviation 1 %; 21 % is 21 of those."""
    steps = [0.01, 0.0, -0.01] * 21
    prices = [100.0]
    for step in [*steps, 0.21]:
        prices.append(prices[-1] * math.exp(step))
    [row] = found(prices, "outlier")
    assert row["value"] == pytest.approx(0.6745 * 21, rel=1e-6)


def test_thirty_moves_are_needed_before_anything_is_far() -> None:
    assert found([*wave(30), 130.0, 130.0], "outlier") == []
    assert len(found([*wave(31), 130.0, 130.5], "outlier")) == 1


JUMPS = [
    pytest.param(1 / 2, "2:1", id="two for one"),
    pytest.param(2 / 3, "3:2", id="three for two"),
    pytest.param(1 / 7, "7:1", id="seven for one"),
    pytest.param(10.0, "1:10", id="one for ten, a reverse split"),
    pytest.param(0.8, None, id="a bad day of 20 % is none"),
    pytest.param(0.55, None, id="nor is one of 45 %"),
]
jumps = Apart(JUMPS, lambda ratio: daily([*wave(10), *wave(10, 100 * ratio)]))


@pytest.mark.parametrize(("ratio", "told"), JUMPS)
def test_jumps_like_splits(ratio: float, told: str | None) -> None:
    rows = [row for row in jumps(ratio) if row["rule"] == "split_jump"]
    assert [row["detail"].split()[0] for row in rows] == ([] if told is None else [told])


def test_a_split_with_its_factor_is_no_jump() -> None:
    prices = [*wave(10), *wave(10, 50.0)]
    last_day_before = "2024-01-16"
    known = factors((last_day_before, 1.0, 0.5))
    assert found(prices, "split_jump", factors=known) == []
    assert judged(daily(prices), factors=known) == []


def test_a_factor_of_another_day_explains_nothing() -> None:
    prices = [*wave(10), *wave(10, 50.0)]
    assert found(prices, "split_jump", factors=factors(("2024-01-11", 1.0, 0.5))) != []


def test_a_crash_within_a_day_is_no_split() -> None:
    crash = {"open": 100.0, "high": 100.0, "low": 50.0, "close": 50.0}
    assert found([*wave(10), crash, *wave(5, 50.0)], "split_jump") == []


def test_quotes_are_judged_by_their_middle_and_each_side_by_itself() -> None:
    hour = Scope("quotes", "1h")
    times = [dt.datetime(2024, 1, 9, n, tzinfo=dt.UTC) for n in range(1, 5)]
    rows = [
        {"timestamp": t, "bid": 1.10 + n / 1e4, "ask": 1.11 + n / 1e4} for n, t in enumerate(times)
    ]
    assert judged(quotes(rows), hour) == []
    rows[2]["ask_high"] = 1.0
    assert names(judged(quotes(rows), hour)) == ["inconsistent"]


def test_intraday_moves_over_night_are_not_far() -> None:
    """Prices gap over night as they never do within a day: minutes are compared with minutes."""
    minute = Scope("bars", "1m")

    def session(day: int, level: float) -> list[dict[str, Any]]:
        start = dt.datetime(2024, 1, day, 14, 30, tzinfo=dt.UTC)
        times = (start + dt.timedelta(minutes=n) for n in range(1, 391))
        return [{"timestamp": t, "close": p} for t, p in zip(times, wave(390, level), strict=True)]

    assert judged(trades([*session(3, 100.0), *session(4, 93.0)]), minute) == []
