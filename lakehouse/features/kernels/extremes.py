"""Largest and smallest values, where they stand, and where the last value ranks."""

from __future__ import annotations

import numpy as np

from lakehouse.features.kernels.compiled import BLOCK, Floats, Ints, add, compiled

MAX, MIN, IDXMAX, IDXMIN = range(4)


@compiled
def _higher(best: Floats, age: Floats, v: Floats, k: float) -> None:
    """Keep the larger value and its age; of equals the older."""
    for j in range(best.size):
        newer = v[j] >= best[j]
        best[j] = v[j] if newer else best[j]
        age[j] = k if newer else age[j]


@compiled
def _emit(mode: int, best: Floats, age: Floats, n: Floats, available: Ints, out: Floats) -> None:
    sign = 1.0 if mode in (MAX, IDXMAX) else -1.0
    if mode in (MAX, MIN):
        for j in range(out.size):
            out[j] = sign * best[j] if n[j] > 0.0 else np.nan
    else:
        for j in range(out.size):
            out[j] = available[j] - age[j] if n[j] > 0.0 else np.nan


@compiled
def extremes(z: Floats, m: Floats, starts: Ints, windows: Ints, mode: int, out: Floats) -> None:
    """Write MAX, MIN, IDXMAX or IDXMIN of every window to ``out`` (windows, R).

    ``z`` and ``m`` as in `moments.spreads`. A place counts from 1 at the oldest row there is; a row
    without a value wins (numpy's argmax), the oldest of equals too. NaN without any value.
    """
    sign = 1.0 if mode in (MAX, IDXMAX) else -1.0
    missing = np.inf if mode in (IDXMAX, IDXMIN) else -np.inf
    y = np.empty_like(z)
    for t in range(z.size):
        y[t] = sign * z[t] if m[t] != 0.0 else missing
    room = np.empty((3, BLOCK))
    available = np.empty(BLOCK, dtype=np.int64)
    for i in range(starts.size - 1):
        s0 = starts[i]
        for b0 in range(s0, starts[i + 1], BLOCK):
            b1 = min(b0 + BLOCK, starts[i + 1])
            best, age, n = room[0], room[1], room[2]
            best[:], age[:], n[:] = -np.inf, 0.0, 0.0
            k = 0
            for w in range(windows.size):
                reach = min(windows[w], b1 - s0)
                while k < reach:
                    lo = max(b0, s0 + k)
                    here = slice(lo - b0, b1 - b0)
                    _higher(best[here], age[here], y[lo - k : b1 - k], float(k))
                    add(n[here], m[lo - k : b1 - k])
                    k += 1
                for j in range(b1 - b0):
                    available[j] = min(windows[w], b0 + j - s0 + 1)
                _emit(mode, best, age, n, available, out[w, b0:b1])


@compiled
def _compare(below: Floats, equal: Floats, v: Floats, last: Floats, m: Floats) -> None:
    for j in range(below.size):
        below[j] += m[j] if v[j] < last[j] else 0.0
        equal[j] += m[j] if v[j] == last[j] else 0.0


@compiled
def ranks(z: Floats, m: Floats, starts: Ints, windows: Ints, out: Floats) -> None:
    """Write the last value's average rank over the number of values to ``out`` (windows, R).

    ``z`` and ``m`` as in `moments.spreads`. NaN where the last row has no value.
    """
    room = np.empty((3, BLOCK))
    for i in range(starts.size - 1):
        s0 = starts[i]
        for b0 in range(s0, starts[i + 1], BLOCK):
            b1 = min(b0 + BLOCK, starts[i + 1])
            room[:, :] = 0.0
            n, below, equal = room[0], room[1], room[2]
            k = 0
            for w in range(windows.size):
                reach = min(windows[w], b1 - s0)
                while k < reach:
                    lo = max(b0, s0 + k)
                    here, held = slice(lo - b0, b1 - b0), m[lo - k : b1 - k]
                    _compare(below[here], equal[here], z[lo - k : b1 - k], z[lo:b1], held)
                    add(n[here], held)
                    k += 1
                for j in range(b1 - b0):
                    rank = (below[j] + (equal[j] + 1.0) / 2.0) / n[j]
                    out[w, b0 + j] = rank if m[b0 + j] != 0.0 else np.nan
