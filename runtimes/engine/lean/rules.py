"""What an account of Lean may do and pays, as plain values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

Fee = Callable[[str, float, float], float]
"""symbol, signed quantity, last price -> money."""


@dataclass(frozen=True, slots=True)
class LeanRules:
    """The account of a Lean algorithm.

    ``leverage`` divides a position's value into its margin; ``closed_leverage`` holds while the
    market is closed or about to be (None: the same). ``fee`` is ``interactive_brokers``, ``zero``,
    ``bps``... of `runtimes.engine.params.make` with ``fee_options``, or a function of symbol,
    quantity and last price; then ``maker_fee`` is that of limit orders, by the fill's price.
    Without ``buying_power`` no order is refused for lack of it and no margin call comes. ``lots``
    are sizes by symbol, 1 where not named; ``ticks`` round the prices of orders, which Lean does
    not do on adjusted bars. ``days`` a year: 252, of crypto 365.
    """

    cash: float = 100_000.0
    leverage: float = 2.0
    closed_leverage: float | None = None
    fee: str | Fee = "interactive_brokers"
    fee_options: Mapping[str, Any] = field(default_factory=dict)
    maker_fee: Fee | None = None
    slippage: str = "none"
    slippage_options: Mapping[str, Any] = field(default_factory=dict)
    buying_power: bool = True
    lots: Mapping[str, float] = field(default_factory=dict)
    ticks: Mapping[str, float] = field(default_factory=dict)
    days: int = 252
