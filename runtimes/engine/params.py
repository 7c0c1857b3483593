"""The rules of execution as numbers for the kernel, by name."""

from __future__ import annotations

from runtimes.engine.arrays import (
    BEST,
    FEE_BPS,
    FEE_INTERACTIVE_BROKERS,
    FEE_MAKER_TAKER,
    FEE_PER_SHARE,
    FEE_ZERO,
    NEAREST,
    NEXT_CLOSE,
    NEXT_OPEN,
    QUOTE_SIDE,
    SAME_CLOSE,
    SLIP_BPS,
    SLIP_HALF_SPREAD,
    SLIP_SQUARE_ROOT,
    SLIP_VOLUME_SHARE,
    WORST,
    Params,
)

BASIS_POINT = 1e-4
FILL_CODES = {
    "next_open": NEXT_OPEN,
    "next_close": NEXT_CLOSE,
    "same_close": SAME_CLOSE,
    "quote_side": QUOTE_SIDE,
}
INTRABAR_CODES = {"worst": WORST, "best": BEST, "nearest": NEAREST}
FEE_CODES = {
    "zero": FEE_ZERO,
    "bps": FEE_BPS,
    "interactive_brokers": FEE_INTERACTIVE_BROKERS,
    "per_share": FEE_PER_SHARE,
    "maker_taker": FEE_MAKER_TAKER,
    "forex": FEE_BPS,
}
SLIPPAGE_CODES = {
    "none": SLIP_BPS,
    "bps": SLIP_BPS,
    "half_spread": SLIP_HALF_SPREAD,
    "volume_share": SLIP_VOLUME_SHARE,
    "square_root": SLIP_SQUARE_ROOT,
}


def make(
    *,
    cash: float = 100_000.0,
    leverage: float = 1.0,
    fractional: bool = False,
    fill: str = "next_open",
    fee: str = "zero",
    fee_bps: float = 0.0,
    fee_per_share: float = 0.0,
    fee_maker_bps: float = 0.0,
    fee_minimum: float = 0.0,
    fee_cap: float = 0.0,
    slippage: str = "bps",
    slippage_bps: float = 0.0,
    slippage_coefficient: float = 0.0,
    slippage_limit: float = 0.0,
    participation: float = 0.0,
    borrow_bps: float = 0.0,
    debit_bps: float = 0.0,
    credit_bps: float = 0.0,
    maintenance: float = 0.0,
    lag: int = 1,
    intrabar: str = "worst",
    settlement: int = 0,
    cost_scale: float = 1.0,
) -> Params:
    """Return kernel parameters; `BacktestSpec.rules` gives these arguments.

    Basis points become fractions. ``slippage_coefficient`` and ``slippage_limit`` belong to
    ``volume_share`` and ``square_root``, ``fee_cap`` (a fraction of the value) and ``fee_minimum``
    to ``per_share``, the minimum also to ``forex``. Specs are checked before, so an unknown name is
    a KeyError here.
    """
    by_share = FEE_CODES[fee] == FEE_PER_SHARE
    plain = SLIPPAGE_CODES[slippage] == SLIP_BPS
    return Params(
        cash=float(cash),
        leverage=float(leverage),
        fractional=int(fractional),
        fill=FILL_CODES[fill],
        fee_model=FEE_CODES[fee],
        fee_rate=float(fee_per_share) if by_share else fee_bps * BASIS_POINT,
        fee_maker=fee_maker_bps * BASIS_POINT,
        fee_minimum=float(fee_minimum),
        fee_cap=float(fee_cap),
        slippage_model=SLIPPAGE_CODES[slippage],
        slippage_rate=slippage_bps * BASIS_POINT if plain else float(slippage_coefficient),
        slippage_limit=float(slippage_limit),
        participation=float(participation),
        borrow_rate=borrow_bps * BASIS_POINT,
        debit_rate=debit_bps * BASIS_POINT,
        credit_rate=credit_bps * BASIS_POINT,
        maintenance=float(maintenance),
        lag=int(lag),
        intrabar=INTRABAR_CODES[intrabar],
        settlement=int(settlement),
        cost_scale=float(cost_scale),
    )
