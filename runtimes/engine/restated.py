"""Fills and bars in the shares of the end: how round trips reach across a booked split."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from runtimes.engine.arrays import SPLIT, Floats, Market, Records
from runtimes.engine.trades import Excursions, Trades, excursions, match

DECIMALS = 9
"""Of a restated quantity: what rounding makes of 100 / (2 / 3) is no trade of its own."""


def matched(
    fills: Records, market: Market, actions: Records, *, fill: int
) -> tuple[Trades, Callable[[], Excursions]]:
    """Return `trades.match` with splits taken in: a share bought before one is several after it.

    Quantity and both prices of a trade are in the shares of its exit. What a split pays out for a
    part of a lot belongs to no trade. The excursions are found when they are asked for.
    """
    symbols = market.close.shape[1]
    factors = later(actions, market)
    if factors is None:
        plain = match(fills, symbols, fill=fill)
        return plain, lambda: excursions(plain, market)
    own = factors[fills["bar"], fills["symbol"]]
    restated = fills.copy()
    restated["price"] *= own
    for name in ("quantity", "position"):
        values = fills[name]
        restated[name] = np.where(own == 1.0, values, np.round(values / own, DECIMALS))
    found = match(restated, symbols, fill=fill)
    then = factors[found.exit, found.symbol]
    spanned = market._replace(low=market.low * factors, high=market.high * factors)
    trades = found._replace(
        entry_price=found.entry_price / then,
        exit_price=found.exit_price / then,
        quantity=found.quantity * then,
    )
    return trades, lambda: excursions(found, spanned)


def later(actions: Records, market: Market) -> Floats | None:
    """Return the product of the splits (factors on the price) after each bar (T, N), else None."""
    splits = actions[actions["kind"] == SPLIT]
    if not splits.size:
        return None
    factors = np.ones(market.close.shape)
    for bar, i, value in zip(splits["bar"], splits["symbol"], splits["value"], strict=True):
        factors[:bar, i] *= value
    return factors
