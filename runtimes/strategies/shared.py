"""What trials over the same bars compute once: columns of moving windows, by name and length."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable

import numpy as np

from runtimes.engine.arrays import Floats, Ints

BYTES = 64 * 2**20
"""Bounds what is kept; the column used longest ago goes first."""


class Shared:
    """Columns over all closes (T, N) of a run, for strategies that see the bars from some row on.

    Safe for threads: a column that two ask for at once may be computed twice, to the same bits.
    """

    def __init__(self, close: Floats) -> None:
        self.close = close
        self.bars_before = _counted(close)
        self._columns: OrderedDict[tuple[str, int], Floats] = OrderedDict()
        self._lock = threading.Lock()

    def column(self, name: str, length: int, compute: Callable[[Floats], Floats]) -> Floats:
        """Return ``compute`` of all closes (T, N), kept under ``name`` and ``length``."""
        with self._lock:
            found = self._columns.get((name, length))
            if found is not None:
                self._columns.move_to_end((name, length))
                return found
        found = compute(self.close)
        found.flags.writeable = False
        with self._lock:
            self._columns[name, length] = found
            while len(self._columns) > 1 and len(self._columns) * found.nbytes > BYTES:
                self._columns.popitem(last=False)
        return found


def _counted(close: Floats) -> Ints | None:
    """Return how many bars each symbol had up to each row (T, N), None where none is missing."""
    missing = np.isnan(close)
    return np.cumsum(~missing, axis=0) if missing.any() else None


def whole(shared: Shared, column: Floats, since: int, length: int) -> Floats:
    """Return ``column`` from row ``since`` on, nan where a window begins before that row.

    A window of ``length`` own bars is whole where the symbol has had as many since ``since``.
    """
    if not since:
        return column
    seen = column[since:].copy()
    if shared.bars_before is None:
        seen[: length - 1] = np.nan
        return seen
    counted = shared.bars_before[since:]
    seen[counted - shared.bars_before[since - 1] < length] = np.nan
    return seen
