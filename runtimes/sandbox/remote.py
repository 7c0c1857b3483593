"""The account as submitted source sees it: bars that have come, and requests over the line."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, cast

import numpy as np

from runtimes.engine.arrays import Floats, Market, State
from runtimes.engine.errors import StrategyError
from runtimes.engine.script import Account
from runtimes.sandbox import wire

CHUNK = 65_536


class Telephone:
    """The cell's end of the line."""

    def __init__(self, line: int) -> None:
        self._line, self._read = line, bytearray()

    def say(self, body: Any) -> None:
        """Send JSON."""
        left = memoryview(wire.told(body))
        while left:
            left = left[os.write(self._line, left) :]

    def hear(self, market: Market | None = None) -> Any:
        """Return the next JSON; bars that come before it are laid into ``market``."""
        while True:
            (length,) = wire.HEAD.unpack(self._taken(wire.HEAD.size))
            payload = self._taken(length)
            if market is None or payload[:1] != wire.ROWS:
                return json.loads(payload)
            wire.lay(payload, market)

    def _taken(self, length: int) -> bytes:
        while len(self._read) < length:
            more = os.read(self._line, CHUNK)
            if not more:
                raise EOFError
            self._read += more
        taken = bytes(self._read[:length])
        del self._read[:length]
        return taken


class Remote:
    """A desk that asks the keeper: the account is there. ``refused`` is what it last refused."""

    def __init__(self, phone: Telephone, market: Market, *, first: int) -> None:
        self._phone, self._market = phone, market
        self.now, self.first = first - 1, first
        self.refused: StrategyError | None = None

    @property
    def market(self) -> Market:
        """Return the bars: nan where they have not come yet."""
        return self._market

    def current(self) -> State:
        """Return the cash of the account."""
        cash = np.array([self._ask("cash")])
        return cast("State", SimpleNamespace(cash=cash, exchange=np.ones(1)))

    def known(self) -> State:
        """Return the positions of the account."""
        quantity = np.zeros(self._market.close.shape[1])
        for place, held in self._ask("positions"):
            quantity[place] = held
        return cast("State", SimpleNamespace(quantity=quantity))

    def equity(self) -> float:
        """Return cash plus positions at this close."""
        return float(self._ask("equity"))

    def order(self, symbol: int, quantity: float, kind: str, **named: Any) -> int:
        """Give an order and return its id."""
        return int(self._ask("order", symbol, quantity, kind, named))

    def update(self, order_id: int, **named: Any) -> bool:
        """Change an open order."""
        return bool(self._ask("update", order_id, named))

    def cancel(self, order_id: int) -> bool:
        """End an open order."""
        return bool(self._ask("cancel", order_id))

    def open_orders(self, symbol: int | None) -> list[int]:
        """Return the ids of open orders."""
        return [int(order_id) for order_id in self._ask("open_orders", symbol)]

    def target(self, weights: dict[int, float]) -> None:
        """Take targets."""
        self._ask("target", list(weights.items()))

    def quantity_for(self, symbol: int, weight: float) -> float:
        """Return the signed quantity to trade for a part of equity."""
        return float(self._ask("quantity_for", symbol, weight))

    def _ask(self, *request: Any) -> Any:
        self._phone.say([_plain(part) for part in request])
        answer = self._phone.hear()
        if "error" in answer:
            error: Mapping[str, Any] = answer["error"]
            self.refused = StrategyError(
                error["message"], hint=error["hint"], code=error["code"], **error["facts"]
            )
            raise self.refused
        return answer["value"]


class SeenAccount(Account):
    """The account of a script whose bars come one by one."""

    def price(self, symbol: str, field: str = "close") -> float:
        """Return a price (or ``volume``) of the current bar, NaN where the symbol has none."""
        now = self._desk.now
        column: Floats = self._column(field, self._place(symbol))
        return float(column[now]) if now >= 0 else float("nan")


def _plain(part: Any) -> Any:
    """Return numbers of numpy as Python's, also within what is asked."""
    if isinstance(part, np.generic):
        return part.item()
    if isinstance(part, dict):
        return {name: _plain(value) for name, value in part.items()}
    if isinstance(part, list | tuple):
        return [_plain(value) for value in part]
    return part
