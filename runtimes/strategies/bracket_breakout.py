"""Buy a breakout by a stop order whose fill is bracketed by a stop and a target.

Donchian 1960 for the channel, Wilder 1978 for the true range, Faith 2007 (the Turtles' rules) for
stops and sizes in ranges.
"""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import Field

from runtimes.engine.arrays import Floats
from runtimes.engine.script import Account, Script
from runtimes.part import Finite, Integer
from runtimes.strategies.base import StrategyParams, View
from runtimes.strategies.scripted import ScriptStrategy

Ranges = Annotated[Finite, Field(gt=0, le=100)]


class BracketBreakoutParams(StrategyParams):
    """``lookback`` bars make the channel and the mean true range.

    The stop lies ``stop`` ranges below the entry, the target ``target`` above; a position that is
    stopped costs ``risk`` of equity, but is never larger than 1/N.
    """

    lookback: Annotated[Integer, Field(ge=2, le=10_000)] = 20
    stop: Ranges = 2.0
    target: Ranges = 4.0
    risk: Annotated[Finite, Field(gt=0, le=1)] = 0.01


class BracketBreakout(Script):
    """Keeps one entry at the channel's high for each symbol that is not held."""

    def __init__(self, params: BracketBreakoutParams) -> None:
        self._params = params
        self._entries: dict[str, int] = {}

    def on_bar(self, account: Account) -> None:
        """Move the entries to the channel of this close."""
        for symbol in account.symbols:
            entry = self._entries.pop(symbol, None)
            if entry is not None:
                account.cancel(entry)
            if account.position(symbol) == 0.0 and not account.open_orders(symbol):
                self._quote(account, symbol)

    def _quote(self, account: Account, symbol: str) -> None:
        params = self._params
        high, low, close = (
            account.history(symbol, params.lookback + 1, name) for name in ("high", "low", "close")
        )
        spread = mean_range(high, low, close)
        if not np.isfinite(close).all() or close.size <= params.lookback or not spread > 0.0:
            return
        level = float(high[1:].max())
        loss, gain = level - params.stop * spread, level + params.target * spread
        if loss <= 0.0:
            return
        part = params.risk * level / (params.stop * spread)
        quantity = account.quantity_for(symbol, min(part, 1.0 / len(account.symbols)))
        if quantity > 0.0:
            self._entries[symbol] = account.order(
                symbol, quantity, "stop", stop=level, take_profit=gain, stop_loss=loss
            )


def mean_range(high: Floats, low: Floats, close: Floats) -> float:
    """Return the mean true range of bars (K,) but the first, which only lends its close."""
    before = close[:-1]
    return float(np.mean(np.maximum(high[1:], before) - np.minimum(low[1:], before)))


def build(params: BracketBreakoutParams, view: View) -> Script:
    """Return the script of one run."""
    del view
    return BracketBreakout(params)


STRATEGY = ScriptStrategy(
    title="Buy a breakout by a stop order, with a stop and a target around its fill.",
    params=BracketBreakoutParams,
    warmup=lambda params: params.lookback + 1,
    build=build,
)
