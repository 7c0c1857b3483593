"""Buy by a limit below the volume-weighted average price, sell by a limit at it, quoted anew.

Berkowitz, Logue and Noser 1988 for the average, Bollinger 2001 for the band of deviations.
"""

from __future__ import annotations

import math
from typing import Annotated

import numpy as np
from pydantic import Field

from runtimes.engine.script import Account, OrderEvent, Script
from runtimes.part import Finite, Integer
from runtimes.strategies.base import StrategyParams, View
from runtimes.strategies.scripted import ScriptStrategy


class VwapReversionParams(StrategyParams):
    """``lookback`` bars make the average; the bid lies ``width`` deviations of closes below it."""

    lookback: Annotated[Integer, Field(ge=2, le=10_000)] = 20
    width: Annotated[Finite, Field(gt=0, le=100)] = 2.0


class VwapReversion(Script):
    """Keeps one limit order per symbol: a bid while it has no position, else an offer."""

    def __init__(self, params: VwapReversionParams) -> None:
        self._params = params
        self._quotes: dict[str, int] = {}

    def on_order(self, account: Account, event: OrderEvent) -> None:
        """Forget a quote that filled or ended."""
        if event.status != "partial" and self._quotes.get(event.symbol) == event.order_id:
            del self._quotes[event.symbol]

    def on_bar(self, account: Account) -> None:
        """Quote each symbol anew at this close."""
        for symbol in account.symbols:
            self._quote(account, symbol)

    def _quote(self, account: Account, symbol: str) -> None:
        average, deviation = self._band(account, symbol)
        held = account.position(symbol)
        limit = average if held else average - self._params.width * deviation
        if not math.isfinite(limit) or limit <= 0.0:
            return
        quoted = self._quotes.get(symbol)
        if quoted is not None and account.update(quoted, limit=limit):
            return
        quantity = -held if held else account.quantity_for(symbol, 1.0 / len(account.symbols))
        if quantity:
            self._quotes[symbol] = account.order(symbol, quantity, "limit", limit=limit)

    def _band(self, account: Account, symbol: str) -> tuple[float, float]:
        """Return the average price by volume and the deviation of closes; nan without them."""
        high, low, close, volume = (
            account.history(symbol, self._params.lookback, name)
            for name in ("high", "low", "close", "volume")
        )
        total = float(volume.sum())
        if close.size < self._params.lookback or not total > 0.0:
            return math.nan, math.nan
        typical = (high + low + close) / 3.0
        return float((typical * volume).sum() / total), float(np.std(close))


def build(params: VwapReversionParams, view: View) -> Script:
    """Return the script of one run."""
    del view
    return VwapReversion(params)


STRATEGY = ScriptStrategy(
    title="Bid below the volume-weighted average price and offer at it, by limits quoted anew.",
    params=VwapReversionParams,
    warmup=lambda params: params.lookback,
    build=build,
)
