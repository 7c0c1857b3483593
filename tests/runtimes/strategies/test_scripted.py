"""Strategies that give orders: what they quote at each close, and what that comes to."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pytest

from runtimes.engine.arrays import Market, Targets
from runtimes.engine.params import make
from runtimes.engine.results import Result
from runtimes.engine.scripting import play
from runtimes.engine.simulation import Simulation
from runtimes.strategies import STRATEGIES
from runtimes.strategies.base import View
from runtimes.strategies.scripted import ScriptStrategy
from tests.kit.engine import DAY, sample_market
from topology.frames import Progress


class Quiet(Progress):
    def emit(self, stage: str, message: str, **extras: Any) -> None:
        """Say nothing."""

    def checkpoint(self) -> None:
        """Go on."""


def played(name: str, market: Market, first: int, symbols: tuple[str, ...], **asked: Any) -> Result:
    strategy = cast("ScriptStrategy", STRATEGIES.load(name))
    params = strategy.params.model_validate(asked)
    none = Targets(np.zeros(0, np.int64), np.zeros((0, len(symbols))))
    simulation = Simulation(market, symbols, none, make(cash=10_000), first=first)
    play(strategy.build(params, View(market, first)), simulation, Quiet())
    return simulation.result()


def bars(rows: list[tuple[float, float, float, float]]) -> Market:
    """Return one symbol's days from (open, high, low, close)."""
    open_, high, low, close = np.array(rows, dtype=float).T[:, :, None].copy()
    times = np.arange(len(rows), dtype=np.int64) * DAY
    return Market(times, open_, high, low, close, np.full((len(rows), 1), 1e6))


def test_a_breakout_is_bought_at_the_channel_and_sold_at_the_target() -> None:
    """Three quiet days of range 2: the entry stands at 101, the stop at 99, the target at 105."""
    quiet = [(100.0, 101.0, 99.0, 100.0)] * 3
    rows: list[tuple[float, float, float, float]] = [
        *quiet,
        (100, 102, 100, 102),
        (102, 106, 102, 105),
        (105, 105, 104, 104),
    ]

    result = played(
        "bracket_breakout", bars(rows), 2, ("A",), lookback=2, stop=1, target=2, risk=0.01
    )

    assert result.fills["side"].tolist() == ["buy", "sell"]
    assert result.fills["price"].tolist() == [101.0, 105.0]
    assert result.fills["quantity"].tolist() == [50.0, 50.0]  # 1 % of 10,000 over 2 a share
    ended = list(zip(result.orders["type"].tolist(), result.orders["status"].tolist(), strict=True))
    assert ("limit", "filled") in ended
    assert ("stop", "cancelled") in ended  # the bracket's other exit


def test_a_dip_below_the_average_is_bought_by_a_limit_and_offered_at_the_average() -> None:
    """Closes 99 and 101: average 100, deviation 1, so the bid stands at 98."""
    rows: list[tuple[float, float, float, float]] = [
        (99, 99, 99, 99),
        (101, 101, 101, 101),
        (100, 100, 97, 98),
        (98, 100.5, 98, 100),
    ]

    result = played("vwap_reversion", bars(rows), 1, ("A",), lookback=2, width=2)

    fills = result.fills
    assert fills["side"].tolist()[0] == "buy"
    assert fills["price"].tolist()[0] == pytest.approx(98.0)
    assert fills["side"].tolist()[1] == "sell"
    assert fills["price"].tolist()[1] == pytest.approx((101 + 295 / 3) / 2)


@pytest.mark.parametrize("name", ["bracket_breakout", "vwap_reversion"])
def test_scripts_trade_real_bars_with_orders_only(name: str) -> None:
    market, symbols = sample_market()

    result = played(name, market, 300, symbols)

    assert result.fills["price"].size > 100
    assert set(result.orders["type"].tolist()) <= {"limit", "stop"}
    assert result.curve.equity.min() > 0
