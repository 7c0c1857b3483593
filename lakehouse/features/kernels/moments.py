"""Sum, mean, variance, skewness and kurtosis of windows.

Powers are added of values less a value of the window itself (the last one): their sums are then
at most n + 1 times what the spread is, so nothing cancels, and a flat window is exactly flat.
"""

from __future__ import annotations

import numpy as np

from lakehouse.features.kernels.compiled import (
    BLOCK,
    Floats,
    Ints,
    add,
    add_powers,
    add_product,
    compiled,
    count,
    full,
    shift,
)

SUM, MEAN = range(2)
VAR, STD = range(2)
SKEW, KURT = range(2)


@compiled
def totals(
    z: Floats, m: Floats, c: Floats, starts: Ints, windows: Ints, modes: Ints, out: Floats
) -> None:
    """Write SUM or MEAN of every window to ``out`` (modes, windows, R).

    ``z`` (R,) has 0 where ``m`` (R,) is 0, else the value; ``c`` is not looked at. ``windows``
    rise. NaN where a window has no value.
    """
    room = np.empty((2, BLOCK))
    for i in range(starts.size - 1):
        s0, whole = starts[i], full(m[starts[i] : starts[i + 1]])
        for b0 in range(s0, starts[i + 1], BLOCK):
            b1 = min(b0 + BLOCK, starts[i + 1])
            room[:, :] = 0.0
            n, s = room[0][: b1 - b0], room[1][: b1 - b0]
            k = 0
            for w in range(windows.size):
                reach = min(windows[w], b1 - s0)
                while k < reach:
                    lo = max(b0, s0 + k)
                    add(s[lo - b0 :], z[lo - k : b1 - k])
                    if not whole:
                        add(n[lo - b0 :], m[lo - k : b1 - k])
                    k += 1
                if whole:
                    count(n, b0 - s0, windows[w])
                for p in range(modes.size):
                    of = out[p, w, b0:b1]
                    for j in range(of.size):
                        total = s[j] if n[j] > 0.0 else np.nan
                        of[j] = total / n[j] if modes[p] == MEAN else total


@compiled
def spreads(
    z: Floats, m: Floats, c: Floats, starts: Ints, windows: Ints, modes: Ints, out: Floats
) -> None:
    """Write VAR or STD of every window to ``out`` (modes, windows, R), ddof 1.

    ``z`` and ``m`` as in `totals`, ``c`` as `compiled.carried` says. NaN below two values.
    """
    room = np.empty((3, BLOCK))
    for i in range(starts.size - 1):
        s0, whole = starts[i], full(m[starts[i] : starts[i + 1]])
        for b0 in range(s0, starts[i + 1], BLOCK):
            b1 = min(b0 + BLOCK, starts[i + 1])
            room[:, :] = 0.0
            n, s, q = room[0][: b1 - b0], room[1][: b1 - b0], room[2][: b1 - b0]
            k = 0
            for w in range(windows.size):
                reach = min(windows[w], b1 - s0)
                while k < reach:
                    lo = max(b0, s0 + k)
                    held = m[lo - k : b1 - k]
                    add_powers(s[lo - b0 :], q[lo - b0 :], z[lo - k : b1 - k], c[lo:b1], held)
                    if not whole:
                        add(n[lo - b0 :], held)
                    k += 1
                if whole:
                    count(n, b0 - s0, windows[w])
                for p in range(modes.size):
                    of = out[p, w, b0:b1]
                    for j in range(of.size):
                        value = (q[j] - s[j] * s[j] / n[j]) / (n[j] - 1.0)
                        value = max(value, 0.0)
                        of[j] = np.sqrt(value) if modes[p] == STD else value


@compiled
def _shape(mode: int, n: float, s: float, q: float, s3: float, s4: float) -> float:
    mean = s / n
    m2 = q - s * mean
    if not m2 > 0.0:
        return float(np.nan)
    if mode == SKEW:
        if n < 3.0:
            return float(np.nan)
        m3 = s3 - 3.0 * mean * q + 2.0 * mean * mean * s
        return float(n * np.sqrt(n - 1.0) / (n - 2.0) * m3 / (m2 * np.sqrt(m2)))
    if n < 4.0:
        return float(np.nan)
    m4 = s4 - 4.0 * mean * s3 + 6.0 * mean * mean * q - 3.0 * mean * mean * mean * s
    term = n * (n + 1.0) * (n - 1.0) / ((n - 2.0) * (n - 3.0)) * m4 / (m2 * m2)
    return float(term - 3.0 * (n - 1.0) * (n - 1.0) / ((n - 2.0) * (n - 3.0)))


@compiled
def shapes(
    z: Floats, m: Floats, c: Floats, starts: Ints, windows: Ints, modes: Ints, out: Floats
) -> None:
    """Write SKEW or KURT of every window to ``out`` (modes, windows, R); arguments as `spreads`.

    Skewness is adjusted Fisher-Pearson, kurtosis excess and bias-corrected; flat is NaN.
    """
    room = np.empty((7, BLOCK))
    for i in range(starts.size - 1):
        s0 = starts[i]
        for b0 in range(s0, starts[i + 1], BLOCK):
            b1 = min(b0 + BLOCK, starts[i + 1])
            room[:, :] = 0.0
            n, s, q, s3, s4, d, e = (
                room[0],
                room[1],
                room[2],
                room[3],
                room[4],
                room[5],
                room[6],
            )
            k = 0
            for w in range(windows.size):
                reach = min(windows[w], b1 - s0)
                while k < reach:
                    lo = max(b0, s0 + k)
                    here, held = slice(lo - b0, b1 - b0), m[lo - k : b1 - k]
                    new, square = d[here], e[here]
                    shift(new, z[lo - k : b1 - k], c[lo:b1], held)
                    for j in range(new.size):
                        square[j] = new[j] * new[j]
                    add(n[here], held)
                    add(s[here], new)
                    add(q[here], square)
                    add_product(s3[here], square, new)
                    add_product(s4[here], square, square)
                    k += 1
                for p in range(modes.size):
                    for j in range(b1 - b0):
                        out[p, w, b0 + j] = _shape(modes[p], n[j], s[j], q[j], s3[j], s4[j])
