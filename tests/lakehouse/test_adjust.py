"""Adjustment by hand: factors count up to and including their day."""

from __future__ import annotations

import datetime as dt
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakehouse.adjust import Adjust, adjusted, unadjusted
from tests.kit.lake import bars

DAYS = [dt.date(2024, 1, day) for day in (2, 3, 4)]


def factors(*rows: tuple[dt.date, float, float], symbol: str = "AAPL.NASDAQ") -> pa.Table:
    """Return rows of (last day, price factor, split factor)."""
    days, prices, splits = zip(*rows, strict=True) if rows else ((), (), ())
    return pa.table(
        {
            "vt_symbol": pa.array([symbol] * len(rows), pa.string()),
            "date": pa.array(days, pa.date32()),
            "price_factor": pa.array(prices, pa.float64()),
            "split_factor": pa.array(splits, pa.float64()),
        }
    )


@pytest.mark.parametrize(
    ("adjust", "rows", "closes", "volumes"),
    [
        pytest.param("none", [(DAYS[0], 0.5, 0.5)], [8, 8, 8], [100] * 3, id="none means raw"),
        pytest.param("total", [], [8, 8, 8], [100] * 3, id="nothing known, nothing changed"),
        pytest.param(
            "split",
            [(DAYS[0], 1.0, 0.5), (DAYS[2], 1.0, 1.0)],
            [4, 8, 8],
            [200, 100, 100],
            id="2:1 after the first day: half the price, twice the shares",
        ),
        pytest.param(
            "split",
            [(DAYS[0], 0.9, 0.5), (DAYS[2], 1.0, 1.0)],
            [4, 8, 8],
            [200, 100, 100],
            id="split leaves dividends out",
        ),
        pytest.param(
            "total",
            [(DAYS[0], 0.9, 0.5), (DAYS[1], 0.95, 1.0), (DAYS[2], 1.0, 1.0)],
            [3.6, 7.6, 8],
            [200, 100, 100],
            id="total multiplies both; dividends move no shares",
        ),
        pytest.param(
            "total",
            [(DAYS[2], 1.0, 1.0), (DAYS[0], 0.9, 0.5)],
            [3.6, 8, 8],
            [200, 100, 100],
            id="rows in any order",
        ),
        pytest.param(
            "total",
            [(DAYS[1], 0.5, 1.0)],
            [4, 4, 8],
            [100] * 3,
            id="after the last row the factor is 1",
        ),
    ],
)
def test_adjusted_by_hand(
    adjust: Adjust, rows: list[Any], closes: list[float], volumes: list[float]
) -> None:
    table = adjusted(bars(closes=[8.0, 8.0, 8.0]), factors(*rows), adjust)
    for name in ("open", "high", "low", "close"):
        assert table.column(name).to_pylist() == pytest.approx(closes)
    assert table.column("volume").to_pylist() == pytest.approx(volumes)


def test_every_symbol_has_its_own_factors() -> None:
    both = pa.concat_tables([bars("MSFT.NASDAQ", [8.0]), bars("AAPL.NASDAQ", [8.0])])
    table = adjusted(both, factors((DAYS[0], 1.0, 0.5)), "split")
    assert table.column("close").to_pylist() == [8.0, 4.0]
    assert unadjusted(both, factors((DAYS[0], 1.0, 0.5))) == ["MSFT.NASDAQ"]


def test_a_bar_that_ends_at_midnight_belongs_to_the_day_before() -> None:
    midnight = bars(closes=[8.0], start=dt.datetime(2024, 1, 3, tzinfo=dt.UTC))
    rows = factors((DAYS[0], 1.0, 0.5), (DAYS[2], 1.0, 1.0))
    assert adjusted(midnight, rows, "split").column("close").to_pylist() == [4.0]


def test_no_volume_stays_no_volume() -> None:
    table = bars()
    place = table.schema.get_field_index("volume")
    table = table.set_column(place, "volume", pa.array([None, 1.0, None], pa.float64()))
    rows = factors((DAYS[2], 1.0, 0.5))
    assert adjusted(table, rows, "split").column("volume").to_pylist() == [None, 2.0, None]


