"""Means of moving windows, in the order of operations that gives the same bits at any place."""

from __future__ import annotations

import numpy as np

from runtimes.engine.arrays import Floats
from runtimes.engine.compiled import apart

BLOCK = 2_048
"""Windows that are computed side by side: what they need stays in the first cache."""


def mean(values: Floats, length: int) -> Floats:
    """Return the mean of the last ``length`` values (K,), nan before there are that many.

    Sums of 1, 2, 4 .. values are made from each other, and those that make up ``length`` added: a
    few passes for any length, no drift, and the same bits wherever a window stands.
    """
    out = np.full(values.size, np.nan)
    if values.size >= length:
        block = max(BLOCK, 2 * length)
        _means(values, length, np.empty((2, block + length)), np.empty(block), out)
    return out


@apart
def _add(first: Floats, second: Floats, out: Floats) -> None:
    for j in range(out.size):
        out[j] = first[j] + second[j]


@apart
def _means(values: Floats, length: int, room: Floats, total: Floats, out: Floats) -> None:
    """Write means to ``out``; ``room`` and ``total`` are scratch for ``total.size`` windows."""
    windows = values.size - length + 1
    for begin in range(0, windows, total.size):
        count = min(total.size, windows - begin)
        reach = count + length - 1
        sums, longer = room[0], room[1]
        sums[:reach] = values[begin : begin + reach]
        total[:] = 0.0
        taken, size = 0, 1
        while True:
            if length & size:
                _add(total[:count], sums[taken : taken + count], total[:count])
                taken += size
            if 2 * size > length:
                break
            reach -= size
            _add(sums[:reach], sums[size : size + reach], longer[:reach])
            sums, longer = longer, sums
            size *= 2
        place = out[begin + length - 1 : begin + length - 1 + count]
        for j in range(place.size):
            place[j] = total[j] / length
