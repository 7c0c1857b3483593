"""What a trade costs: fees and slippage, as the kernel charges them."""

from __future__ import annotations

from runtimes.engine.arrays import FEE_BPS, FEE_INTERACTIVE_BROKERS, Params
from runtimes.engine.compiled import compiled

IB_PER_SHARE = 0.005
IB_MINIMUM = 1.0
IB_CAP = 0.005
"""Interactive Brokers, US stocks, fixed pricing: 0.005 a share, at least 1.00, at most 0.5 % of
the value; where both bind the minimum wins (QuantConnect Lean 24863901, rule 3)."""


@compiled
def fee(quantity: float, price: float, params: Params) -> float:
    """Return the fee in money for a trade of ``quantity`` (signed) at ``price``; 0 for none."""
    shares = abs(quantity)
    if shares == 0.0:
        return 0.0
    if params.fee_model == FEE_BPS:
        return shares * price * params.fee_rate
    if params.fee_model == FEE_INTERACTIVE_BROKERS:
        charge = IB_PER_SHARE * shares
        if charge < IB_MINIMUM:
            return IB_MINIMUM
        return min(charge, IB_CAP * shares * price)
    return 0.0


@compiled
def slipped(quantity: float, price: float, params: Params) -> float:
    """Return the price paid: above ``price`` for a buy, below it for a sell."""
    if quantity > 0.0:
        return price * (1.0 + params.slippage_rate)
    if quantity < 0.0:
        return price * (1.0 - params.slippage_rate)
    return price


@compiled
def cost(quantity: float, price: float, params: Params) -> float:
    """Return what the trade takes from equity marked at ``price``: slippage and fee."""
    paid = slipped(quantity, price, params)
    return abs(quantity) * abs(paid - price) + fee(quantity, paid, params)
