"""How many shares a weight buys by Lean: a target below equity that also pays for its own order."""

from __future__ import annotations

import math
from collections.abc import Callable

from runtimes.engine.sizing import EPSILON

FREE = 0.0025
"""Part of equity that `SetHoldings` leaves alone."""
LEAST = 0.001
"""Part of equity by which margin must change, or no order is given."""
ROUNDS = 64

Charge = Callable[[float], float]
"""The fee in money for trading a signed quantity now."""


def delta_for_weight(
    weight: float,
    *,
    equity: float,
    price: float,
    held: float,
    leverage: float,
    charge: Charge,
    lot: float = 1.0,
) -> float:
    """Return the signed quantity that brings ``held`` to ``weight`` of ``equity``; 0 sells all."""
    value = weight * (1.0 - FREE) * equity
    if weight == 0.0:
        return -held
    if abs(value - held * price) < LEAST * equity * leverage:
        return 0.0
    return delta_for_value(value, equity=equity, price=price, held=held, charge=charge, lot=lot)


def delta_for_value(
    value: float, *, equity: float, price: float, held: float, charge: Charge, lot: float = 1.0
) -> float:
    """Return the signed quantity that brings ``held`` to at most ``value`` in money, fee counted.

    The fee of the order shrinks the equity and by the same part the target, until the position
    fits; shares are whole lots, rounded towards none.
    """
    target, delta = value, 0.0
    for _ in range(ROUNDS):
        lots = math.floor(abs(target) / price / lot + EPSILON)
        shares = math.copysign(lots * lot, target)
        delta = shares - held
        if abs(delta) < lot * (1.0 - EPSILON):
            return 0.0
        target = value * (equity - charge(delta)) / equity
        if abs(shares) * price <= abs(target):
            break
    return delta
