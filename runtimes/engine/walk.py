"""A simulation walked bar by bar, lazily, and what happens to orders told on the way.

A bar has two halves, before and after the decision. The first half of the current bar is simulated
when somebody looks or something could have happened, and whole stretches of bars at once when
nothing could: no open order, no short or borrowed position, no corporate action.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from runtimes.engine.arrays import (
    BOOKED,
    CHUNK,
    DONE,
    FILLED,
    FILLS,
    LATCH,
    ORDERS,
    Market,
    State,
)
from runtimes.engine.orders import REASONS
from runtimes.engine.simulation import Simulation
from topology.frames import Progress

NOTHING = np.zeros(0)
LOOK_S = 0.25
"""Longest time between two looks at the halt and two frames of progress."""
STATUS = ("filled", "cancelled", "open", "expired", "rejected")


class Walk:
    """One simulation at its current bar: `next`, `events`, what a script does, `close_bar`."""

    def __init__(self, simulation: Simulation, progress: Progress) -> None:
        self._simulation, self._progress = simulation, progress
        self.first = simulation.first
        self.now = simulation.first - 1
        self._entered, self._idle = False, True
        self._read = [0, 0, 0]  # fills, orders, and in which filling of the buffers
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
        self.now += 1
        if self.now >= self._end:
            return False
        if self._simulation.disturbed() or time.perf_counter() - self._looked > LOOK_S:
            self._look()
        if not self._idle:
            self._enter()
        return True

    def close_bar(self) -> None:
        """End the current bar: what fills at this close fills, and the row is written."""
        if self._entered:
            self._simulation.leave()
            self._entered = False
            self._idle = self._calm()

    def finish(self) -> None:
        """Simulate what was left for later, to the last bar."""
        self.now = self._end
        self._catch_up()
        self._look()

    def current(self) -> State:
        """Return the account as it stands at this close."""
        self._enter()
        return self._simulation.state

    def known(self) -> State:
        """Return an account whose positions, but not its cash, are those of this close."""
        if not self._idle:
            self._enter()
        return self._simulation.state

    def equity(self) -> float:
        """Return cash plus positions at this close."""
        state = self.current()
        held = np.flatnonzero(state.quantity)
        values = state.quantity[held] * state.last[held] * state.rate[held]
        return float((state.cash * state.exchange).sum() + values.sum())

    def tell(self) -> None:
        """Tell the strategy what has happened to its orders since it was last told."""
        for event in self.events():
            self.hear(event)

    def events(self) -> list[dict[str, Any]]:
        """Return what happened to orders at this bar, fills first, each in order."""
        if not self._entered:
            return []
        fills, orders = self._unread()
        if not (fills.size or orders.size):
            return []
        whole = {int(row.order_id) for row in orders if row.status == FILLED}
        told = [
            {
                "order_id": int(row.order_id),
                "place": int(row.symbol),
                "status": "filled" if int(row.order_id) in whole else "partial",
                "quantity": float(row.quantity),
                "price": float(row.price),
                "reason": "",
            }
            for row in fills
        ]
        return told + [
            {
                "order_id": int(row.order_id),
                "place": int(row.symbol),
                "status": STATUS[int(row.status)],
                "quantity": 0.0,
                "price": math.nan,
                "reason": REASONS[int(row.reason)],
            }
            for row in orders
            if row.status != FILLED
        ]

    def _enter(self) -> None:
        if not self._entered:
            self._catch_up()
            self._simulation.enter()
            self._entered = True

    def _catch_up(self) -> None:
        """Simulate the bars before the current one that nobody looked at."""
        while (behind := self.now - self._simulation.bar) > 0:
            status = self._simulation.advance(behind)
            if status == LATCH:
                self._look()
            elif status not in (CHUNK, DONE):
                return

    def _calm(self) -> bool:
        """Tell whether positions cannot change before the next order is given."""
        state = self._simulation.state
        return bool(
            not state.counters[BOOKED]
            and not state.pending.any()
            and state.cash[0] >= 0.0
            and (state.quantity >= 0.0).all()
            and not self._simulation.has_actions
        )

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

    def _unread(self) -> tuple[Any, Any]:
        simulation, counters = self._simulation, self._simulation.state.counters
        if self._read[2] != simulation.flushes:
            self._read = [0, 0, simulation.flushes]
        filled, ended = int(counters[FILLS]), int(counters[ORDERS])
        if self._read[:2] == [filled, ended]:
            return NOTHING, NOTHING
        fills = simulation.fills[self._read[0] : filled]
        orders = simulation.orders[self._read[1] : ended]
        self._read[:2] = [filled, ended]
        return fills, orders


def _ignore(event: dict[str, Any]) -> None:
    """Hear of an order's event and do nothing."""
