"""One market simulated many times: checked once, and every buffer used again."""

from __future__ import annotations

import numpy as np

from runtimes.engine.arrays import BAR, FILLS, ORDERS, Floats, Params, Targets, new_state
from runtimes.engine.checks import check_targets, first_invalid
from runtimes.engine.kernel import ROOM
from runtimes.engine.orders import new_book
from runtimes.engine.simulation import BUFFER_ROWS, Simulation, delayed


class Repeated(Simulation):
    """A `Simulation` that can begin again with other decisions and rules; only equity is kept.

    It drops fills and orders where a `Simulation` keeps them, so it has no `result`. What it
    computes is the same, bit for bit.
    """

    def again(self, targets: Targets, params: Params) -> None:
        """Stand before the first bar once more, with other ``targets`` and ``params``.

        A weight that cannot be held raises `InvalidWeightsError` when its bar is reached.
        """
        bars, count = self.market.close.shape
        check_targets(targets, bars=bars, symbols=count)
        self._targets = delayed(targets, first=self.first, bars=bars, lag=params.lag)
        self.params, self._handle = params, None
        invalid = first_invalid(self._targets.weights, leverage=params.leverage)
        self._invalid = invalid if invalid < len(self._targets.rows) else None
        self.state = new_state(
            count, cash=params.cash, terms=self._conditions.terms, settlement=params.settlement
        )
        self.state.counters[BAR] = self.first
        if self._booked() or self.book["order_id"].any():
            self.book = new_book()
            self._scratch = np.zeros(self.book.size)

    def equity(self) -> Floats:
        """Return the equity at each close so far (B,)."""
        return np.array(self._curve.equity[: self.current])

    def _capacity(self) -> int:
        return max(BUFFER_ROWS, ROOM * len(self.symbols))

    def _flush(self) -> None:
        self.state.counters[FILLS] = self.state.counters[ORDERS] = 0
        self.flushes += 1
