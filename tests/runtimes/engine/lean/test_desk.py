"""When and at what price an order fills by Lean's rules, on two short sessions of hours."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import numpy as np

from runtimes.engine.arrays import Market
from runtimes.engine.lean.data import LeanData
from runtimes.engine.lean.rules import LeanRules
from runtimes.engine.lean.running import LeanOutcome, lean_run
from runtimes.engine.lean.sampling import ZONE
from runtimes.engine.script import Account, OrderEvent, Script

NAN = np.nan
DAY = dt.date(2013, 10, 7)
BENCHMARK = (np.zeros(1, dtype=np.int64), np.ones(1))
ENDS = [(7, 14, 0), (7, 15, 0), (7, 15, 50), (7, 16, 0), (8, 10, 0), (8, 16, 0)]
CLOSES = [100.0, 101.0, 102.0, 103.0, 104.0, 105.0]


def data(closes: list[list[float]] | None = None, **more: Any) -> LeanData:
    """Return bars that open 0.5 below their close."""
    times = [int(dt.datetime(2013, 10, *end, tzinfo=ZONE).timestamp()) * 10**9 for end in ENDS]
    close = np.array(closes or [CLOSES]).T
    market = Market(
        np.array(times), close - 0.5, close + 1.0, close - 1.0, close, np.ones(close.shape)
    )
    return LeanData(["A", "B"][: close.shape[1]], market, **more)


class Orders(Script):
    """Gives the orders of ``at`` (bar to calls) and notes what it hears and holds."""

    def __init__(self, at: dict[int, Callable[[Account], Any]]) -> None:
        self.at, self.heard = at, list[tuple[int, str, float, float]]()
        self.held = list[float]()

    def on_bar(self, account: Account) -> None:
        if account.bar in self.at:
            self.at[account.bar](account)
        self.held.append(account.position("A"))

    def on_order(self, account: Account, event: OrderEvent) -> None:
        self.heard.append((account.bar, event.status, event.quantity, event.price))


def run(
    at: dict[int, Callable[[Account], Any]], bars: LeanData | None = None, **rules: Any
) -> tuple[Orders, LeanOutcome]:
    script = Orders(at)
    found = lean_run(
        script,
        bars or data(),
        LeanRules(**({"fee": "zero"} | rules)),
        start=DAY,
        end=dt.date(2013, 10, 8),
        benchmark=BENCHMARK,
    )
    return script, found


def test_a_market_order_fills_at_once_and_is_known_at_once() -> None:
    script, _ = run({1: lambda a: a.order("A", 5)})
    assert script.heard == [(1, "filled", 5.0, 101.0)]
    assert script.held == [0.0, 5.0, 5.0, 5.0, 5.0, 5.0]


def test_at_the_close_a_market_order_waits_for_the_open() -> None:
    script, found = run({3: lambda a: a.order("A", 5)})
    assert script.heard == [(4, "filled", 5.0, 103.5)]
    assert found.result.orders["type"].tolist() == ["market_on_open"]


def test_a_market_on_close_fills_at_the_close_and_not_if_given_too_late() -> None:
    script, found = run(
        {
            1: lambda a: a.order("A", 5, "market_on_close"),
            2: lambda a: a.order("A", 7, "market_on_close"),
        }
    )
    assert script.heard[-1] == (3, "filled", 5.0, 103.0)
    assert sorted(found.result.orders["status"].tolist()) == ["filled", "rejected"]
    assert found.printed["Total Orders"] == "1"  # what made no sense is no order


def test_an_order_beyond_the_margin_is_refused_and_counted() -> None:
    script, found = run({0: lambda a: a.order("A", 2_100)})
    assert [event[:3] for event in script.heard] == [(0, "rejected", 0.0)]
    assert found.result.orders["reason"].tolist() == ["not enough buying power"]
    assert found.printed["Total Orders"] == "1"
    assert run({0: lambda a: a.order("A", 2_100)}, buying_power=False)[0].held[0] == 2_100


def test_targets_share_one_equity_and_reductions_come_first() -> None:
    bars = data([CLOSES, [50.0] * 6])

    def swap(account: Account) -> None:
        account.targets({"B": 1.0, "A": 0.0})

    _, found = run({0: lambda a: a.target("A", 1.0), 1: swap}, bars, leverage=1.0)
    fills = found.result.fills
    assert fills["vt_symbol"].tolist() == ["A", "A", "B"]
    assert fills["quantity"].tolist() == [997.0, 997.0, 2014.0]  # 0.9975 * 100,997 / 50


def test_a_stale_price_waits_for_the_open_of_the_next_bar() -> None:
    bars = data([CLOSES, [50.0, NAN, NAN, NAN, 54.0, 55.0]])
    script, found = run({2: lambda a: a.order("B", 5)}, bars)
    assert found.result.fills["timestamp"].tolist() == [int(bars.market.timestamps[4])]
    assert script.heard == [(4, "filled", 5.0, 54.0)]  # a bar of minutes: at its close


def test_quotes_make_the_price_of_a_market_that_never_closes() -> None:
    close = np.array([CLOSES]).T
    sides = [close + k for k in (-1.5, 0.0, -2.0, -1.0, 0.5, 2.0, 0.0, 1.0)]
    bars = data(quotes=np.stack(sides), continuous=True)
    script, _ = run({3: lambda a: a.order("A", 5), 4: lambda a: a.order("A", -5)}, bars)
    assert script.heard == [(3, "filled", 5.0, 104.0), (4, "filled", -5.0, 103.0)]


def test_a_fee_may_be_a_function_of_the_last_price() -> None:
    _, found = run(
        {1: lambda a: a.order("A", -5)}, fee=lambda symbol, quantity, price: abs(quantity) * price
    )
    assert found.result.fills["fee"].tolist() == [505.0]
    assert found.result.curve.cash[1] == 100_000.0 + 505.0 - 505.0


def test_a_margin_call_cuts_the_worst_loss() -> None:
    """3,900 at 102 need 198,900 of margin near the close, equity is 103,900: 2,037 are kept."""
    script, found = run({1: lambda a: a.order("A", 3_900)}, leverage=4.0, closed_leverage=2.0)
    assert found.result.fills["side"].tolist() == ["buy", "sell"]
    assert script.held[1:4] == [3_900.0, 2_037.0, 2_037.0]
