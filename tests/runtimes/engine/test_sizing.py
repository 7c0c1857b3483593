"""A weight buys the largest position that also pays for its own trade."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtimes.engine.arrays import Params
from runtimes.engine.params import make
from runtimes.engine.sizing import EPSILON
from tests.kit.engine import cost, shares_for

FEES = st.sampled_from(["zero", "bps", "interactive_brokers"])
PRICE = st.floats(0.05, 2_000)
BUDGET = st.floats(0, 200_000)


@pytest.mark.parametrize(
    ("value", "price", "held", "params", "expected"),
    [
        pytest.param(1_000, 30, 0, make(), 33, id="whole shares are truncated"),
        pytest.param(-1_000, 30, 0, make(), -33, id="short ones towards zero as well"),
        pytest.param(1_000, 30, 0, make(fractional=True), 1_000 / 30, id="fractions use it up"),
        pytest.param(0, 30, 17, make(), 0, id="weight 0 sells everything"),
        pytest.param(1_000, 100, 0, make(fee="interactive_brokers"), 9, id="10 would not pay 1.00"),
        pytest.param(1_001, 100, 0, make(fee="interactive_brokers"), 10, id="10 and their fee fit"),
        pytest.param(1_000, 100, 10, make(fee="interactive_brokers"), 10, id="holding costs none"),
        pytest.param(100, 100, 0, make(fee="bps", fee_bps=100), 0, id="the last share cannot pay"),
        pytest.param(0.5, 0.3, 0, make(fee="interactive_brokers"), 0, id="less than the fee"),
        pytest.param(3 * 0.1, 0.1, 0, make(), 3, id="rounding does not lose a share"),
    ],
)
def test_sizes_by_hand(
    value: float, price: float, held: float, params: Params, expected: float
) -> None:
    assert shares_for(float(value), float(price), float(held), params) == pytest.approx(expected)


def test_more_shares_than_a_float_can_count_come_to_an_end() -> None:
    """Above 2**53 neighbours of a float are further apart than one share."""
    for fee in ("zero", "bps", "interactive_brokers"):
        shares = shares_for(100_000.0, 1e-12, 0.0, make(fee=fee, fee_bps=1.0))
        assert 0.0 <= shares * 1e-12 <= 100_000.0


def test_a_fraction_pays_its_fee_out_of_its_own_budget() -> None:
    shares = shares_for(1_000.0, 50.0, 0.0, make(fee="bps", fee_bps=100, fractional=True))
    assert shares == pytest.approx(1_000 / (50 * 1.01))


@given(BUDGET, PRICE, st.integers(-500, 500), FEES, st.sampled_from([0.0, 25.0]), st.booleans())
@settings(max_examples=300, deadline=None)
def test_whole_shares_fit_and_one_more_would_not(
    budget: float, price: float, held: int, model: str, slippage: float, short: bool
) -> None:
    params = make(fee=model, fee_bps=30, slippage_bps=slippage)
    sign = -1.0 if short else 1.0
    shares = shares_for(sign * budget, price, float(held), params)
    size = abs(shares)

    def spent(count: float) -> float:
        return count * price + cost(sign * count - held, price, params)

    assert size == int(size)
    assert size == 0 or shares * sign > 0
    assert size == 0 or spent(size) <= budget + 1e-6
    # A minimum fee makes doing nothing cheaper than a small trade, so look past the held size too.
    assert spent(size + 1) > budget or spent(size + 1) - spent(size) < price


@given(BUDGET, PRICE, st.integers(-500, 500), FEES, st.sampled_from([0.0, 25.0]), st.booleans())
@settings(max_examples=300, deadline=None)
def test_guesses_and_halves_find_what_halves_alone_find(
    budget: float, price: float, held: int, model: str, slippage: float, short: bool
) -> None:
    """Between a number that fits and one that does not, the search by the book."""
    params = make(fee=model, fee_bps=30, slippage_bps=slippage)
    sign = -1.0 if short else 1.0

    def fits(count: float) -> bool:
        spent = count * price + cost(sign * count - held, price, params)
        return spent <= budget + EPSILON * price

    high = math.floor(budget / price + EPSILON)
    charge = cost(sign * high - held, price, params)
    low = max(math.floor((budget - charge) / price + EPSILON), 0)
    low = low if fits(low) else 0
    while high - low > 1 and not fits(high):
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    best = high if fits(high) else low
    assert shares_for(sign * budget, price, float(held), params) == sign * max(best, 0)


@given(BUDGET, PRICE, st.floats(-500, 500), st.sampled_from(["zero", "bps"]))
@settings(max_examples=200, deadline=None)
def test_fractions_use_the_budget_up(budget: float, price: float, held: float, model: str) -> None:
    params = make(fee=model, fee_bps=30, slippage_bps=10, fractional=True)
    shares = shares_for(budget, price, held, params)
    spent = shares * price + cost(shares - held, price, params)
    assert spent == pytest.approx(budget, rel=1e-9, abs=1e-9) or shares == 0
