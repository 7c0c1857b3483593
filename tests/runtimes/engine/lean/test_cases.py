"""Lean's own regression algorithms as public specs and scripts: every figure as Lean prints it.

A new case is a `Script` written from the case's ``logic`` and a line in `CASES`: what its spec says
beside period, symbols, cash and leverage, which the file of cases tells.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runtimes.engine.lean.indicators import Ema
from runtimes.engine.script import Account, OrderEvent, Script
from tests.kit import lean

pytestmark = pytest.mark.shared

SPY, IBM, GOOG, AAPL = "SPY.USA", "IBM.USA", "GOOG.USA", "AAPL.USA"
BTC, EUR = "BTCUSD.COINBASE", "EURUSD.OANDA"


def clock(account: Account) -> dt.datetime:
    return account.time.astimezone(lean.ZONE)


class Hold(Script):
    """Weights at the first bar, held."""

    def __init__(self, weights: dict[str, float]) -> None:
        self.weights = weights

    def on_bar(self, account: Account) -> None:
        if account.bar == 0:
            account.targets(self.weights)


class Keep(Hold):
    """Weights at every bar."""

    def on_bar(self, account: Account) -> None:
        account.targets(self.weights)


class Swap(Script):
    def on_bar(self, account: Account) -> None:
        held = bool(account.positions())
        account.targets({SPY: 0.2, IBM: 0.8} if held else {SPY: 0.8, IBM: 0.2})


class Scan(Script):
    def on_bar(self, account: Account) -> None:
        if clock(account).hour == 16 and not account.positions():
            account.target(SPY, 1.0)


class At(Script):
    """One order at noon of a day."""

    def __init__(self, day: int, kind: str, below: float | None = None) -> None:
        self.day, self.kind, self.below = day, kind, below

    def on_bar(self, account: Account) -> None:
        now = clock(account)
        if (now.day, now.hour) == (self.day, 12):
            stop = None if self.below is None else account.price(SPY) - self.below
            account.order(SPY, 1, self.kind, stop=stop)


class Oversized(Script):
    def on_bar(self, account: Account) -> None:
        if account.bar == 0:
            hundreds = account.quantity_for(SPY, 1.0) // 100 * 100
            account.order(SPY, 10 * hundreds)


class Renko(Script):
    """Buys when the first brick of 2.0 after the warm-up is complete."""

    def on_start(self, account: Account) -> None:
        self.level: float | None = None
        for close in account.history(SPY, 21).tolist():
            self.bricks(close)

    def bricks(self, close: float) -> int:
        if self.level is None:
            self.level = round(close / 2.0) * 2.0
        moved = int(abs(close - self.level) / 2.0)
        self.level += np.copysign(2.0 * moved, close - self.level)
        return moved

    def on_bar(self, account: Account) -> None:
        if self.bricks(account.price(SPY)) and not account.positions():
            account.target(SPY, 1.0)


class Trailing(Script):
    def on_bar(self, account: Account) -> None:
        if account.bar == 0:
            account.order(SPY, 100, "trailing_stop", trail=2.0)

    def on_order(self, account: Account, event: OrderEvent) -> None:
        if event.status == "filled" and event.quantity > 0:
            account.order(SPY, -100, "trailing_stop", trail=0.5)


class InForce(Script):
    def on_bar(self, account: Account) -> None:
        until = dt.datetime(2013, 10, 10, tzinfo=lean.ZONE)
        if account.bar == 0:
            for tif, prices in (("gtc", (100, 160)), ("day", (140, 180)), ("gtd", (100, 160))):
                for limit in prices:
                    account.order(SPY, 10, "limit", limit=limit, tif=tif, until=until)


class EachHour(Script):
    def on_bar(self, account: Account) -> None:
        if clock(account).minute == 0:
            account.order(SPY, 1)


class Crossing(Script):
    def __init__(self) -> None:
        self.fast, self.slow = Ema(30), Ema(60)

    def on_bar(self, account: Account) -> None:
        fast, slow = (ema.update(account.price(SPY)) for ema in (self.fast, self.slow))
        if fast is None or slow is None:
            return
        if not account.positions() and fast > slow:
            account.target(SPY, 1.0)
        elif account.positions() and fast < slow:
            account.close(SPY)


class Macd(Script):
    def __init__(self) -> None:
        self.fast, self.slow, self.signal = Ema(12), Ema(26), Ema(9)

    def on_bar(self, account: Account) -> None:
        fast, slow = (ema.update(account.price(SPY)) for ema in (self.fast, self.slow))
        if fast is None or slow is None:
            return
        signal = self.signal.update(fast - slow)
        if signal is None:
            return
        apart, held = (fast - slow - signal) / fast, account.position(SPY)
        if held <= 0 and apart > 0.0025:
            account.target(SPY, 1.0)
        elif held >= 0 and apart < -0.0025:
            account.close(SPY)


class Alternate(Script):
    """Buys one coin at a bar and sells it at the next, in turns whatever became of the order."""

    buys = True

    def on_bar(self, account: Account) -> None:
        if self.buys:
            account.order(BTC, 1)
        else:
            account.close(BTC)
        self.buys = not self.buys


class Oversize(Script):
    """Sells halves three ways; changes that the account cannot carry are refused."""

    def on_bar(self, account: Account) -> None:
        if account.positions():
            return
        quantity = account.quantity_for(EUR, 50.0)
        account.order(EUR, quantity)
        below, half = account.price(EUR) - 0.003, -(quantity // 2)
        sales = [
            account.order(EUR, half, "stop", stop=below),
            account.order(EUR, half, "limit", limit=below),
            account.order(EUR, half, "trailing_stop", stop=below, trail=0.01, relative=True),
        ]
        assert not any(account.update(sale, quantity=-100 * quantity) for sale in sales)


@dataclass(frozen=True)
class Case:
    """``spec`` are blocks of the spec; ``given`` what may be printed besides Lean's figure."""

    make: Callable[[], Script]
    spec: dict[str, Any] = field(default_factory=dict)
    look_back: int = 0
    given: dict[str, set[float]] = field(default_factory=dict)


