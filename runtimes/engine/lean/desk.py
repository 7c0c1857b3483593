"""Lean's way with a script's orders, over the same kernel: timing, sizing, margin and fees.

Bars are instants: each symbol's bars by their end. While a market is open a market order fills at
once, at the close of the bar that ended; when it is closed, and at a session's last bar it is, the
order becomes a market-on-open. So daily orders meet the next open, and are known when that bar
closes. Everything that rests is matched by the kernel.
"""

from __future__ import annotations

import datetime as dt
import math
from decimal import ROUND_HALF_EVEN, Decimal
from functools import partial
from typing import Any

import numpy as np

from runtimes.engine import costs
from runtimes.engine.arrays import BOOKED, FILLS, LAST_OF_SESSION, ORDERS, QUOTE_SIDE
from runtimes.engine.desk import Desk
from runtimes.engine.lean.data import Prices
from runtimes.engine.lean.rules import LeanRules
from runtimes.engine.lean.sampling import ZONE
from runtimes.engine.lean.sizing import delta_for_value, delta_for_weight
from runtimes.engine.orders import (
    BUYING_POWER,
    IMPOSSIBLE,
    LIMIT,
    LIMIT_IF_TOUCHED,
    MARKET,
    NO_REASON,
    ON_CLOSE,
    ON_OPEN,
    STOP,
    STOP_LIMIT,
    TRAILING_STOP,
    row_of,
)
from runtimes.engine.resting import AT_ONCE, look_through
from runtimes.engine.simulation import Simulation
from topology.frames import Progress

MINUTE_NS = 60 * 10**9
CALL_EVERY = 5 * MINUTE_NS
"""Time between two looks at the margin."""
CLOSING_SOON = 10 * MINUTE_NS
"""Before a close the margin of the closed market is asked for."""
CLOSE_BUFFER = 930 * 10**9
"""A market-on-close given later than so long before the close is none."""
CALL_ABOVE = 1.10
"""Used margin as a part of equity above which a margin call comes."""


