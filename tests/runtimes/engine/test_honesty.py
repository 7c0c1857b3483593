"""How much of a profit hangs on one trade, symbol or year, by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from runtimes.engine.arrays import Worth
from runtimes.engine.curve import Curve
from runtimes.engine.honesty import concentration
from runtimes.engine.results import Result

DAY = 86_400 * 10**9


def result(pnl: list[float], symbols: list[str], equity: list[float], days: list[int]) -> Result:
    size = len(equity)
    zeros = {name: np.zeros(size) for name in Worth._fields}
    return Result(
        timestamps=np.array(days, dtype=np.int64) * DAY,
        curve=Curve(Worth(**{**zeros, "equity": np.array(equity)}), start=100.0),
        fills={},
        orders={},
        trades={"pnl": np.array(pnl), "vt_symbol": np.array(symbols, dtype=np.str_)},
        positions={},
        warnings=(),
        partial=False,
    )


@pytest.mark.parametrize(
    ("pnl", "symbols", "trade", "symbol"),
    [
        pytest.param(
            [10, 30, -20, 20], ["A", "B", "A", "B"], 30 / 40, ("B", 50 / 40), id="four trades"
        ),
        pytest.param([10, 10], ["A", "A"], 0.5, None, id="one symbol has no share in itself"),
        pytest.param([10], ["A"], None, None, id="nor has one trade"),
        pytest.param([10, -30], ["A", "B"], None, None, id="no profit to share"),
        pytest.param([], [], None, None, id="no trade"),
    ],
)
def test_trades_and_symbols_by_hand(
    pnl: list[float], symbols: list[str], trade: float | None, symbol: Any
) -> None:
    found = concentration(result(pnl, symbols, [100.0], [0]), cash=100.0)
    assert found["trade"] == (None if trade is None else {"share": pytest.approx(trade)})
    told = None if symbol is None else {"name": symbol[0], "share": pytest.approx(symbol[1])}
    assert found["symbol"] == told


def test_a_year_counts_by_its_part_of_the_growth() -> None:
    """100 -> 110 -> 121 in 1970 and 1971, then back to 110 in 1972: one step of two is left."""
    found = concentration(result([], [], [110.0, 121.0, 110.0], [0, 365, 730]), cash=100.0)
    assert found["year"] == {"name": 1970, "share": pytest.approx(1.0)}


def test_an_account_that_fell_to_nothing_has_no_year() -> None:
    found = concentration(result([], [], [110.0, 0.0], [0, 400]), cash=100.0)
    assert found["year"] is None