def fee(model: str, **keys: float) -> dict[str, Any]:
    return {"fee": {"model": model, **keys}}


CASES = {
    "BasicTemplateDaily": Case(lambda: Hold({SPY: 1.0})),
    "SetHoldingReturnsOrderTickets": Case(lambda: Keep({SPY: 0.8, IBM: 0.2})),
    "ProcessSplitSymbols": Case(lambda: Hold({GOOG: 1.0})),
    "WarmupIndicator": Case(Renko, look_back=30),
    "InternalSubscriptionHistoryRequest": Case(lambda: Hold({AAPL: 1.0})),
    "ConsolidateScan": Case(Scan),
    "StopMarketOrder": Case(lambda: At(1, "stop", below=2.0)),
    "MarketOnCloseOrder": Case(lambda: At(2, "market_on_close")),
    "CustomBuyingPowerModel": Case(Oversized, {"execution": {"lean": {"buying_power": False}}}),
    "BasicTemplate": Case(lambda: Hold({SPY: 1.0})),
    "SetHoldingsMultipleTargets": Case(Swap),
    "TrailingStopOrder": Case(Trailing),
    "TimeInForce": Case(InForce),
    "OrderTicketAssignmentDemo": Case(EachHour),
    "SecurityCustomProperties": Case(Crossing, {"execution": fee("forex", bps=0.2, minimum=1.0)}),
    "MarginCallClosedMarket": Case(
        lambda: Hold({SPY: 5.0}),
        {"portfolio": {"leverage": 5}, "execution": {"lean": {"closed_leverage": 2}}},
    ),
    "CoinbaseCryptoYearMarketTrading": Case(
        Alternate,
        {
            "execution": fee("maker_taker", maker_bps=0, taker_bps=30)
            | {"lean": {"trading_days": 365}},
            "benchmark": None,
        },
    ),
    "InsufficientMarginOrderUpdate": Case(
        Oversize, {"execution": fee("zero"), "portfolio": {"ticks": {EUR: 0.00001}}}
    ),
    "MACDTrend": Case(Macd, given={"Total Orders": {84.0, 85.0}}),
    "Dividend": Case(lambda: Hold({SPY: 0.5}), given={"Beta": {0.52, 0.521, 0.522}}),
}


@pytest.mark.parametrize("name", CASES)
def test_every_figure_is_leans(shared_data: Path, name: str) -> None:
    case = CASES[name]
    spec = lean.spec_of(shared_data, name, **case.spec)
    printed = lean.play(shared_data, spec, case.make(), look_back=case.look_back).printed

    expected = lean.expected(shared_data, name)
    found = {key: lean.number(text) for key, text in printed.items()}
    differ = {key: (found[key], expected[key]) for key in expected if found[key] != expected[key]}
    assert not {k: v for k, v in differ.items() if v[0] not in case.given.get(k, ())}
