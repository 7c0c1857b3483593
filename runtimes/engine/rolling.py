"""Means of moving windows, in the order of operations that gives the same bits at any place."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from runtimes.engine.arrays import Floats
from runtimes.engine.compiled import apart

BLOCK = 1_024
"""Windows that are computed side by side: what they need stays in the first cache."""
Flags = NDArray[np.bool_]


def mean(values: Floats, length: int) -> Floats:
    """Return the mean of the last ``length`` values (K,), nan before there are that many.

    Sums of 1, 2, 4 .. values are made from each other, and those that make up ``length`` added: a
    few passes for any length, no drift, and the same bits wherever a window stands.
    """
    out = np.full(values.size, np.nan)
    if values.size >= length:
        _means(values, length, *_scratch(length), out)
    return out


def above(values: Floats, fast: int, slow: int) -> Flags:
    """Tell where `mean` of ``fast`` values is above that of ``slow`` > ``fast`` ones (K,).

    The same bits decide, but no column of means is made.
    """
    out = np.zeros(values.size, dtype=np.bool_)
    if values.size >= slow:
        _above(values, fast, slow, *_scratch(slow), out)
    return out


def _scratch(length: int) -> tuple[Floats, Floats]:
    """Return room for sums of up to ``length`` values, and for two blocks of whole sums."""
    block = max(BLOCK, 2 * length)
    return np.empty((2, block + length)), np.empty((2, block))


@apart
def _add(first: Floats, second: Floats, out: Floats) -> None:
    for j in range(out.size):
        out[j] = first[j] + second[j]


@apart
def _add_to(out: Floats, more: Floats) -> None:
    for j in range(out.size):
        out[j] += more[j]


@apart
def _sums(values: Floats, short: int, long: int, count: int, room: Floats, total: Floats) -> None:
    """Write the sums of the ``short`` and ``long`` values that end at the last ``count`` ones.

    ``values`` (``count`` + ``long`` - 1,); ``total`` (2, C) takes the short sums, then the long.
    """
    few, many = total[0, :count], total[1, :count]
    few[:], many[:] = 0.0, 0.0
    sums, longer = room[0], room[1]
    reach = values.size
    sums[:reach] = values
    place, begun, size = long - short, 0, 1
    while size <= long:
        if short & size:
            _add_to(few, sums[place : place + count])
            place += size
        if long & size:
            _add_to(many, sums[begun : begun + count])
            begun += size
        reach -= size
        if 2 * size <= long:
            _add(sums[:reach], sums[size : size + reach], longer[:reach])
        sums, longer = longer, sums
        size *= 2


@apart
def _means(values: Floats, length: int, room: Floats, total: Floats, out: Floats) -> None:
    whole = total[1]
    for begin in range(length - 1, values.size, whole.size):
        end = min(begin + whole.size, values.size)
        _sums(values[begin - length + 1 : end], 0, length, end - begin, room, total)
        for j in range(end - begin):
            out[begin + j] = whole[j] / length


@apart
def _above(values: Floats, fast: int, slow: int, room: Floats, total: Floats, out: Flags) -> None:
    few, many = total[0], total[1]
    for begin in range(slow - 1, values.size, few.size):
        end = min(begin + few.size, values.size)
        _sums(values[begin - slow + 1 : end], fast, slow, end - begin, room, total)
        for j in range(end - begin):
            out[begin + j] = few[j] / fast > many[j] / slow
