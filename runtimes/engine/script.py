"""What a strategy in Python is: a class called at each close, and the account that it sees.

Nothing compiled is imported here, so that a strategy can be listed and checked where no kernel is.
`runtimes.engine.scripting` plays one.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from runtimes.engine.arrays import Floats, Market, State
from runtimes.engine.errors import StrategyError
from topology.errors import did_you_mean, nearest


@dataclass(frozen=True, slots=True)
class OrderEvent:
    """What became of an order at this bar.

    ``status`` is ``partial``, ``filled``, ``cancelled``, ``expired`` or ``rejected``; ``quantity``
    and ``price`` are those of the fill, 0 and NaN where nothing filled.
    """

    order_id: int
    symbol: str
    status: str
    quantity: float
    price: float
    reason: str


class Script:
    """A strategy in Python. Override what you need; keep state on ``self``.

    The bar is closed when `on_bar` is called: orders given there meet the next bar at the
    earliest, unless the spec's fill model says otherwise by name.
    """

    def on_start(self, account: Account) -> None:
        """Prepare; called once before the first bar that is traded."""

    def on_bar(self, account: Account) -> None:
        """Decide at the close of a bar."""

    def on_order(self, account: Account, event: OrderEvent) -> None:
        """Hear of a fill or of the end of an order, before `on_bar` of the same bar."""


class Dealer(Protocol):
    """Where the account looks and its orders go: `runtimes.engine.desk.Desk` or a kind of it.

    Symbols are places in the universe, times int64 ns UTC.
    """

    now: int
    first: int

    @property
    def market(self) -> Market:
        """Return the bars."""

    def current(self) -> State:
        """Return the account as it stands at this close."""

    def known(self) -> State:
        """Return an account whose positions, but not its cash, are those of this close."""

    def equity(self) -> float:
        """Return cash plus positions at this close."""

    def order(
        self,
        symbol: int,
        quantity: float,
        kind: str,
        *,
        limit: float | None,
        stop: float | None,
        trail: float | None,
        relative: bool,
        tif: str,
        until: int | None,
        take_profit: float | None,
        stop_loss: float | None,
    ) -> int:
        """Take an order and return its id."""

    def update(
        self,
        order_id: int,
        *,
        quantity: float | None,
        limit: float | None,
        stop: float | None,
        trail: float | None,
    ) -> bool:
        """Change an open order."""

    def cancel(self, order_id: int) -> bool:
        """End an open order."""

    def open_orders(self, symbol: int | None) -> list[int]:
        """Return the ids of open orders."""

    def target(self, weights: dict[int, float]) -> None:
        """Take targets."""

    def quantity_for(self, symbol: int, weight: float) -> float:
        """Return the signed quantity to trade for a part of equity."""


class Account:
    """What a script sees and does: prices up to now, its positions, and its orders."""

    def __init__(self, desk: Dealer, symbols: Sequence[str]) -> None:
        self._desk = desk
        self.symbols = tuple(symbols)
        self._places = {symbol: place for place, symbol in enumerate(symbols)}
        self._lists: dict[str, dict[str, list[float]]] = {}

    @property
    def bar(self) -> int:
        """Return the number of the current bar, 0 for the first that is traded."""
        return self._desk.now - self._desk.first

    @property
    def time(self) -> dt.datetime:
        """Return the end of the current bar in UTC."""
        nanoseconds = int(self._desk.market.timestamps[self._desk.now])
        return dt.datetime.fromtimestamp(nanoseconds / 1e9, dt.UTC)

    def price(self, symbol: str, field: str = "close") -> float:
        """Return a price (or ``volume``) of the current bar, NaN where the symbol has none."""
        try:
            return self._lists[field][symbol][self._desk.now]
        except KeyError:
            column = self._column(field, self._place(symbol)).tolist()
            self._lists.setdefault(field, {})[symbol] = column
            return float(column[self._desk.now])

    def history(self, symbol: str, bars: int, field: str = "close") -> Floats:
        """Return the last ``bars`` values up to now, look-back included; fewer at the start."""
        now = self._desk.now
        return self._column(field, self._place(symbol))[max(now + 1 - bars, 0) : now + 1]

    @property
    def cash(self) -> float:
        """Return the cash of every currency, in the account's own."""
        state = self._desk.current()
        return float((state.cash * state.exchange).sum())

    @property
    def equity(self) -> float:
        """Return cash plus positions at the close."""
        return self._desk.equity()

    def position(self, symbol: str) -> float:
        """Return the signed quantity held."""
        place = self._place(symbol)
        return float(self._desk.known().quantity[place])

    def positions(self) -> dict[str, float]:
        """Return every position that is not 0."""
        held = self._desk.known().quantity
        return {self.symbols[i]: float(held[i]) for i in np.flatnonzero(held).tolist()}

    def order(
        self,
        symbol: str,
        quantity: float,
        kind: str = "market",
        *,
        limit: float | None = None,
        stop: float | None = None,
        trail: float | None = None,
        relative: bool = False,
        tif: str = "gtc",
        until: dt.datetime | None = None,
        take_profit: float | None = None,
        stop_loss: float | None = None,
    ) -> int:
        """Give an order for a signed ``quantity`` and return its id.

        ``limit`` and ``stop`` are prices, ``trail`` an amount or, with ``relative``, a fraction;
        ``until`` is for ``tif`` gtd. ``take_profit`` and ``stop_loss`` close what this order fills,
        whichever comes first. An order that makes no sense is rejected with a reason, and the run
        goes on.
        """
        return self._desk.order(
            self._place(symbol),
            _number(quantity, symbol),
            kind,
            limit=limit,
            stop=stop,
            trail=trail,
            relative=relative,
            tif=tif,
            until=None if until is None else int(until.timestamp() * 1e9),
            take_profit=take_profit,
            stop_loss=stop_loss,
        )

    def quantity_for(self, symbol: str, weight: float) -> float:
        """Return the signed quantity to trade for a part of equity at this close, costs paid."""
        return self._desk.quantity_for(self._place(symbol), float(weight))

    def update(
        self,
        order_id: int,
        *,
        quantity: float | None = None,
        limit: float | None = None,
        stop: float | None = None,
        trail: float | None = None,
    ) -> bool:
        """Change an open order; False where it is no longer open or the change makes no sense.

        ``quantity`` is what is still to be traded, signed.
        """
        return self._desk.update(order_id, quantity=quantity, limit=limit, stop=stop, trail=trail)

    def cancel(self, order_id: int) -> bool:
        """End an open order; False where it is no longer open."""
        return self._desk.cancel(order_id)

    def open_orders(self, symbol: str | None = None) -> list[int]:
        """Return the ids of open orders, of one symbol or of all."""
        return self._desk.open_orders(None if symbol is None else self._place(symbol))

    def target(self, symbol: str, weight: float) -> None:
        """Ask for a part of equity in ``symbol``; 0 closes it."""
        self.targets({symbol: weight})

    def targets(self, weights: Mapping[str, float]) -> None:
        """Ask for parts of equity, signed; symbols that are not named keep what they have."""
        found = {self._place(symbol): float(weight) for symbol, weight in weights.items()}
        for place, weight in found.items():
            if not math.isfinite(weight):
                raise StrategyError(
                    f"The weight of {self.symbols[place]} is {weight}.",
                    hint="Return finite weights.",
                    symbol=self.symbols[place],
                )
        self._desk.target(found)

    def close(self, symbol: str) -> None:
        """Ask for no position in ``symbol`` and cancel its orders."""
        place = self._place(symbol)
        for order_id in self._desk.open_orders(place):
            self._desk.cancel(order_id)
        self._desk.target({place: 0.0})

    def _place(self, symbol: str) -> int:
        found = self._places.get(symbol)
        if found is None:
            raise StrategyError(
                f"The universe has no symbol {symbol[:64]!r}.",
                hint=did_you_mean(symbol[:64], self._places),
                nearest=nearest(symbol[:64], self._places),
            )
        return found

    def _column(self, field: str, place: int) -> Floats:
        if field not in ("open", "high", "low", "close", "volume"):
            raise StrategyError(
                f"Bars have no {field[:32]!r}.", hint="open, high, low, close, volume."
            )
        return np.asarray(getattr(self._desk.market, field)[:, place])


def _number(quantity: object, symbol: str) -> float:
    """Return a quantity as a float; what is no single number raises `StrategyError`."""
    if isinstance(quantity, float | int | np.floating | np.integer):
        return float(quantity)
    raise StrategyError(
        f"The quantity of {symbol} is {str(quantity)[:40]!r}, no number.",
        hint="Give one number, signed.",
        symbol=symbol,
    )
