"""How kernels are compiled, and the few loops that all of them are made of.

No fastmath and no parallel loops: the order of operations is fixed. Threads come from the caller;
kernels run without the interpreter's lock. Compiled code is cached only below a folder that the
worker has named by the hash of the sources (`runtimes.engine.identity.prepare`).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import ParamSpec, TypeVar, cast

import numba
import numpy as np
from numpy.typing import NDArray

P = ParamSpec("P")
R = TypeVar("R")
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

BLOCK = 512
"""Rows that are computed side by side: a dozen such columns fit the first cache."""


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """Compile ``function`` without the interpreter lock; divisions follow IEEE 754."""
    decorate = numba.njit(
        nogil=True, error_model="numpy", cache=bool(os.environ.get("NUMBA_CACHE_DIR"))
    )
    return cast("Callable[P, R]", decorate(function))


@compiled
def shift(d: Floats, z: Floats, c: Floats, m: Floats) -> None:
    """Write ``(z - c) * m``: values less a centre, 0 where there is none."""
    for j in range(d.size):
        d[j] = (z[j] - c[j]) * m[j]


@compiled
def add_powers(s: Floats, q: Floats, z: Floats, c: Floats, m: Floats) -> None:
    """Add ``(z - c) * m`` to ``s`` and its square to ``q``."""
    for j in range(s.size):
        d = (z[j] - c[j]) * m[j]
        s[j] += d
        q[j] += d * d


@compiled
def add(total: Floats, d: Floats) -> None:
    """Add ``d`` to ``total``."""
    for j in range(total.size):
        total[j] += d[j]


@compiled
def add_scaled(total: Floats, d: Floats, k: float) -> None:
    """Add ``k * d`` to ``total``."""
    for j in range(total.size):
        total[j] += k * d[j]


@compiled
def add_product(total: Floats, d: Floats, e: Floats) -> None:
    """Add ``d * e`` to ``total``."""
    for j in range(total.size):
        total[j] += d[j] * e[j]


@compiled
def carried(z: Floats, m: Floats, starts: Ints) -> Floats:
    """Return (R,) the last value up to each row of its symbol, 0 before the first."""
    last = np.empty_like(z)
    for i in range(starts.size - 1):
        value = 0.0
        for t in range(starts[i], starts[i + 1]):
            if m[t] != 0.0:
                value = z[t]
            last[t] = value
    return last


@compiled
def full(m: Floats) -> bool:
    """Tell whether every row has a value."""
    return bool(np.all(m))


@compiled
def count(n: Floats, place: int, window: int) -> None:
    """Write how many rows a window has where every row has a value; ``place`` is the first's."""
    for j in range(n.size):
        n[j] = min(window, place + j + 1)
