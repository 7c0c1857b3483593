"""Lean's figures: by hand, and from Lean's own fills to every digit that Lean prints."""

from __future__ import annotations

import ast
import datetime as dt
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runtimes.engine.lean import sampling
from runtimes.engine.lean.sampling import Account
from runtimes.engine.lean.statistics import Activity, Rates, printed, statistics
from tests.kit import lean

NOTHING = Rates(np.empty(0, np.int64), np.empty(0))


def ny(text: str) -> int:
    return lean.instant(dt.datetime.fromisoformat(text).replace(tzinfo=lean.ZONE))


def account(*points: tuple[str, float], start: str = "2013-10-07", traded: float = 0.0) -> Account:
    times, values = zip(*points, strict=True)
    return Account(
        np.array([ny(time) for time in times]),
        np.array(values),
        np.concatenate([[traded], np.zeros(len(values) - 1)]),
        ny(start),
        100.0,
    )


def test_a_sample_each_midnight_and_at_the_end() -> None:
    """Friday to Monday: the week-end is sampled too, and the zone has no daylight saving trap."""
    found = sampling.sample_times(
        account(("2013-11-01 16:00", 101.0), ("2013-11-04 16:00", 103.0), start="2013-11-01")
    )
    said = [dt.datetime.fromtimestamp(t / 1e9, lean.ZONE).isoformat(" ", "minutes") for t in found]
    assert said == [
        "2013-11-01 00:00-04:00",
        "2013-11-02 00:00-04:00",
        "2013-11-03 00:00-04:00",
        "2013-11-04 00:00-05:00",
        "2013-11-04 16:00-05:00",
    ]


def test_returns_of_the_week_end_are_zero() -> None:
    found = account(("2013-11-01 16:00", 101.0), ("2013-11-04 16:00", 103.02), start="2013-11-01")
    values = sampling.value_at(found, sampling.sample_times(found))
    assert values.tolist() == [100.0, 101.0, 101.0, 101.0, 103.02]
    assert sampling.performance(values).tolist() == [0.0, 0.01, 0.0, 0.0, 0.02]


def test_a_change_keeps_seven_digits() -> None:
    changes = sampling.performance(np.array([3.0, 4.0]))
    assert changes[1] == pytest.approx(0.3333333, abs=1e-15)


def test_equity_points_are_more_than_four_minutes_apart() -> None:
    minutes = [(f"2013-10-07 09:{31 + i}", 100.0 + i) for i in range(12)]
    found = account(*minutes)
    points = sampling.equity_times(found, sampling.sample_times(found), minutes=1_440)
    said = [dt.datetime.fromtimestamp(t / 1e9, lean.ZONE).strftime("%H:%M") for t in points]
    assert said == ["00:00", "09:31", "09:36", "09:41", "09:42"]


def test_a_benchmark_is_zero_before_its_first_bar() -> None:
    times, closes = np.array([10, 20]), np.array([12.3456789, 1234.56789])
    found = sampling.benchmark_samples(times, closes, np.array([5, 10, 25]))
    assert found.tolist() == [0.0, 12.34568, 1234.5679]
    assert sampling.benchmark_performance(np.array([0.0, 10.0, 11.0])).tolist() == [
        pytest.approx(0.1)
    ]


def test_what_cannot_be_told_is_zero() -> None:
    found = statistics(
        account(("2013-10-07 16:00", 100.0)),
        Activity(0, 0.0, np.empty(0)),
        benchmark=(np.array([0]), np.array([1.0])),
        rates=NOTHING,
        minutes=1_440,
    )
    assert {name for name, value in found.items() if value} == {"End Equity"}


def test_outcomes_are_shares_of_the_running_capital() -> None:
    found = statistics(
        account(("2013-10-07 16:00", 100.0), ("2013-10-09 16:00", 100.0)),
        Activity(6, 3.485, np.array([10.0, -11.0, 0.0])),
        benchmark=(np.array([0]), np.array([1.0])),
        rates=NOTHING,
        minutes=4_320,
    )
    assert found["Average Win"] == 0.1  # 10 of 100
    assert found["Average Loss"] == -0.05  # 11 of 110 and 0 of 99: even counts as lost
    assert found["Win Rate"] == pytest.approx(1 / 3)
    assert found["Loss Rate"] == pytest.approx(2 / 3)
    assert found["Expectancy"] == pytest.approx(1 / 3 * 2.0 - 2 / 3)
    assert printed(found)["Total Fees"] == "$3.49"  # half away from zero


