"""A seeded panel of bars as a frame of the feature language."""

from __future__ import annotations

import numpy as np

from lakehouse.features.frame import Frame


def seeded(*, symbols: int, rows: int, gaps: int = 0, seed: int = 11) -> Frame:
    """Return random walks; each symbol has ``gaps`` rows without a bar and one without volume."""
    rng = np.random.default_rng(seed)
    shape = (symbols, rows)
    close = 50 * np.exp(np.cumsum(rng.normal(0, 0.02, shape), axis=1))
    opened = close * np.exp(rng.normal(0, 0.005, shape))
    high, low = np.maximum(opened, close) * 1.01, np.minimum(opened, close) * 0.99
    fields = {
        "open": opened,
        "high": high,
        "low": low,
        "close": close,
        "volume": np.round(rng.lognormal(12, 1, shape)),
        "vwap": (high + low + close) / 3,
    }
    columns = {name: values.astype(np.float32) for name, values in fields.items()}
    for i in range(symbols):
        lost = rng.choice(rows, gaps, replace=False)
        for values in columns.values():
            values[i, lost] = np.nan
        columns["volume"][i, rng.integers(rows)] = 0
    return Frame(
        tuple(f"S{i:03d}" for i in range(symbols)),
        np.arange(symbols + 1, dtype=np.int64) * rows,
        np.tile(np.arange(rows, dtype=np.int64), symbols),
        {name: values.reshape(-1) for name, values in columns.items()},
    )
