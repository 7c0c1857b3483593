"""Exponentially weighted means, from a symbol's first row on (pandas' ``ewm``, adjusted)."""

from __future__ import annotations

import numpy as np

from lakehouse.features.kernels.compiled import Floats, Ints, compiled


@compiled
def decayed(z: Floats, m: Floats, starts: Ints, alphas: Floats, out: Floats) -> None:
    """Write the mean with weights (1 - alpha)^age to ``out`` (alphas, R), for each alpha.

    ``z`` and ``m`` as in `moments.spreads`. Weights decay over rows without a value, the mean is
    carried through them; NaN before the first value.
    """
    for p in range(alphas.size):
        keep = 1.0 - alphas[p]
        for i in range(starts.size - 1):
            mean, weight = np.nan, 0.0
            for t in range(starts[i], starts[i + 1]):
                weight *= keep
                if m[t] != 0.0:
                    if weight == 0.0 or np.isnan(mean):
                        mean = z[t]
                    elif mean != z[t]:
                        mean = (weight * mean + z[t]) / (weight + 1.0)
                    weight += 1.0
                out[p, t] = mean


@compiled
def expanded(z: Floats, m: Floats, starts: Ints, out: Floats) -> None:
    """Write Qlib's EMA(x, 0) to ``out`` (R,): span = rows so far, NaN rows keep their weight."""
    for i in range(starts.size - 1):
        s0, seen = starts[i], False
        for t in range(s0, starts[i + 1]):
            seen = seen or m[t] != 0.0
            keep = 1.0 - 2.0 / (t - s0 + 2.0)
            total, weights, weight = 0.0, 0.0, 1.0
            for k in range(t - s0 + 1):
                total += weight * z[t - k]
                weights += weight
                weight *= keep
            out[t] = total / weights if seen else np.nan
