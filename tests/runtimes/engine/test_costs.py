"""Fees and slippage by hand."""

from __future__ import annotations

import pytest

from runtimes.engine.params import make
from tests.kit.engine import cost, fee, slipped


@pytest.mark.parametrize(
    ("quantity", "price", "expected"),
    [
        pytest.param(100, 50.0, 1.00, id="half a dollar is raised to the minimum"),
        pytest.param(-100, 50.0, 1.00, id="a sale pays as a buy does"),
        pytest.param(697, 50.0, 3.485, id="half a cent a share"),
        pytest.param(10_000, 0.01, 0.50, id="at most half a percent of the value"),
        pytest.param(100, 0.01, 1.00, id="the minimum beats the cap"),
        pytest.param(0, 50.0, 0.0, id="no trade, no fee"),
    ],
)
def test_interactive_brokers_fee_by_hand(quantity: float, price: float, expected: float) -> None:
    assert fee(float(quantity), price, make(fee="interactive_brokers")) == pytest.approx(expected)


def test_a_bps_fee_is_a_part_of_the_value() -> None:
    assert fee(-200.0, 50.0, make(fee="bps", fee_bps=10)) == pytest.approx(10.0)


def test_no_fee_is_no_fee() -> None:
    assert fee(1e9, 1e3, make()) == 0.0


@pytest.mark.parametrize(
    ("quantity", "expected"),
    [
        pytest.param(10.0, 100.5, id="a buy pays more"),
        pytest.param(-10.0, 99.5, id="a sale gets less"),
        pytest.param(0.0, 100.0, id="no trade, no slip"),
    ],
)
def test_slippage_is_always_against_the_trader(quantity: float, expected: float) -> None:
    assert slipped(quantity, 100.0, make(slippage_bps=50)) == pytest.approx(expected)


def test_the_cost_is_slippage_and_the_fee_on_the_price_paid() -> None:
    params = make(fee="bps", fee_bps=100, slippage_bps=50)
    assert cost(10.0, 100.0, params) == pytest.approx(10 * 0.5 + 0.01 * 10 * 100.5)