@given(
    closes=st.lists(st.floats(0.01, 1e5), min_size=2, max_size=20),
    split=st.floats(0.01, 100.0),
    price=st.floats(0.1, 1.0),
)
def test_returns_inside_a_run_of_equal_factors_do_not_change(
    closes: list[float], split: float, price: float
) -> None:
    raw = bars(closes=closes)
    rows = factors((dt.date(2030, 1, 1), price, split))
    total = adjusted(raw, rows, "total").column("close").to_numpy()
    before = np.asarray(closes)
    assert total[1:] / total[:-1] == pytest.approx(before[1:] / before[:-1])
    assert total / before == pytest.approx(np.full(len(closes), price * split))


@pytest.mark.parametrize(
    ("symbol", "closes"),
    [
        pytest.param("WMT.NYSE", [4.0, 4.0, 8.0], id="the evening in New York"),
        pytest.param("WMT.USA", [4.0, 4.0, 8.0], id="of Lean's market, too"),
        pytest.param("BTCUSD.COINBASE", [4.0, 8.0, 8.0], id="elsewhere the UTC day"),
    ],
)
def test_the_evening_of_the_last_day_before_a_split(symbol: str, closes: list[float]) -> None:
    """2:1 after Friday 2 February 2024: minutes that end at 19:00, 19:01 EST and on Monday."""
    friday = dt.datetime(2024, 2, 3, tzinfo=dt.UTC)
    minutes = [friday, friday + dt.timedelta(minutes=1), friday + dt.timedelta(days=2, hours=14)]
    rows = bars(symbol, (8.0, 8.0, 8.0)).set_column(
        1, "timestamp", pa.array(minutes, pa.timestamp("us", tz="UTC"))
    )
    known = factors((dt.date(2024, 2, 2), 1.0, 0.5), symbol=symbol)
    assert adjusted(rows, known, "split").column("close").to_pylist() == closes


@pytest.mark.parametrize(
    ("hour", "closes"),
    [
        pytest.param(23, [4.0, 8.0, 8.0], id="Sydney in summer: the first hour ends at 00:00 UTC"),
        pytest.param(25, [4.0, 8.0, 8.0], id="and the second later"),
    ],
)
def test_the_first_hours_in_sydney_are_after_a_split(hour: int, closes: list[float]) -> None:
    """2:1 after Monday 5 February 2024; hours end at 16:00 on Monday, then on Tuesday."""
    monday = dt.datetime(2024, 2, 5, tzinfo=dt.UTC)
    hours = [monday + dt.timedelta(hours=n) for n in (5, hour, hour + 1)]
    rows = bars("BHP.ASX", (8.0, 8.0, 8.0)).set_column(
        1, "timestamp", pa.array(hours, pa.timestamp("us", tz="UTC"))
    )
    known = factors((dt.date(2024, 2, 5), 1.0, 0.5), symbol="BHP.ASX")
    assert adjusted(rows, known, "split").column("close").to_pylist() == closes


@pytest.mark.parametrize("end", [dt.timedelta(hours=5), dt.timedelta(hours=13), dt.timedelta(1)])
def test_a_daily_bar_is_stamped_at_the_close_or_at_midnight(end: dt.timedelta) -> None:
    """In Sydney on 5 February 2024: at 16:00, at midnight there, at midnight UTC."""
    monday = dt.datetime(2024, 2, 5, tzinfo=dt.UTC)
    known = factors((dt.date(2024, 2, 4), 1.0, 0.5), (dt.date(2024, 2, 5), 1.0, 0.25))
    known = known.set_column(0, "vt_symbol", pa.array(["BHP.ASX"] * 2))
    rows = bars("BHP.ASX", [8.0], start=monday + end)
    assert adjusted(rows, known, "split", daily=True).column("close").to_pylist() == [2.0]