class LeanDesk(Desk):
    """A `Desk` by Lean's rules; ``simulation`` fills at the same close and never runs out."""

    _ahead = 0

    def __init__(
        self, simulation: Simulation, progress: Progress, rules: LeanRules, prices: Prices
    ) -> None:
        super().__init__(simulation, progress)
        self._prices = prices
        self._rules = rules
        self._at_once = simulation.params._replace(fill=QUOTE_SIDE)
        self._flags = simulation.conditions.flags
        self._closes = _closes(self.market.timestamps, self._flags)
        self._next_call = 0
        self._lots = [float(rules.lots.get(symbol, 1.0)) for symbol in simulation.symbols]

    def next(self) -> bool:
        """Go to the next bar and look at the margin; False behind the last one."""
        if not super().next():
            return False
        if self.entered:
            self._fill_waiting()
        time = int(self.market.timestamps[self.now])
        if time >= self._next_call:
            self._next_call = time + CALL_EVERY
            if self._rules.buying_power and self.entered:
                self._call_margin()
        return True

    def order(self, symbol: int, quantity: float, kind: str, **more: Any) -> int:
        """Give an order; a market order fills now or, while the market is closed, at the open."""
        if kind == "market" and self._closed():
            kind = "market_on_open"
        if more["until"] is not None:
            more["until"] = self._close_of(more["until"])
        tick = self._rules.ticks.get(self._simulation.symbols[symbol])
        if tick is not None:
            more |= {name: _rounded(more[name], tick) for name in ("limit", "stop")}
        order_id = super().order(symbol, quantity, kind, **more)
        if kind == "market" and self._prices.fresh[self.now, symbol]:
            self._fill_at_once()
        elif kind == "market":
            self._wait(order_id)
        self.tell()
        return order_id

    def target(self, weights: dict[int, float]) -> None:
        """Bring symbols to their weights: all sizes from one equity, reductions first."""
        state = self.current()
        sizes = {place: self.quantity_for(place, weight) for place, weight in weights.items()}
        last = {place: float(state.last[place]) for place in sizes}

        def rank(place: int) -> tuple[bool, float]:
            reduces = sizes[place] * state.quantity[place] < 0.0
            return (not reduces, -abs(sizes[place]) * last[place])

        for place in sorted((p for p in sizes if sizes[p]), key=rank):
            quantity = sizes[place] - self._on_the_way(place)
            if quantity:
                self.order(place, quantity, "market", **NOTHING_MORE)

    def quantity_for(self, symbol: int, weight: float) -> float:
        """Return the signed quantity to trade for a part of equity, by Lean's `SetHoldings`."""
        state = self.current()
        price = float(state.last[symbol])
        if not math.isfinite(price):
            return 0.0
        return delta_for_weight(
            weight,
            equity=self.equity(),
            price=price,
            held=float(state.quantity[symbol]),
            leverage=self._leverage(),
            charge=partial(self._fee, symbol, price=price),
            lot=self._lots[symbol],
        )

    def _enter(self) -> None:
        if not self.entered:
            super()._enter()
            fills = self._simulation.fills["bar"][: int(self._simulation.state.counters[FILLS])]
            self._charge(int(np.searchsorted(fills, self.now)))

    def _fill_at_once(self, *, opening: bool = False) -> None:
        """Fill the market orders given at this bar at its close, or at its open."""
        simulation, prices = self._simulation, self._prices
        first = int(simulation.state.counters[FILLS])
        look_through(
            self.now,
            AT_ONCE,
            np.zeros(simulation.book.size),
            prices.opening_market if opening else prices.market,
            simulation.conditions._replace(quotes=prices.opening if opening else prices.quotes),
            simulation.state,
            simulation.book,
            simulation.orders,
            simulation.fills,
            self._at_once,
        )
        self._charge(first)

    def _wait(self, order_id: int) -> None:
        """Keep a market order from the kernel until its symbol has a price that is not stale."""
        simulation = self._simulation
        row = row_of(simulation.state, simulation.book, order_id)
        if row is not None:  # its own parent: neither due nor an orphan
            simulation.book[row].waiting, simulation.book[row].parent = 1, order_id

    def _fill_waiting(self) -> None:
        """Fill the market orders that waited for the bars that came now."""
        book, woken = self._simulation.book, False
        for row in book[: int(self._simulation.state.counters[BOOKED])]:
            own = row.waiting == 1 and row.parent == row.order_id
            if own and self._prices.real[self.now, row.symbol]:
                row.waiting, row.parent, row.created, woken = 0, 0, self.now, True
        if woken:
            self._fill_at_once(opening=self._prices.coarse)

    def _charge(self, first: int) -> None:
        """Take the fee of the fills from row ``first`` on, where it is a function."""
        if isinstance(self._rules.fee, str):
            return
        state, fills = self._simulation.state, self._simulation.fills
        for row in fills[first : int(state.counters[FILLS])]:
            maker = self._rules.maker_fee
            if maker is not None and self._is_limit(int(row.order_id)):
                symbol = self._simulation.symbols[row.symbol]
                row.fee = maker(symbol, float(row.quantity), float(row.price))
                state.cash[0] -= row.fee
                continue
            last, buys = float(state.last[row.symbol]), bool(row.quantity > 0.0)
            price = self._prices.worth(self.now, int(row.symbol), buys=buys, last=last)
            fee = self._fee(int(row.symbol), float(row.quantity), price)
            state.cash[0] -= fee
            row.fee = fee

    def _is_limit(self, order_id: int) -> bool:
        """Tell whether a fill is one of a limit order, open or just ended."""
        simulation = self._simulation
        row = row_of(simulation.state, simulation.book, order_id)
        if row is not None:
            return bool(simulation.book[row]["kind"] == LIMIT)
        ended = simulation.orders[: int(simulation.state.counters[ORDERS])]
        return bool((ended["kind"][ended["order_id"] == order_id] == LIMIT).any())

    def _fee(self, symbol: int, quantity: float, price: float) -> float:
        if callable(self._rules.fee):
            return float(self._rules.fee(self._simulation.symbols[symbol], quantity, price))
        return costs.fee(quantity, price, False, self._at_once)

    def _closed(self) -> bool:
        return bool(self._flags[self.now] & LAST_OF_SESSION)

    def _left(self) -> int:
        """Return the time to the session's close, ns."""
        return int(self._closes[self.now]) - int(self.market.timestamps[self.now])

    def _leverage(self) -> float:
        rules = self._rules
        if rules.closed_leverage is not None and self._left() <= CLOSING_SOON:
            return rules.closed_leverage
        return rules.leverage

    def _close_of(self, until: int) -> int:
        """Return the close of the day in New York that ``until`` lies in."""
        day = dt.datetime.fromtimestamp(until / 1e9, ZONE).date()
        close = dt.datetime.combine(day, dt.time(16), ZONE)
        return int(close.timestamp()) * 10**9

    def _on_the_way(self, symbol: int) -> float:
        """Return what open market orders of ``symbol`` will still trade."""
        rows = self._simulation.book[: len(self.open_orders(None))]
        return float(
            sum(r.quantity for r in rows if r.symbol == symbol and r.kind in (MARKET, ON_OPEN))
        )

    def _margin(self, symbol: int) -> float:
        state = self._simulation.state
        held = float(state.quantity[symbol])
        return abs(held * float(state.last[symbol])) / self._leverage() if held else 0.0

    def _margins(self) -> dict[int, float]:
        held = np.flatnonzero(self._simulation.state.quantity).tolist()
        return {symbol: self._margin(symbol) for symbol in held}

    def _refusal(
        self, asked: dict[str, Any], take_profit: float | None, stop_loss: float | None
    ) -> int:
        refused = super()._refusal(asked, take_profit, stop_loss)
        late = 0 < self._left() < CLOSE_BUFFER
        if asked["kind"] == ON_CLOSE and "created" in asked and late:
            return IMPOSSIBLE
        if refused != NO_REASON or not self._rules.buying_power or self._carries(asked):
            return refused
        return BUYING_POWER

    def _carries(self, asked: dict[str, Any]) -> bool:
        """Tell whether the margin that is free now covers an order and its fee."""
        symbol, quantity = int(asked["symbol"]), float(asked["quantity"])
        state = self._simulation.state
        held, last = float(state.quantity[symbol]), float(state.last[symbol])
        if not math.isfinite(last):
            return False
        opposite = held * quantity < 0.0
        if opposite and abs(quantity) <= abs(held):
            return True
        free = self.equity() - sum(self._margins().values())
        free += 2.0 * self._margin(symbol) if opposite else 0.0
        value = abs(quantity) * _valued(asked, last)
        return value / self._leverage() + self._fee(symbol, quantity, last) <= free

    def _call_margin(self) -> None:
        """Sell, worst loss first, what the equity no longer carries."""
        equity, margins = self.equity(), self._margins()
        used = sum(margins.values())
        if used <= CALL_ABOVE * equity:
            return
        state, leverage = self._simulation.state, self._leverage()
        gain = {
            i: float(state.quantity[i] * (state.last[i] - state.average_price[i])) for i in margins
        }
        sizes = {}
        for i in margins:
            held, price = float(state.quantity[i]), float(state.last[i])
            keep = math.copysign(max(0.0, margins[i] - (used - equity)), held)
            sizes[i] = delta_for_value(
                keep * leverage,
                equity=equity,
                price=price,
                held=held,
                charge=partial(self._fee, i, price=price),
                lot=self._lots[i],
            )
        for done, i in enumerate(sorted(sizes, key=lambda i: gain[i])):
            if done and sum(self._margins().values()) <= self.equity():
                return
            if sizes[i]:
                self.order(i, sizes[i], "market", **NOTHING_MORE)


