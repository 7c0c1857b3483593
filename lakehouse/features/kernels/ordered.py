"""Quantiles by a sorted window, and mean absolute deviations.

A sorted window holds the same values however it came about, so a quantile depends on its window
alone although rows enter and leave one by one.
"""

from __future__ import annotations

import numpy as np

from lakehouse.features.kernels.compiled import BLOCK, Floats, Ints, compiled


@compiled
def _place(held: Floats, n: int, value: float) -> int:
    """Return how many of the first ``n`` values are below ``value``."""
    low, high = 0, n
    while low < high:
        middle = (low + high) // 2
        if held[middle] < value:
            low = middle + 1
        else:
            high = middle
    return low


@compiled
def _quantile(held: Floats, n: int, q: float) -> float:
    if n == 0:
        return float(np.nan)
    place = q * (n - 1)
    low = int(place)
    if low >= n - 1:
        return float(held[n - 1])
    return float(held[low] + (held[low + 1] - held[low]) * (place - low))


@compiled
def quantiles(z: Floats, m: Floats, starts: Ints, windows: Ints, qs: Floats, out: Floats) -> None:
    """Write the quantiles ``qs`` of every window to ``out`` (qs, windows, R), linear between.

    ``z`` and ``m`` as in `moments.spreads`. NaN where a window has no value.
    """
    longest = 0
    for i in range(starts.size - 1):
        longest = max(longest, starts[i + 1] - starts[i])
    for w in range(windows.size):
        held = np.empty(min(windows[w], longest) + 1)
        for i in range(starts.size - 1):
            n = 0
            for t in range(starts[i], starts[i + 1]):
                gone = t - windows[w]
                if gone >= starts[i] and m[gone] != 0.0:
                    n -= 1
                    for j in range(_place(held, n + 1, z[gone]), n):
                        held[j] = held[j + 1]
                if m[t] != 0.0:
                    place = _place(held, n, z[t])
                    for j in range(n, place, -1):
                        held[j] = held[j - 1]
                    held[place] = z[t]
                    n += 1
                for p in range(qs.size):
                    out[p, w, t] = _quantile(held, n, qs[p])


@compiled
def _away(total: Floats, n: Floats, v: Floats, mean: Floats, m: Floats) -> None:
    for j in range(total.size):
        total[j] += abs(v[j] - mean[j]) * m[j] if m[j] != 0.0 else 0.0
        n[j] += m[j]


@compiled
def deviations(
    z: Floats, m: Floats, means: Floats, starts: Ints, windows: Ints, out: Floats
) -> None:
    """Write mean |x - mean| of every window to ``out`` (windows, R).

    ``z`` and ``m`` as in `moments.spreads`; ``means`` (windows, R) are the windows' means.
    """
    total, n = np.empty(BLOCK), np.empty(BLOCK)
    for i in range(starts.size - 1):
        s0 = starts[i]
        for b0 in range(s0, starts[i + 1], BLOCK):
            b1 = min(b0 + BLOCK, starts[i + 1])
            for w in range(windows.size):
                total[:], n[:] = 0.0, 0.0
                for k in range(min(windows[w], b1 - s0)):
                    lo = max(b0, s0 + k)
                    here, back = slice(lo - b0, b1 - b0), slice(lo - k, b1 - k)
                    _away(total[here], n[here], z[back], means[w, lo:b1], m[back])
                for j in range(b1 - b0):
                    out[w, b0 + j] = total[j] / n[j]
