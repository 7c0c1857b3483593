"""The rules of execution as numbers for the kernel, by name."""

from __future__ import annotations

from runtimes.engine.arrays import (
    FEE_BPS,
    FEE_INTERACTIVE_BROKERS,
    FEE_ZERO,
    NEXT_CLOSE,
    NEXT_OPEN,
    Params,
)

BASIS_POINT = 1e-4
FILL_CODES = {"next_open": NEXT_OPEN, "next_close": NEXT_CLOSE}
FEE_CODES = {
    "zero": FEE_ZERO,
    "bps": FEE_BPS,
    "interactive_brokers": FEE_INTERACTIVE_BROKERS,
}


def make(
    *,
    cash: float = 100_000.0,
    leverage: float = 1.0,
    fractional: bool = False,
    fill: str = "next_open",
    fee: str = "zero",
    fee_bps: float = 0.0,
    slippage_bps: float = 0.0,
) -> Params:
    """Return kernel parameters; `BacktestSpec.rules` gives these arguments.

    Basis points become fractions. Specs are checked before, so an unknown fill or fee is a
    KeyError here.
    """
    return Params(
        cash=float(cash),
        leverage=float(leverage),
        fractional=int(fractional),
        fill=FILL_CODES[fill],
        fee_model=FEE_CODES[fee],
        fee_rate=fee_bps * BASIS_POINT,
        slippage_rate=slippage_bps * BASIS_POINT,
    )
