"""How many shares a weight buys by Lean, by hand."""

from __future__ import annotations

import pytest

from runtimes.engine.lean.sizing import delta_for_value, delta_for_weight

EQUITY = 100_000.0


def fee(quantity: float) -> float:
    return 0.005 * abs(quantity)


def size(weight: float, price: float, held: float = 0.0, leverage: float = 2.0) -> float:
    return delta_for_weight(
        weight, equity=EQUITY, price=price, held=held, leverage=leverage, charge=fee
    )


@pytest.mark.parametrize(
    ("weight", "price", "held", "delta"),
    [
        (1.0, 100.0, 0.0, 997.0),  # 99,750 buys 997.5
        (1.0, 99.75, 0.0, 999.0),  # 1,000 use it up, and leave nothing for the fee of 5.00
        (-1.0, 100.0, 0.0, -997.0),
        (0.5, 100.0, 997.0, -499.0),  # 49,875 buys 498.75
        (0.0, 100.0, 997.0, -997.0),
        (1.0, 100.0, 996.0, 0.0),  # 150 away: less than 0.1 % of equity times the leverage
        (1.0, 200_000.0, 0.0, 0.0),
    ],
)
def test_a_weight_in_shares(weight: float, price: float, held: float, delta: float) -> None:
    assert size(weight, price, held) == delta


def test_with_less_leverage_a_smaller_change_is_worth_an_order() -> None:
    assert size(1.0, 100.0, 996.0, leverage=1.0) == 1.0


def test_a_lot_is_never_broken() -> None:
    delta = delta_for_value(99.9, equity=EQUITY, price=7.0, held=0.0, charge=fee, lot=0.25)
    assert delta == 14.25  # 14.27
