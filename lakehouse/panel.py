"""Bars as arrays: what a strategy and the kernel compute on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Panel:
    """Bars of N symbols at T instants.

    ``timestamps`` int64 ns UTC (T,), rising, each some symbol's bar end. The prices and ``volume``
    are float64 (T, N) in C order; NaN means that the symbol has no bar there, or none of that
    value. ``symbols`` are sorted.
    """

    timestamps: NDArray[np.int64]
    symbols: tuple[str, ...]
    open: NDArray[np.float64]
    high: NDArray[np.float64]
    low: NDArray[np.float64]
    close: NDArray[np.float64]
    volume: NDArray[np.float64]


def panel(bars: pa.Table) -> Panel:
    """Return a long table of bars (one row per symbol and instant, any order) as arrays."""
    symbols = pc.unique(bars.column("vt_symbol")).sort()
    columns = pc.index_in(bars.column("vt_symbol"), symbols).to_numpy()
    instants = bars.column("timestamp").cast(pa.int64()).to_numpy() * 1_000
    timestamps, rows = np.unique(instants, return_inverse=True)

    def spread(name: str) -> NDArray[np.float64]:
        grid = np.full((timestamps.size, len(symbols)), np.nan)
        grid[rows, columns] = bars.column(name).to_numpy()
        return grid

    return Panel(
        timestamps.astype(np.int64),
        tuple(symbols.to_pylist()),
        *(spread(name) for name in ("open", "high", "low", "close", "volume")),
    )
