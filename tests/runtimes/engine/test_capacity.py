"""Capacity by hand: how far an account can grow before its trades are too much of a day."""

from __future__ import annotations

import math

import numpy as np
import pytest

from runtimes.engine.arrays import Market
from runtimes.engine.capacity import capacity
from runtimes.engine.results import Columns

DAY = 86_400 * 10**9


def market(volumes: list[list[float]], *, every: int = DAY) -> Market:
    """Return bars at a price of 10 with these volumes (T, N)."""
    volume = np.array(volumes, dtype=float)
    price = np.full(volume.shape, 10.0)
    return Market(np.arange(len(volumes)) * every, price, price, price, price, volume)


def fills(*rows: tuple[int, str, float]) -> Columns:
    """Return fills at 10: bar, symbol, quantity."""
    times, names, quantities = zip(*rows, strict=True)
    return {
        "timestamp": np.array(times) * DAY,
        "vt_symbol": np.array(names),
        "quantity": np.array(quantities, dtype=float),
        "price": np.full(len(rows), 10.0),
    }


def test_one_trade_by_hand() -> None:
    """20 of 100 are traded; 1 % of a median day of 5,000 is 50, two and a half times as much."""
    bars = market([[400.0], [500.0], [900.0]])
    found = capacity(bars.timestamps, np.full(3, 100.0), fills((1, "A", 2.0)), bars, ("A",))
    assert found == pytest.approx(250.0)


def test_fills_of_a_symbol_in_one_bar_are_one_trade() -> None:
    bars = market([[500.0]] * 3)
    found = capacity(
        bars.timestamps, np.full(3, 100.0), fills((1, "A", 1.0), (1, "A", 1.0)), bars, ("A",)
    )
    assert found == pytest.approx(250.0)


def test_the_tightest_of_twenty_trades_may_exceed_it() -> None:
    bars = market([[500.0, 1.0]] * 41)
    small = [(bar, "A", 1.0) for bar in range(40)]
    most = capacity(bars.timestamps, np.full(41, 100.0), fills(*small), bars, ("A", "B"))
    assert most == pytest.approx(500.0)
    crowded = fills(*small, (40, "B", 1.0))
    assert capacity(bars.timestamps, np.full(41, 100.0), crowded, bars, ("A", "B")) == most
    more = fills(*small, *((40 - k, "B", 1.0) for k in range(9)))
    assert capacity(bars.timestamps, np.full(41, 100.0), more, bars, ("A", "B")) == pytest.approx(1)


def test_the_bars_of_a_day_are_one_day() -> None:
    bars = market([[250.0]] * 4, every=DAY // 2)
    traded = fills((1, "A", 2.0))
    assert capacity(bars.timestamps, np.full(4, 100.0), traded, bars, ("A",)) == pytest.approx(250)


@pytest.mark.parametrize(
    ("volume", "equity"), [(0.0, 100.0), (math.nan, 100.0), (500.0, 0.0)], ids=str
)
def test_without_volume_or_equity_there_is_no_capacity(volume: float, equity: float) -> None:
    bars = market([[volume]] * 3)
    traded = fills((1, "A", 2.0))
    assert math.isnan(capacity(bars.timestamps, np.full(3, equity), traded, bars, ("A",)))


def test_look_back_does_not_count() -> None:
    bars = market([[9e9], [9e9], [500.0], [500.0]])
    traded = fills((3, "A", 2.0))
    found = capacity(bars.timestamps[2:], np.full(2, 100.0), traded, bars, ("A",))
    assert found == pytest.approx(250.0)
