"""The account bar by bar: what the kernel wrote, and what follows from it when somebody asks."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

import numpy as np

from runtimes.engine.arrays import Floats, Worth


class Curve:
    """Columns (B,), a row per simulated bar: money in the account currency, fractions of equity.

    ``drawdown`` is the fraction below the running peak, which begins at ``start``. Fractions are 0
    where no equity is left. They are computed when they are first asked for.
    """

    def __init__(self, worth: Worth, *, start: float) -> None:
        self.worth, self.start = worth, start
        self.equity, self.cash, self.fees = worth.equity, worth.cash, worth.fees

    @classmethod
    def stored(cls, columns: Mapping[str, Floats]) -> Curve:
        """Return the curve whose `columns` were stored."""
        found = cls.__new__(cls)
        found.__dict__.update({name: columns[name] for name in COLUMNS})
        return found

    @cached_property
    def drawdown(self) -> Floats:
        """Return the fraction below the running peak, 0 at it."""
        peak = np.maximum.accumulate(self.equity)
        np.maximum(peak, self.start, out=peak)
        np.divide(self.equity, peak, out=peak)
        return np.subtract(1.0, peak, out=peak)

    @cached_property
    def gross_exposure(self) -> Floats:
        """Return the absolute value of positions as a fraction of equity."""
        return self._of_equity(self.worth.gross)

    @cached_property
    def net_exposure(self) -> Floats:
        """Return the signed value of positions as a fraction of equity."""
        return self._of_equity(self.equity - self.cash)

    @cached_property
    def turnover(self) -> Floats:
        """Return what was traded in the bar as a fraction of equity."""
        return self._of_equity(self.worth.traded)

    def columns(self) -> dict[str, Floats]:
        """Return all columns by name, in the order of the stored table."""
        return {name: getattr(self, name) for name in COLUMNS}

    def _of_equity(self, money: Floats) -> Floats:
        parts = np.zeros_like(money)
        return np.divide(money, self.equity, out=parts, where=self.equity > 0.0)


COLUMNS = ("equity", "drawdown", "cash", "gross_exposure", "net_exposure", "turnover", "fees")