NOTHING_MORE: dict[str, Any] = {
    "limit": None,
    "stop": None,
    "trail": None,
    "relative": False,
    "tif": "gtc",
    "until": None,
    "take_profit": None,
    "stop_loss": None,
}


def _rounded(price: float | None, tick: float) -> float | None:
    """Return the price in whole ticks, a half to the even one as decimals say it."""
    if price is None or not math.isfinite(price):
        return price
    step = Decimal(repr(tick))
    ticks = (Decimal(f"{price:.12g}") / step).to_integral_value(ROUND_HALF_EVEN)
    return float(ticks * step)


def _valued(asked: dict[str, Any], last: float) -> float:
    """Return the price at which Lean values an order: the better of last price and its own."""
    own = {LIMIT: "limit", STOP_LIMIT: "limit", LIMIT_IF_TOUCHED: "limit"}
    own |= {STOP: "stop", TRAILING_STOP: "stop"}
    name = own.get(int(asked["kind"]))
    if name is None:
        return last
    price = float(asked[name])
    return min(price, last) if asked["quantity"] > 0.0 else max(price, last)


def _closes(times: Any, flags: Any) -> Any:
    """Return for each bar when its session closes; far away where sessions never close."""
    ends = np.flatnonzero(flags & LAST_OF_SESSION)
    if not ends.size:
        return np.full(times.size, np.iinfo(np.int64).max)
    return times[ends[np.minimum(np.searchsorted(ends, np.arange(times.size)), ends.size - 1)]]
