"""A market for benchmarks: ten million hourly bars of five hundred symbols, and a lake for them."""

from __future__ import annotations

import datetime as dt
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from lakehouse import catalog
from lakehouse.lake import Lake, open_lake
from ledger.appends import Appends
from tests.kit.suite import suite
from topology.stores import catalog_uri, postgres_dsn, warehouse

ROWS = 10_000_000
SYMBOLS = 500
START = dt.datetime(2022, 1, 1, tzinfo=dt.UTC)
HOUR_US = 3_600_000_000


@dataclass(frozen=True)
class Stand:
    """A lake of its own as its writer, the log of its appends, and a folder beside it."""

    lake: Lake
    log: Appends
    log_dsn: str
    folder: Path


@contextmanager
def stand() -> Iterator[Stand]:
    """Open a suite in a temporary home; everything is gone afterwards."""
    with tempfile.TemporaryDirectory() as name, suite(Path(name) / "home") as place:
        lake = open_lake(
            catalog_uri(place.topology, place.home, "alphaswarm_writer"),
            str(warehouse(place.topology, place.home)),
        )
        dsn = postgres_dsn(place.topology, place.home, "alphaswarm_app")
        try:
            yield Stand(lake, Appends(place.pool, dsn), dsn, Path(name))
        finally:
            catalog.close(lake)


def hourly(rows: int = ROWS, *, symbols: int = SYMBOLS, first: int = 0) -> pa.Table:
    """Return bars of every hour, day and night, sorted by symbol and time.

    ``first`` counts the hours before the first bar.
    """
    each = rows // symbols
    hours = first + np.tile(np.arange(each, dtype=np.int64), symbols)
    times = pa.array(int(START.timestamp()) * 1_000_000 + (hours + 1) * HOUR_US)
    noise = np.random.default_rng(first)
    steps = noise.normal(0, 0.01, (symbols, each))
    close = np.round(100 * np.exp(np.cumsum(steps, axis=1)), 2).ravel()
    prices = {
        "open": close,
        "high": np.round(close * 1.01, 2),
        "low": np.round(close * 0.99, 2),
        "close": close,
        "volume": noise.integers(1, 10_000, close.size).astype(np.float64),
    }
    stamp = pa.scalar(START + dt.timedelta(days=4000), pa.timestamp("us", tz="UTC"))
    return pa.table(
        {
            "vt_symbol": pa.array(np.repeat([symbol(i) for i in range(symbols)], each)),
            "timestamp": times.cast(pa.timestamp("us", tz="UTC")),
            **prices,
            "currency": pa.repeat("USD", close.size),
            "source": pa.repeat("bench", close.size),
            "ingested_at": pa.repeat(stamp, close.size),
            "run_id": pa.repeat("r", close.size),
        }
    )


def symbol(number: int) -> str:
    """Return the name of a symbol; they sort by number."""
    return f"S{number:03d}.BENCH"


def median(work: Callable[[], object], rounds: int) -> float:
    """Return the median seconds that ``work`` takes."""
    return statistics.median(seconds(work) for _ in range(rounds))


def seconds(work: Callable[[], object]) -> float:
    """Return how long ``work`` takes."""
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def figure(name: str, ours: float, peer: float | None, **more: object) -> None:
    """Print one figure, and its ratio to the peer of the same run."""
    told: dict[str, object] = {"ours": round(ours, 4)}
    if peer is not None:
        told |= {"peer": round(peer, 4), "ratio": round(ours / peer, 3)}
    else:
        told |= {"peer": None, "ratio": None}
    print(json.dumps({"name": name, **told, **more}), flush=True)
