"""What a trade costs: fees and slippage, as the kernel charges them."""

from __future__ import annotations

import math

import numpy as np

from runtimes.engine.arrays import (
    ASK,
    BID,
    CLOSE,
    FEE_BPS,
    FEE_INTERACTIVE_BROKERS,
    FEE_MAKER_TAKER,
    FEE_PER_SHARE,
    QUOTE_SIDE,
    SLIP_BPS,
    SLIP_HALF_SPREAD,
    SLIP_SQUARE_ROOT,
    SLIP_VOLUME_SHARE,
    Conditions,
    Floats,
    Market,
    Params,
)
from runtimes.engine.compiled import compiled

IB_PER_SHARE = 0.005
IB_MINIMUM = 1.0
IB_CAP = 0.005
"""Interactive Brokers, US stocks, fixed pricing: 0.005 a share, at least 1.00, at most 0.5 % of
the value; where both bind the minimum wins (QuantConnect Lean 24863901, rule 3)."""


@compiled
def fee(quantity: float, price: float, rests: bool, params: Params) -> float:
    """Return the fee in money for a trade of ``quantity`` (signed) at ``price``; 0 for none.

    ``rests`` says that the order waited in the book and so is charged as a maker. It is in the
    currency of the price.
    """
    return params.cost_scale * listed_fee(quantity, price, rests, params)


@compiled
def listed_fee(quantity: float, price: float, rests: bool, params: Params) -> float:
    """Return the fee as its model has it, not scaled."""
    shares = abs(quantity)
    if shares == 0.0:
        return 0.0
    if params.fee_model == FEE_BPS:
        return max(shares * price * params.fee_rate, params.fee_minimum)
    if params.fee_model == FEE_INTERACTIVE_BROKERS:
        charge = IB_PER_SHARE * shares
        if charge < IB_MINIMUM:
            return IB_MINIMUM
        return min(charge, IB_CAP * shares * price)
    if params.fee_model == FEE_PER_SHARE:
        charge = max(shares * params.fee_rate, params.fee_minimum)
        return min(charge, params.fee_cap * shares * price) if params.fee_cap > 0.0 else charge
    if params.fee_model == FEE_MAKER_TAKER:
        return shares * price * (params.fee_maker if rests else params.fee_rate)
    return 0.0


@compiled
def slippage(
    quantity: float, t: int, i: int, market: Market, conditions: Conditions, params: Params
) -> float:
    """Return the part of the price that a trade at once of ``quantity`` loses at bar ``t``.

    Where a bar lacks what a model needs (no quote, no volume before it) the model takes nothing;
    a bar without volume under ``volume_share`` takes the most.
    """
    return params.cost_scale * listed_slippage(quantity, t, i, market, conditions, params)


@compiled
def listed_slippage(
    quantity: float, t: int, i: int, market: Market, conditions: Conditions, params: Params
) -> float:
    """Return the slippage as its model has it, not scaled."""
    model, quotes = params.slippage_model, conditions.quotes
    if model == SLIP_HALF_SPREAD and quotes.size:
        bid, ask = quotes[BID + CLOSE, t, i], quotes[ASK + CLOSE, t, i]
        return float((ask - bid) / (ask + bid)) if ask > bid else 0.0
    if model == SLIP_VOLUME_SHARE:
        volume = market.volume[t, i]
        share = params.slippage_limit
        if volume > 0.0:
            share = min(abs(quantity) / volume, params.slippage_limit)
        return params.slippage_rate * share * share
    if model == SLIP_SQUARE_ROOT and conditions.impact.size:
        mean, sigma = conditions.impact[0, t, i], conditions.impact[1, t, i]
        if not mean > 0.0 or np.isnan(sigma):
            return 0.0
        return float(params.slippage_rate * sigma * math.sqrt(abs(quantity) / mean))
    return params.slippage_rate if model == SLIP_BPS else 0.0


@compiled
def slipped(
    quantity: float,
    price: float,
    t: int,
    i: int,
    market: Market,
    conditions: Conditions,
    params: Params,
) -> float:
    """Return the price paid: above ``price`` for a buy, below it for a sell, never below 0."""
    if quantity > 0.0:
        return price * (1.0 + slippage(quantity, t, i, market, conditions, params))
    if quantity < 0.0:
        return max(price * (1.0 - slippage(quantity, t, i, market, conditions, params)), 0.0)
    return price


@compiled
def side(prices: Floats, field: int, buys: bool, t: int, i: int, conditions: Conditions) -> float:
    """Return the price an order of this side meets: ask or bid where quotes are, else the trade."""
    if conditions.quotes.size:
        quoted = conditions.quotes[(ASK if buys else BID) + field, t, i]
        if not np.isnan(quoted):
            return float(quoted)
    return float(prices[t, i])


@compiled
def reached(
    quantity: float,
    price: float,
    t: int,
    i: int,
    market: Market,
    conditions: Conditions,
    params: Params,
) -> float:
    """Return what a target pays that is sized at ``price``: the other side's quote, or slippage."""
    if params.fill == QUOTE_SIDE and quantity != 0.0:
        return side(market.close, CLOSE, quantity > 0.0, t, i, conditions)
    return slipped(quantity, price, t, i, market, conditions, params)


@compiled
def cost(
    quantity: float,
    price: float,
    t: int,
    i: int,
    market: Market,
    conditions: Conditions,
    params: Params,
) -> float:
    """Return what a target's trade takes from equity marked at ``price``: slippage and fee."""
    paid = reached(quantity, price, t, i, market, conditions, params)
    return abs(quantity) * abs(paid - price) + fee(quantity, paid, False, params)
