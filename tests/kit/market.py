"""Bars in the lake of the test home, put there by the one write path."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from lakehouse.write import Receipt, append_arrow
from runtimes.context import Workshop
from topology.ids import new_id

DAY_US = 86_400_000_000
START = dt.datetime(2001, 1, 1, 21, tzinfo=dt.UTC)
SPEC_SHA = "0" * 64


def walks(symbols: Sequence[str], *, bars: int, seed: int = 7) -> pa.Table:
    """Return daily bars of random walks around 50 from 2001-01-01 on, weekends too."""
    rng = np.random.default_rng(seed)
    start = int(START.timestamp() * 1e6)
    blocks = []
    for symbol in symbols:
        close = 50 * np.exp(np.cumsum(rng.normal(0, 0.02, bars)))
        opened = close * np.exp(rng.normal(0, 0.01, bars))
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
                    "volume": np.full(bars, 1e6),
                    "currency": pa.array(["USD"] * bars),
                }
            )
        )
    return pa.concat_tables(blocks)


def put(workshop: Workshop, table: str, bars: pa.Table) -> Receipt:
    """Append bars as an ingest would."""
    run_id = new_id(START)
    rows = bars.num_rows
    origin = {
        "source": pa.array(["test"] * rows),
        "ingested_at": pa.array([START] * rows, pa.timestamp("us", tz="UTC")),
        "run_id": pa.array([run_id] * rows),
    }
    for name, column in origin.items():
        bars = bars.append_column(name, column)
    return append_arrow(
        "silver",
        table,
        bars,
        key=f"{run_id}:silver",
        run_id=run_id,
        spec_sha256=SPEC_SHA,
        log=workshop.log,
        lake=workshop.lake,
    )
