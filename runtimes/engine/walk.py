"""A simulation walked bar by bar, lazily, and what happens to orders told on the way.

A bar has two halves, before and after the decision. The first half of the current bar is simulated
when somebody looks at money or something could have happened, and whole stretches of bars at once
when nothing could: no price of them reaches an open order, nothing is short or borrowed, there is
no corporate action.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any, cast

from runtimes.engine.arrays import (
    FILLED,
    FILLS,
    ORDERS,
    Fills,
    Market,
    Orders,
    State,
)
from runtimes.engine.orders import REASONS
from runtimes.engine.simulation import Simulation
from runtimes.engine.turning import equity
from topology.frames import Progress

LOOK_S = 0.25
"""Longest time between two looks at the halt and two frames of progress."""
AHEAD = 128
"""How many prices are held against open orders to find out how long nothing happens."""
STATUS = ("filled", "cancelled", "open", "expired", "rejected")


class Walk:
    """One simulation at its current bar: `next`, `events`, what a script does, `close_bar`."""

    _ahead = AHEAD

    def __init__(self, simulation: Simulation, progress: Progress) -> None:
        self._simulation, self._progress = simulation, progress
        self._counters = memoryview(cast("Any", simulation.state.counters))  # twice as fast
        self.first = simulation.first
        self.now = simulation.first - 1
        self.entered = False
        self._quiet = self._end
        self._read = (0, 0, 0)  # fills, orders, and in which filling of the buffers
        self._events: list[dict[str, Any]] = []
        self._looked = time.perf_counter()
        self.hear: Callable[[dict[str, Any]], None] = _ignore
        progress.checkpoint()

    @property
    def market(self) -> Market:
        """Return the bars; those behind the current one are nobody's business."""
        return self._simulation.market

    @property
    def _end(self) -> int:
        """Return the bar behind the last one that is known."""
        return int(self._simulation.first + self._simulation.total)

    def next(self) -> bool:
        """Go to the next bar; False behind the last one."""
        self.now = now = self.now + 1
        if self._simulation.disturbed() or time.perf_counter() - self._looked > LOOK_S:
            self._look()
        if now >= self._quiet:
            if now >= self._end:
                return False
            self._enter()
        return True

    def close_bar(self) -> None:
        """End the current bar: what fills at this close fills, and the row is written."""
        if self.entered:
            self._quiet = min(self._simulation.leave(self._ahead), self._end)
            self.entered = False
            if self._unread():
                self._gather()
                self._quiet = self.now + 1  # to tell of it

    def finish(self) -> None:
        """Simulate what was left for later, to the last bar."""
        self.now = self._end - 1
        if self._simulation.bar <= self.now:
            self._enter()
            self._simulation.leave()
            self.entered = False
        self.now += 1
        self._look()

    def current(self) -> State:
        """Return the account as it stands at this close."""
        self._enter()
        return self._simulation.state

    def known(self) -> State:
        """Return an account whose positions, but not its cash, are those of this close."""
        return self._simulation.state

    def equity(self) -> float:
        """Return cash plus positions at this close, as the bar's row will have it."""
        self._enter()
        return equity(self._simulation.handle.number)

    def tell(self) -> None:
        """Tell the strategy what has happened to its orders since it was last told."""
        if self.entered:
            for event in self.events():
                self.hear(event)

    def events(self) -> list[dict[str, Any]]:
        """Return what happened to orders and was not told yet, fills first, each in order."""
        if self._unread():
            self._gather()
        events, self._events = self._events, []
        return events

    def _unread(self) -> bool:
        """Tell whether the simulation has written of orders since it was last read."""
        counters = self._counters
        fresh = (counters[FILLS], counters[ORDERS], self._simulation.flushes)
        return fresh != self._read

    def _gather(self) -> None:
        """Read what the simulation has written of orders."""
        simulation, counters = self._simulation, self._counters
        filled, ended, flushes = counters[FILLS], counters[ORDERS], simulation.flushes
        first, last = (0, 0) if self._read[2] != flushes else self._read[:2]
        written = simulation.handle.bundle
        fills: list[Any] = [Fills(*row) for row in written.fills[first:filled].tolist()]
        orders: list[Any] = [Orders(*row) for row in written.orders[last:ended].tolist()]
        self._read = (filled, ended, flushes)
        whole = {row.order_id for row in orders if row.status == FILLED}
        for fill in fills:
            status = "filled" if fill.order_id in whole else "partial"
            self._events.append(_event(fill, status, fill.quantity, fill.price))
        for row in orders:
            if row.status != FILLED:
                reason = REASONS[row.reason]
                self._events.append(_event(row, STATUS[row.status], 0.0, math.nan, reason))

    def _enter(self) -> None:
        """Simulate up to this close; on the way a halt is asked about."""
        if not self.entered:
            while self._simulation.enter(max(self.now, self.first)):
                self._look()
            self.entered = True

    def _look(self) -> None:
        """Ask whether the run may go on, and say how far it is."""
        self._looked = time.perf_counter()
        self._simulation.calmed()
        self._progress.checkpoint()
        done = max(min(self.now, self._end) - self.first, 0)
        self._progress.emit(
            "bar.processed",
            f"Bar {done} of {self._simulation.total}.",
            current=done,
            total=self._simulation.total,
        )


def _event(
    row: Any, status: str, quantity: float, price: float, reason: str = ""
) -> dict[str, Any]:
    """Return what happened to the order of a row, in the order of `OrderEvent`'s fields."""
    return {
        "order_id": row.order_id,
        "place": row.symbol,
        "status": status,
        "quantity": quantity,
        "price": price,
        "reason": reason,
    }


def _ignore(event: dict[str, Any]) -> None:
    """Hear of an order's event and do nothing."""
