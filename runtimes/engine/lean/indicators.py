"""Indicators as Lean computes them, one value at a time."""

from __future__ import annotations


class Ema:
    """Exponential moving average: the mean of the first ``period`` values, then k = 2/(period+1).

    ``update`` returns None until there are ``period`` values.
    """

    def __init__(self, period: int) -> None:
        self._period, self._sum, self._count = period, 0.0, 0
        self.value: float | None = None

    def update(self, value: float) -> float | None:
        """Take the next value and return the average."""
        self._count += 1
        if self.value is not None:
            k = 2.0 / (self._period + 1.0)
            self.value = value * k + self.value * (1.0 - k)
        else:
            self._sum += value
            if self._count == self._period:
                self.value = self._sum / self._period
        return self.value
