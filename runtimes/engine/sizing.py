"""How many shares a target weight buys: the largest position that also pays for its own trade."""

from __future__ import annotations

import math

import numpy as np

from runtimes.engine.arrays import Conditions, Market, Params
from runtimes.engine.compiled import compiled
from runtimes.engine.costs import cost

EPSILON = 1e-9
"""Shares: what rounding may take from a whole share before it is lost (Lean uses the same)."""
SETTLED = 1e-13
ROUNDS = 64


@compiled
def lot_of(i: int, conditions: Conditions, p: Params) -> float:
    """Return the smallest tradable piece of a symbol in shares, 0 for any fraction."""
    if conditions.terms.size:
        return float(conditions.terms[i].lot)
    return 0.0 if p.fractional else 1.0


@compiled
def in_lots(shares: float, lot: float) -> float:
    """Return as much of ``shares`` as whole lots hold, towards 0; rounding loses none."""
    if lot == 0.0:
        return shares
    lots = shares / lot
    return float(lot * np.trunc(lots + EPSILON if lots > 0.0 else lots - EPSILON))


@compiled
def whole(
    lot: float,
    sign: float,
    budget: float,
    price: float,
    held: float,
    t: int,
    i: int,
    market: Market,
    conditions: Conditions,
    p: Params,
) -> float:
    """Return the largest number of shares in whole ``lot``s that fits, 0 where none does.

    It fits if its price and the trade towards it stay in ``budget``. Tried are what the budget buys
    without costs, then what it buys after the costs of that, then halves in between. One place asks
    for the cost: each would be compiled with all that costs are made of.
    """
    high = float(math.floor(budget / (price * lot) + EPSILON))
    if high <= 0.0:
        return 0.0
    low, lots, guesses = 0.0, high, 0
    while True:
        charge = cost(sign * (lots * lot) - held, price, t, i, market, conditions, p)
        fits = lots * lot * price + charge <= budget + EPSILON * price
        guesses += 1
        if guesses == 1:
            if fits:
                return high * lot
            lots = max(float(math.floor((budget - charge) / (price * lot) + EPSILON)), 0.0)
            continue
        if fits:
            low = lots
        elif guesses > 2:
            high = lots
        lots = float(math.floor((low + high) / 2.0))
        if lots <= low or lots >= high:  # above 2**53 two neighbours have nothing between them
            return low * lot


@compiled
def fraction(
    sign: float,
    budget: float,
    price: float,
    held: float,
    t: int,
    i: int,
    market: Market,
    conditions: Conditions,
    p: Params,
) -> float:
    """Return the fractional shares whose value and trade cost use ``budget`` up.

    The fixed point of shares = (budget - cost(shares)) / price; costs are a small part of the
    value, so each round shrinks the error by that part.
    """
    shares = budget / price
    for _ in range(ROUNDS):
        charge = cost(sign * shares - held, price, t, i, market, conditions, p)
        improved = max((budget - charge) / price, 0.0)
        settled = abs(improved - shares) <= SETTLED * shares
        shares = improved
        if settled:
            break
    return shares


@compiled
def shares_for(
    value: float,
    price: float,
    held: float,
    t: int,
    i: int,
    market: Market,
    conditions: Conditions,
    p: Params,
) -> float:
    """Return the signed position for a target ``value`` in money at ``price``.

    ``held`` is the position now. With S the answer: |S| * price + cost(S - held) <= |value|, so a
    weight pays for its own trade and weights up to 1 never borrow. 0 sells everything.
    """
    if value == 0.0:
        return 0.0
    sign = 1.0 if value > 0.0 else -1.0
    lot = lot_of(i, conditions, p)
    if lot == 0.0:
        return sign * fraction(sign, abs(value), price, held, t, i, market, conditions, p)
    return sign * whole(lot, sign, abs(value), price, held, t, i, market, conditions, p)
