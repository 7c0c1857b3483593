"""Covariance and correlation of two series over the rows that have both."""

from __future__ import annotations

import numpy as np

from lakehouse.features.kernels.compiled import (
    BLOCK,
    Floats,
    Ints,
    add,
    add_product,
    compiled,
    shift,
)

CORR, COV = range(2)


@compiled
def _emit(mode: int, sums: Floats, out: Floats) -> None:
    """``sums``: counts, values of both, squares of both, products."""
    n, s, t, ss, tt, st = sums[0], sums[1], sums[2], sums[3], sums[4], sums[5]
    for j in range(out.size):
        product = st[j] - s[j] * t[j] / n[j]
        if mode == COV:
            out[j] = product / (n[j] - 1.0)
        else:
            left = ss[j] - s[j] * s[j] / n[j]
            right = tt[j] - t[j] * t[j] / n[j]
            out[j] = product / np.sqrt(left * right) if left > 0.0 and right > 0.0 else np.nan


@compiled
def pairs(
    x: Floats,
    y: Floats,
    m: Floats,
    cx: Floats,
    cy: Floats,
    starts: Ints,
    windows: Ints,
    modes: Ints,
    out: Floats,
) -> None:
    """Write CORR or COV of every window to ``out`` (modes, windows, R).

    ``x`` and ``y`` (R,) are 0 where ``m`` is 0: where either has no value; ``cx`` and ``cy`` their
    last common values. ddof 1; NaN below two common values, CORR also where either is flat.
    """
    room = np.empty((8, BLOCK))
    for i in range(starts.size - 1):
        s0 = starts[i]
        for b0 in range(s0, starts[i + 1], BLOCK):
            b1 = min(b0 + BLOCK, starts[i + 1])
            room[:, :] = 0.0
            k = 0
            for w in range(windows.size):
                reach = min(windows[w], b1 - s0)
                while k < reach:
                    lo = max(b0, s0 + k)
                    here, held = slice(lo - b0, b1 - b0), m[lo - k : b1 - k]
                    d, e = room[6][here], room[7][here]
                    shift(d, x[lo - k : b1 - k], cx[lo:b1], held)
                    shift(e, y[lo - k : b1 - k], cy[lo:b1], held)
                    add(room[0][here], held)
                    add(room[1][here], d)
                    add(room[2][here], e)
                    add_product(room[3][here], d, d)
                    add_product(room[4][here], e, e)
                    add_product(room[5][here], d, e)
                    k += 1
                for p in range(modes.size):
                    _emit(modes[p], room, out[p, w, b0:b1])