def test_a_recovery_is_timed_from_the_peak_to_the_first_point_that_reaches_it() -> None:
    found = statistics(
        account(
            ("2013-10-07 16:00", 110.0),
            ("2013-10-08 16:00", 90.0),
            ("2013-10-10 16:00", 110.0),
            ("2013-10-11 16:00", 109.0),  # never recovered: does not count
        ),
        Activity(0, 0.0, np.empty(0)),
        benchmark=(np.array([0]), np.array([1.0])),
        rates=NOTHING,
        minutes=7_200,
    )
    assert found["Drawdown Recovery"] == 2  # from midnight of the 8th, the last point at the peak
    assert found["Drawdown"] == 0.182  # 20 / 110, three decimals before it becomes a percent


HELD = [
    "BasicTemplateDaily",
    "SetHoldingReturnsOrderTickets",
    "BasicTemplate",
    "SetHoldingsMultipleTargets",
    "ConsolidateScan",
    "StopMarketOrder",
    "MarketOnCloseOrder",
    "CustomBuyingPowerModel",
    "ProcessSplitSymbols",
    "WarmupIndicator",
]


@pytest.mark.shared
@pytest.mark.parametrize("name", HELD)
def test_leans_own_fills_give_leans_own_figures(shared_data: Path, name: str) -> None:
    case = lean.cases(shared_data)[name]
    found = printed(figures(shared_data, case, fills_of(case)))
    wanted = {key: text for key, text in case["expected"].items() if key != "Start Equity"}
    assert {k: lean.number(v) for k, v in found.items()} == {
        k: lean.number(v) for k, v in wanted.items()
    }


def fills_of(case: dict[str, Any]) -> list[dict[str, Any]]:
    """Return Lean's fills of a case; the file holds some cases' as text."""
    told = case["verification"]
    rows = (ast.literal_eval(told) if isinstance(told, str) else told)["fills"]
    return [
        dict(zip(("time", "symbol", "quantity", "price", "fee"), row, strict=True)) for row in rows
    ]


def figures(folder: Path, case: dict[str, Any], fills: list[dict[str, Any]]) -> dict[str, float]:
    """Replay fills over the case's bars and compute Lean's statistics of the account."""
    first, last = (dt.date.fromisoformat(case[key]) for key in ("start", "end"))
    held = {
        symbol: lean.bars(folder, symbol, case["resolution"], first, last)
        for symbol in case["symbols"]
    }
    times = np.unique(np.concatenate([bars.times for bars in held.values()]))
    values, traded, outcomes = replay(times, held, fills, case)
    benchmark = lean.bars(folder, "SPY", "hour", dt.date(1998, 1, 1), last)
    return statistics(
        Account(times, values, traded, sampling.midnight(first), float(case["starting_cash"])),
        Activity(len(fills), sum(fill["fee"] for fill in fills), np.array(outcomes)),
        benchmark=(benchmark.times, benchmark.close),
        rates=lean.rates(folder),
        minutes=((last - first).days + 1) * 1_440,
    )


def replay(
    times: np.ndarray[Any, Any],
    held: dict[str, lean.Bars],
    fills: list[dict[str, Any]],
    case: dict[str, Any],
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], list[float]]:
    cash = float(case["starting_cash"])
    position, cost, last = (dict.fromkeys(held, 0.0) for _ in range(3))
    closes = {
        symbol: dict(zip(bars.times.tolist(), bars.close.tolist(), strict=True))
        for symbol, bars in held.items()
    }
    values, traded, outcomes = [], [], []
    for time in times.tolist():
        moved = 0.0
        for fill in fills:
            when = dt.datetime.fromisoformat(fill["time"])
            if case["resolution"] == "daily":  # known only when that day's bar closes
                when = dt.datetime.combine(when.date(), lean.CLOSE)
            if lean.instant(when.replace(tzinfo=lean.ZONE)) != time:
                continue
            symbol, quantity, price = fill["symbol"], fill["quantity"], fill["price"]
            if position[symbol] * quantity < 0:
                closed = min(abs(quantity), abs(position[symbol])) * np.sign(position[symbol])
                outcomes.append(closed * (price - cost[symbol]) - 2 * fill["fee"])
            else:
                whole = position[symbol] + quantity
                cost[symbol] = (cost[symbol] * position[symbol] + price * quantity) / whole
            position[symbol] += quantity
            cash -= quantity * price + fill["fee"]
            moved += abs(quantity * price)
        last |= {symbol: closes[symbol].get(time, last[symbol]) for symbol in held}
        values.append(cash + sum(position[symbol] * last[symbol] for symbol in held))
        traded.append(moved)
    return np.array(values), np.array(traded), outcomes
