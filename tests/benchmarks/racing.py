"""What the races of the engine share: their data, the peers' environments, and how time is taken.

Everything is seeded: a peer gets the very arrays that ours gets, as files. Both sides run in turn
on one machine, and the fastest round of each counts; a ratio is peer / ours, how many times faster
ours is, and the gate is its least value, so what is printed as ``ratio`` is ours / peer.
"""

from __future__ import annotations

import json
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from runtimes.engine.arrays import Floats, Market
from tests.benchmarks.peers import Peer

VECTORBT = Peer("vectorbt", ("vectorbt==1.2.0", "backtesting==0.6.6"))
"""Needs pandas 3.0.3 or newer; backtesting.py lives beside it. Never imported by the product."""
NAUTILUS = Peer("nautilus", ("nautilus_trader==1.221.0",))
"""Needs pandas older than 3."""
PEERS = Path(__file__).resolve().parent
ROUNDS = 5
MINUTE, DAY = 60 * 10**9, 86_400 * 10**9


def walk(seed: int, *, bars: int, symbols: int = 1, step: float, gap: float, every: int) -> Market:
    """Return random walks around 100 with opens near the close before; ``every`` ns a bar."""
    rng = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(rng.normal(0, step, (bars, symbols)), axis=0))
    opens = close * np.exp(rng.normal(0, gap, close.shape))
    high, low = np.maximum(opens, close) * (1 + gap), np.minimum(opens, close) * (1 - gap)
    volume = rng.integers(1_000, 100_000, close.shape).astype(float)
    times = np.datetime64("2000-01-03", "ns").astype(np.int64) + np.arange(bars) * every
    return Market(times, opens, high, low, close, volume)


def rounded(market: Market, digits: int) -> Market:
    """Return the market with prices of so many digits, high and low still around the others."""
    o, h, low, c = (np.round(prices, digits) for prices in market[1:5])
    return market._replace(
        open=o, high=np.maximum(h, np.maximum(o, c)), low=np.minimum(low, np.minimum(o, c)), close=c
    )


def best(work: Callable[[], object], rounds: int = ROUNDS) -> float:
    """Return the seconds of the fastest of ``rounds`` calls."""
    took = []
    for _ in range(rounds):
        began = time.perf_counter()
        work()
        took.append(time.perf_counter() - began)
    return min(took)


def against(
    peer: Peer, script: str, ours: Callable[[], object], *arguments: str, rounds: int = ROUNDS
) -> tuple[float, dict[str, Any]]:
    """Return our best seconds, taken before and after the peer's, and what the peer told."""
    before = best(ours, rounds)
    told = peer.run(PEERS / script, *arguments, str(rounds))
    return min(before, best(ours, rounds)), told


def best_cpu(work: Callable[[], object], rounds: int = ROUNDS) -> float:
    """Return the least seconds of processor time of ``rounds`` calls: neighbours count less."""
    took = []
    for _ in range(rounds):
        began = time.process_time()
        work()
        took.append(time.process_time() - began)
    return min(took)


def save(folder: Path, **arrays: Floats | Any) -> None:
    """Write the arrays of a case for a peer."""
    for name, values in arrays.items():
        np.save(folder / f"{name}.npy", values)


def race(name: str, ours: float, peer: float, *, least: float | None, **more: Any) -> None:
    """Print ours and the peer's seconds; ``least`` is how many times faster ours must be."""
    line = {"name": name, "ours": round(ours, 6), "peer": round(peer, 6), "ratio": ours / peer}
    gate = {} if least is None else {"limit": 1 / least}
    print(json.dumps({**line, **gate, "times": round(peer / ours, 1), **more}), flush=True)


def figure(name: str, value: float, **more: Any) -> None:
    """Print a figure of ours that nobody is compared with."""
    line = {"name": name, "ours": round(value, 6), "peer": None, "ratio": None}
    print(json.dumps({**line, **more}), flush=True)


def peak_mb() -> float:
    """Return the most memory that this process has held, in MB."""
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)


def near(ours: Any, theirs: Any, *, rel: float, what: str) -> None:
    """Fail unless both agree to ``rel``."""
    np.testing.assert_allclose(ours, theirs, rtol=rel, err_msg=what)
