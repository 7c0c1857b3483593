"""Markets with and without an edge, for tests of what may be believed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from tests.kit.market import DAY_US, START


def trending(
    symbols: Sequence[str], *, bars: int, drift: float, length: int = 40, seed: int = 3
) -> pa.Table:
    """Return daily bars whose drift flips its sign every ``length`` bars, weekends too.

    Whoever follows the trend has an edge of ``drift`` a day less what the turns cost; with drift 0
    there is nothing to be found. Deviation 1 % a day.
    """
    rng = np.random.default_rng(seed)
    start = int(START.timestamp() * 1e6)
    signs = np.where(np.arange(bars) // length % 2 == 0, 1.0, -1.0)
    blocks = []
    for symbol in symbols:
        returns = rng.normal(0, 0.01, bars) + drift * signs
        close = 50 * np.exp(np.cumsum(returns))
        opened = np.concatenate([[50.0], close[:-1]])
        blocks.append(
            pa.table(
                {
                    "vt_symbol": pa.array([symbol] * bars),
                    "timestamp": pa.array(
                        start + DAY_US * np.arange(bars), pa.timestamp("us", tz="UTC")
                    ),
                    "open": opened,
                    "high": np.maximum(opened, close) * 1.001,
                    "low": np.minimum(opened, close) * 0.999,
                    "close": close,
                    "volume": np.full(bars, 1e7),
                    "currency": pa.array(["USD"] * bars),
                }
            )
        )
    return pa.concat_tables(blocks)
