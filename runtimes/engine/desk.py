"""Where a script's orders go: into the book of the simulation that it walks through."""

from __future__ import annotations

import math
from typing import Any, cast

import numpy as np

from runtimes.engine.arrays import (
    BOOKED,
    CANCELLED,
    IS_RUINED,
    ORDER_ID,
    REJECTED,
    TAG_ORDER,
)
from runtimes.engine.checks import TOLERANCE
from runtimes.engine.errors import InvalidWeightsError, instant
from runtimes.engine.orders import (
    GTD,
    IMPOSSIBLE,
    KINDS,
    LIMIT,
    LIMIT_IF_TOUCHED,
    NO_REASON,
    REPLACED,
    STOP,
    STOP_LIMIT,
    TIFS,
    TRAILING_STOP,
    log_order,
    log_target,
    place,
    row_of,
)
from runtimes.engine.simulation import Simulation
from runtimes.engine.sizing import EPSILON, shares_for
from runtimes.engine.turning import cancel
from runtimes.engine.walk import Walk
from topology.frames import Progress

LIMITED = {LIMIT, STOP_LIMIT, LIMIT_IF_TOUCHED}
STOPPED = {STOP, STOP_LIMIT, LIMIT_IF_TOUCHED}


class Desk(Walk):
    """Takes the orders of a script at the current bar."""

    def __init__(self, simulation: Simulation, progress: Progress) -> None:
        super().__init__(simulation, progress)
        self._later: list[tuple[int, dict[int, float]]] = []

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
        """Put an order and its bracket into the book, or log its rejection; return its id."""
        state = self.current()
        asked = {
            "symbol": symbol,
            "kind": KINDS.index(kind) if kind in KINDS else -1,
            "tif": TIFS.index(tif) if tif in TIFS else -1,
            "expiry": 0 if until is None else until,
            "created": self.now,
            "after": self.now + self._simulation.params.lag - 1,
            "tag": TAG_ORDER,
            "relative": int(relative),
            "quantity": float(quantity),
            "limit": math.nan if limit is None else float(limit),
            "stop": math.nan if stop is None else float(stop),
            "trail": math.nan if trail is None else float(trail),
        }
        if asked["kind"] == TRAILING_STOP and stop is None:
            asked["stop"] = self._trailing_start(
                symbol, quantity, asked["trail"], relative=relative
            )
        refused = self._refusal(asked, take_profit, stop_loss)
        if refused != NO_REASON:
            return self._reject(asked, refused)
        self._simulation.make_room_for(3)
        order_id = place(state, self._simulation.handle.bundle.book, **asked)
        self._bracket(order_id, asked, take_profit, stop_loss)
        return order_id

    def update(
        self,
        order_id: int,
        *,
        quantity: float | None,
        limit: float | None,
        stop: float | None,
        trail: float | None,
    ) -> bool:
        """Change an open order, as far as the result makes sense."""
        state, book = self.current(), self._simulation.handle.bundle.book
        row = row_of(state, book, order_id)
        if row is None:
            return False
        open_order = book[row]
        asked = {"quantity": quantity, "limit": limit, "stop": stop, "trail": trail}
        kept = ("kind", "tif", "expiry", "symbol", "relative")
        changed = {name: open_order[name] for name in kept}
        for name, value in asked.items():
            changed[name] = float(open_order[name] if value is None else value)
        if self._refusal(changed, None, None) != NO_REASON:
            return False
        for name in asked:
            open_order[name] = changed[name]
        return True

    def cancel(self, order_id: int) -> bool:
        """End an open order and whatever waits for its fill."""
        self._enter()
        return cancel(self._simulation.handle.number, self.now, order_id)

    def open_orders(self, symbol: int | None) -> list[int]:
        """Return the ids of open orders, in the book's order."""
        used = self._counters[BOOKED]
        if not used:
            return []
        book = self._simulation.handle.bundle.book[:used]
        if symbol is not None:
            book = book[book["symbol"] == symbol]
        return cast("list[int]", book["order_id"].tolist())

    def target(self, weights: dict[int, float]) -> None:
        """Replace the open targets of some symbols; weights beyond the leverage raise."""
        self._refuse_beyond(weights, bar=self.now)
        self._enter()  # so that the end of this bar sees what waits
        self._later.append((self.now + self._simulation.params.lag - 1, weights))
        self._take()

    def close_bar(self) -> None:
        """End the current bar; weights that were asked for long enough ago become open targets."""
        self._take()
        super().close_bar()
        if self._later:
            self._quiet = self.now + 1

    def _take(self) -> None:
        """Open the targets that are due: they meet the next bar."""
        while self._later and self._later[0][0] <= self.now:
            self._open(self._later.pop(0)[1])

    def _open(self, weights: dict[int, float]) -> None:
        state = self.current()
        if state.counters[IS_RUINED]:
            return
        decided = self.now - self._simulation.params.lag + 1
        for symbol, weight in sorted(weights.items()):
            if state.pending[symbol]:
                orders = self._simulation.orders
                log_target(self.now, symbol, math.nan, CANCELLED, REPLACED, state, orders)
            state.weight[symbol], state.created[symbol] = weight, decided
            state.pending[symbol] = int(weight != 0.0 or state.quantity[symbol] != 0.0)
        together = np.flatnonzero((state.pending != 0) & (state.created == decided)).tolist()
        self._refuse_beyond({i: float(state.weight[i]) for i in together}, bar=decided)

    def _refuse_beyond(self, weights: dict[int, float], *, bar: int) -> None:
        """Raise if what was asked for at ``bar``, at once or in parts, is beyond the leverage."""
        leverage = self._simulation.params.leverage
        if sum(abs(weight) for weight in weights.values()) <= leverage * (1.0 + TOLERANCE):
            return
        worst = max(weights, key=lambda place: abs(weights[place]))
        raise InvalidWeightsError(
            f"The weights add up to more than the leverage of {leverage}.",
            hint="Ask for less, or raise portfolio.leverage.",
            timestamp=instant(int(self.market.timestamps[bar])),
            symbol=self._simulation.symbols[worst],
        )

    def quantity_for(self, symbol: int, weight: float) -> float:
        """Return the signed quantity to trade for a part of equity at this close."""
        state, params = self.current(), self._simulation.params
        if not math.isfinite(state.last[symbol]):
            return 0.0
        value, held = weight * self.equity(), float(state.quantity[symbol])
        market, around = self.market, self._simulation.conditions
        price, now = float(state.last[symbol]), self.now
        value /= float(state.rate[symbol])
        return shares_for(value, price, held, now, symbol, market, around, params) - held

    def _refusal(
        self, asked: dict[str, Any], take_profit: float | None, stop_loss: float | None
    ) -> int:
        """Return why an order, or what it would be after a change, is refused, or NO_REASON."""
        ruined = self._simulation.state.counters[IS_RUINED]
        return (
            NO_REASON
            if self._sensible(asked, take_profit, stop_loss) and not ruined
            else IMPOSSIBLE
        )

    def _sensible(
        self, asked: dict[str, Any], take_profit: float | None, stop_loss: float | None
    ) -> bool:
        quantity, kind = asked["quantity"], asked["kind"]
        lot, tick = self._terms(int(asked["symbol"]))
        dated = asked["tif"] != GTD or asked["expiry"] > self.market.timestamps[self.now]
        trailing = [asked["stop"], asked["trail"]] if kind == TRAILING_STOP else []
        prices = [
            *([asked["limit"]] if kind in LIMITED else []),
            *([asked["stop"]] if kind in STOPPED else []),
            *(price for price in (take_profit, stop_loss) if price is not None),
        ]
        stepped = prices if asked["relative"] else [*prices, *trailing]
        return bool(
            kind >= 0
            and asked["tif"] >= 0
            and math.isfinite(quantity)
            and quantity != 0.0
            and _whole(quantity, lot)
            and dated
            and all(math.isfinite(price) and price > 0.0 for price in [*prices, *trailing])
            and all(_whole(price, tick) for price in stepped)
        )

    def _terms(self, symbol: int) -> tuple[float, float]:
        """Return the smallest piece and the price step of a symbol, 0 for none."""
        terms = self._simulation.conditions.terms
        if terms.size:
            return float(terms[symbol].lot), float(terms[symbol].tick)
        return (0.0 if self._simulation.params.fractional else 1.0), 0.0

    def _trailing_start(
        self, symbol: int, quantity: float, trail: float, *, relative: bool
    ) -> float:
        """Return where a trailing stop begins: the last price plus or minus its trail."""
        last = float(self._simulation.state.last[symbol])
        away = last * trail if relative else trail
        return last + away if quantity > 0 else last - away

    def _reject(self, asked: dict[str, Any], reason: int) -> int:
        state = self._simulation.state
        state.counters[ORDER_ID] += 1
        order_id = int(state.counters[ORDER_ID])
        self._simulation.make_room_for(0)
        log_order(
            self.now,
            order_id,
            self.now,
            asked["symbol"],
            max(asked["kind"], 0),
            max(asked["tif"], 0),
            REJECTED,
            reason,
            math.nan,
            asked["quantity"],
            0.0,
            asked["limit"],
            asked["stop"],
            state,
            self._simulation.orders,
        )
        return order_id

    def _bracket(
        self,
        parent: int,
        asked: dict[str, Any],
        take_profit: float | None,
        stop_loss: float | None,
    ) -> None:
        """Put the two exits of an entry into the book; they live from the bar after its fill."""
        exits = [
            (LIMIT, "limit", take_profit),
            (STOP, "stop", stop_loss),
        ]
        for kind, name, price in exits:
            if price is None:
                continue
            place(
                self._simulation.state,
                self._simulation.handle.bundle.book,
                symbol=asked["symbol"],
                kind=kind,
                tif=TIFS.index("gtc"),
                created=self.now,
                parent=parent,
                waiting=1,
                group=parent,
                tag=TAG_ORDER,
                quantity=-asked["quantity"],
                **{name: price},
            )


def _whole(amount: float, step: float) -> bool:
    """Tell whether ``amount`` is a whole number of steps, as near as decimals can say; 0 is any."""
    if step == 0.0:
        return True
    steps = abs(amount) / step
    return bool(abs(steps - round(steps)) <= EPSILON * max(steps, 1.0))
