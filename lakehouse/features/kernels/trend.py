"""Lines through windows by least squares, and linearly weighted means.

Rows are numbered by their age k, 0 the newest, which moves neither slope nor residual; values
are taken less the last one, as in `moments.spreads`.
"""

from __future__ import annotations

import numpy as np

from lakehouse.features.kernels.compiled import (
    BLOCK,
    Floats,
    Ints,
    add,
    add_product,
    add_scaled,
    compiled,
    shift,
)

SLOPE, RSQUARE, RESI, WMA, WMA_QLIB = range(5)


@compiled
def _emit(mode: int, sums: Floats, c: Floats, m: Floats, ages: Ints, out: Floats) -> None:
    """``sums``: counts, values, squares, ages, squared ages, values by age; ``ages``: rows."""
    n, s, q, a, aa, sa = sums[0], sums[1], sums[2], sums[3], sums[4], sums[5]
    for j in range(out.size):
        spread = n[j] * aa[j] - a[j] * a[j]
        rise = s[j] * a[j] - n[j] * sa[j]
        if mode == SLOPE:
            out[j] = rise / spread
        elif mode == RSQUARE:
            out[j] = rise * rise / (spread * (n[j] * q[j] - s[j] * s[j]))
        elif mode == RESI:
            fitted = (s[j] + rise / spread * a[j]) / n[j]
            out[j] = -fitted if m[j] != 0.0 else np.nan
        else:
            weights = ages[j] * n[j] - a[j]
            total = ages[j] * s[j] - sa[j]
            if mode == WMA:
                out[j] = c[j] + total / weights
            else:
                whole = ages[j] * (ages[j] + 1.0) / 2.0
                out[j] = (total + c[j] * weights) / whole / n[j]


@compiled
def trends(
    z: Floats, m: Floats, c: Floats, starts: Ints, windows: Ints, modes: Ints, out: Floats
) -> None:
    """Write the statistics ``modes`` of every window to ``out`` (modes, windows, R).

    Arguments as in `moments.spreads`. SLOPE, RSQUARE and RESI need two values; RESI is the last
    row's and NaN where it has none. WMA weighs by 1..N and divides by the weights of the values
    there; WMA_QLIB divides by all weights and again by the number of values, as Qlib does.
    """
    room = np.empty((7, BLOCK))
    ages = np.empty(BLOCK, dtype=np.int64)
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
                    new = room[6][here]
                    shift(new, z[lo - k : b1 - k], c[lo:b1], held)
                    add(room[0][here], held)
                    add(room[1][here], new)
                    add_product(room[2][here], new, new)
                    add_scaled(room[3][here], held, float(k))
                    add_scaled(room[4][here], held, float(k) * float(k))
                    add_scaled(room[5][here], new, float(k))
                    k += 1
                for j in range(b1 - b0):
                    ages[j] = min(windows[w], b0 + j - s0 + 1)
                for p in range(modes.size):
                    _emit(modes[p], room, c[b0:b1], m[b0:b1], ages, out[p, w, b0:b1])
