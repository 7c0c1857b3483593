"""Runs in pyqlib's environment: whom its own TopkDropoutStrategy sells and buys, day by day.

``peer_topk.py FILE``: FILE holds ``scores`` (T, N) (null: no score), ``tradable`` (T, N) and
``cases``: [params ..]. Its class decides on a made-up exchange where every order is executed in
full; prints ``{"trades": [[[sell, buy] ..] ..]}``, places of the symbols by case and day.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd


class Exchange:
    """Every price is 1, every order that a tradable symbol gets is executed in full."""

    def __init__(self, tradable: np.ndarray[Any, Any]) -> None:
        self.day = 0
        self._tradable = tradable

    def is_stock_tradable(self, stock_id: str, **_: Any) -> bool:
        return bool(self._tradable[self.day][int(stock_id[1:])])

    def check_order(self, _: Any) -> bool:
        return True

    def deal_order(self, order: Any, position: Any) -> tuple[float, float, float]:
        del position
        return order.amount, 0.0, 1.0

    def get_deal_price(self, **_: Any) -> float:
        return 1.0

    def get_factor(self, **_: Any) -> float:
        return 1.0

    def round_amount_by_trade_unit(self, amount: float, _: float) -> float:
        return amount


class Position:
    """Cash and amounts, and for how many days each was held."""

    def __init__(self) -> None:
        self.cash = 1e6
        self.amounts: dict[str, float] = {}
        self.days: dict[str, int] = {}

    def get_cash(self) -> float:
        return self.cash

    def get_stock_list(self) -> list[str]:
        return list(self.amounts)

    def get_stock_count(self, code: str, bar: str) -> int:
        del bar
        return self.days[code]

    def get_stock_amount(self, code: str) -> float:
        return self.amounts[code]


def play(params: dict[str, Any], scores: list[Any], tradable: list[Any]) -> list[Any]:
    """Return whom the class sells and buys on each day."""
    from qlib.contrib.strategy.signal_strategy import TopkDropoutStrategy

    exchange = Exchange(np.array(tradable))
    position = Position()
    calendar = SimpleNamespace(
        get_trade_step=lambda: exchange.day,
        get_step_time=lambda step=0, shift=0: (step, step),
        get_freq=lambda: "day",
    )

    class Scores:
        def get_signal(self, start_time: int, end_time: int) -> Any:
            row = scores[exchange.day]
            there = {f"s{i:02d}": value for i, value in enumerate(row) if value is not None}
            return pd.Series(there, dtype=float) if there else None

    class Strategy(TopkDropoutStrategy):  # type: ignore[misc]
        trade_calendar = calendar
        trade_exchange = exchange
        trade_position = position

    strategy = Strategy.__new__(Strategy)
    for name, value in {"forbid_all_trade_at_limit": True, "risk_degree": 0.95, **params}.items():
        setattr(strategy, name, value)
    strategy.signal = Scores()
    found = []
    for day in range(len(scores)):
        exchange.day = day
        orders = strategy.generate_trade_decision().order_list
        sold = [order.stock_id for order in orders if order.direction == 0]
        bought = [order.stock_id for order in orders if order.direction == 1]
        for code in sold:
            position.cash += position.amounts.pop(code)
            del position.days[code]
        for order in orders:
            if order.direction == 1:
                position.cash -= order.amount
                position.amounts[order.stock_id] = order.amount
                position.days[order.stock_id] = 0
        position.days = {code: count + 1 for code, count in position.days.items()}
        found.append([[int(code[1:]) for code in codes] for codes in (sold, bought)])
    return found


if __name__ == "__main__":
    asked = json.loads(Path(sys.argv[1]).read_text())
    print(
        json.dumps(
            {"trades": [play(case, asked["scores"], asked["tradable"]) for case in asked["cases"]]}
        )
    )
