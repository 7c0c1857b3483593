"""Fills and bars in the shares of the end: how round trips reach across a booked split."""

from __future__ import annotations

import numpy as np

from runtimes.engine.arrays import SPLIT, Fills, Floats, Market, Records
from runtimes.engine.trades import Trades, match

DECIMALS = 9
"""Of a restated quantity: what rounding makes of 100 / (2 / 3) is no trade of its own."""


def matched(fills: Fills, market: Market, actions: Records, *, fill: int) -> Trades:
    """Return `trades.match` with splits taken in: a share bought before one is several after it.

    Quantity and both prices of a trade are in the shares of its exit. What a split pays out for a
    part of a lot belongs to no trade.
    """
    factors = later(actions, market)
    if factors is None:
        return match(fills, market, fill=fill)
    own = factors[fills.bar, fills.symbol]
    prices = {name: getattr(market, name) * factors for name in ("open", "high", "low", "close")}
    shares = {
        name: np.where(own == 1.0, values, np.round(values / own, DECIMALS))
        for name, values in (("quantity", fills.quantity), ("position", fills.position))
    }
    found = match(
        fills._replace(price=fills.price * own, **shares), market._replace(**prices), fill=fill
    )
    then = factors[found.exit, found.symbol]
    return found._replace(
        entry_price=found.entry_price / then,
        exit_price=found.exit_price / then,
        quantity=found.quantity * then,
    )


def later(actions: Records, market: Market) -> Floats | None:
    """Return the product of the splits (factors on the price) after each bar (T, N), else None."""
    splits = actions[actions["kind"] == SPLIT]
    if not splits.size:
        return None
    factors = np.ones(market.close.shape)
    for bar, i, value in zip(splits["bar"], splits["symbol"], splits["value"], strict=True):
        factors[:bar, i] *= value
    return factors
