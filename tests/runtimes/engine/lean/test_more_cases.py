"""More of Lean's regression algorithms, each a spec, a script and the figures that Lean prints.

The figures are those of the algorithms in QuantConnect/Lean that the names tell, as of 2024; its
probabilistic Sharpe ratio has changed since and is left out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from runtimes.engine.script import Account, OrderEvent, Script
from tests.kit import lean

pytestmark = pytest.mark.shared

SPY, AAPL = "SPY.USA", "AAPL.USA"


class Hold(Script):
    def on_bar(self, account: Account) -> None:
        if not account.positions():
            account.target(SPY, 1.0)


class Shorts(Script):
    """Sells short once; the fill is answered by a stop that lies on its wrong side."""

    def on_bar(self, account: Account) -> None:
        if account.bar == 0:
            account.order(SPY, -100)

    def on_order(self, account: Account, event: OrderEvent) -> None:
        if event.quantity == -100:
            account.order(SPY, 100, "stop", stop=event.price - 2)


class Shrinks(Script):
    """An order to be touched that gets one smaller at each bar; the last one is cancelled."""

    order, quantity, trigger = 0, 0.0, 0.0

    def on_bar(self, account: Account) -> None:
        if not account.open_orders():
            sign = 1 if account.time.day < 9 else -1
            price = account.price(SPY)
            self.quantity, self.trigger = 10 * sign, price - 0.25 * sign
            self.order = account.order(
                SPY, self.quantity, "limit_if_touched", stop=self.trigger, limit=price - sign
            )
        elif self.quantity == 1:
            account.cancel(self.order)
        else:
            smaller = self.quantity - (1 if account.time.day < 9 else -1)
            if account.update(self.order, quantity=smaller):
                self.quantity = smaller
            account.update(self.order, stop=float(f"{self.trigger:.5g}"))


class Late(Script):
    def on_bar(self, account: Account) -> None:
        if account.time.day == 9 and not account.positions():
            account.order(AAPL, 1)


@dataclass(frozen=True)
class Case:
    make: Callable[[], Script]
    bars: str
    start: str
    end: str
    printed: str
    symbol: str = SPY
    benchmark: str | None = SPY


OCTOBER = ("2013-10-07", "2013-10-11")
CASES = {
    "BasicTemplateHourly": Case(
        Hold,
        "bars_1h",
        *OCTOBER,
        "Total Orders 1, Compounding Annual Return 227.693, Drawdown 2, End Equity 101529.08, "
        "Net Profit 1.529, Sharpe Ratio 8.855, Alpha -0.005, Beta 0.996, Annual Variance 0.049, "
        "Annual Standard Deviation 0.222, Information Ratio -14.564, Tracking Error 0.001, "
        "Treynor Ratio 1.971, Total Fees 3.44, Portfolio Turnover 19.96",
    ),
    "StopLossOnOrderEvent": Case(
        Shorts,
        "bars_1m",
        *OCTOBER,
        "Total Orders 2, Compounding Annual Return -0.359, Expectancy -1, End Equity 99995.41, "
        "Net Profit -0.005, Sharpe Ratio 0, Loss Rate 100, Information Ratio -8.91, "
        "Tracking Error 0.223, Total Fees 2, Portfolio Turnover 5.79",
    ),
    "LimitIfTouched": Case(
        Shrinks,
        "bars_1m",
        *OCTOBER,
        "Total Orders 75, Compounding Annual Return -0.601, End Equity 99992.29, "
        "Net Profit -0.008, Sharpe Ratio -34.372, Sortino Ratio -110.972, Alpha -0.01, "
        "Beta -0.001, Information Ratio -8.919, Tracking Error 0.223, Treynor Ratio 8.667, "
        "Total Fees 3, Portfolio Turnover 0.09",
    ),
    "HourSplit": Case(
        Late,
        "bars_1h",
        "2014-06-06",
        "2014-06-09",
        "Total Orders 1, Compounding Annual Return -0.068, End Equity 99999.31, "
        "Net Profit -0.001, Sharpe Ratio -128.305, Beta 0, Information Ratio -9.163, "
        "Tracking Error 0, Total Fees 1, Portfolio Turnover 0.01",
        symbol=AAPL,
        benchmark=None,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_new_case_prints_what_lean_prints(shared_data: Path, name: str) -> None:
    case = CASES[name]
    blocks: dict[str, Any] = {
        "data": {
            "table": f"alphaswarm_silver_market.{case.bars}",
            "start": case.start,
            "end": case.end,
        },
        "execution": {
            "rules": "lean_2026",
            "lean": {"risk_free": lean.steps_of(shared_data)},
        },
        "benchmark": case.benchmark,
    }

    outcome = lean.play(shared_data, lean.spec([case.symbol], **blocks), case.make())

    expected = {
        key: float(value)
        for key, _, value in (part.rpartition(" ") for part in case.printed.split(", "))
    }
    assert {key: lean.number(outcome.printed[key]) for key in expected} == expected
