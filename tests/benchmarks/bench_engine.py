"""The whole engine, checks and records included, beside the shortest numpy for the same curve.

Both get the same bars and the same decisions, in one process, best of five; numpy keeps no orders,
fills, trades or positions and cannot stop. The curves must agree. Seconds; ratio = ours / numpy.
"""

from __future__ import annotations

import json
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from runtimes.engine import identity

ROUNDS = 5


def best(work: Callable[[], object]) -> float:
    """Return the seconds of the fastest of `ROUNDS` calls."""
    seconds = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - began)
    return min(seconds)


def main() -> None:
    """Print one line per workload."""
    with tempfile.TemporaryDirectory() as folder:
        identity.prepare(Path(folder))
        from runtimes.engine import simulation

        began = time.perf_counter()
        simulation.warm()
        cold = time.perf_counter() - began
        workloads()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(
            json.dumps({"name": "engine compile, once", "ours": cold, "peer": None, "ratio": None})
        )
        print(
            json.dumps(
                {"name": "engine benchmark peak, MB", "ours": peak, "peer": None, "ratio": None}
            )
        )


def workloads() -> None:
    """Compare (a) one asset over a million bars and (b) 500 assets over 5,000 days."""
    from runtimes.engine.arrays import DONE, Floats, Market, Targets
    from runtimes.engine.params import make
    from runtimes.engine.simulation import Simulation
    from runtimes.strategies.sma_cross import moving_average
    from tests.kit.engine import names, random_market

    params = make(cash=1e6, fractional=True)

    def ours(market: Market, targets: Targets, symbols: tuple[str, ...]) -> Floats:
        simulation = Simulation(market, symbols, targets, params)
        while simulation.advance() != DONE:
            pass
        return simulation.result().curve.equity

    def held_between(market: Market, targets: Targets) -> Floats:
        equity = np.full(len(market.close), 1e6)
        cash, quantity = 1e6, np.zeros(market.close.shape[1])
        fills = np.minimum(targets.rows + 1, len(equity))
        for k, (start, stop) in enumerate(zip(fills, [*fills[1:], len(equity)], strict=True)):
            worth = cash + quantity @ market.open[start]
            quantity = targets.weights[k] * worth / market.open[start]
            cash = worth - quantity @ market.open[start]
            equity[start:stop] = cash + market.close[start:stop] @ quantity
        return equity

    def in_or_out(market: Market, targets: Targets) -> Floats:
        close, opens = market.close[:, 0], market.open[:, 0]
        state = np.zeros(close.size)
        state[targets.rows] = np.where(targets.weights[:, 0] > 0, 1.0, -1.0)
        last = np.maximum.accumulate(np.where(state != 0, np.arange(close.size), 0))
        wanted = state[last] > 0
        now, before = np.roll(wanted, 1), np.roll(wanted, 2)
        now[:1], before[:2] = False, False
        night = np.where(before, opens / np.roll(close, 1), 1.0)
        return np.asarray(1e6 * np.cumprod(night * np.where(now, close / opens, 1.0)))

    def compare(
        name: str,
        market: Market,
        targets: Targets,
        peer: Callable[[Market, Targets], Floats],
        *,
        limit: float,
    ) -> None:
        symbols = names(market.close.shape[1])
        np.testing.assert_allclose(ours(market, targets, symbols), peer(market, targets), rtol=1e-6)
        mine = best(lambda: ours(market, targets, symbols))
        theirs = best(lambda: peer(market, targets))
        line = {"name": name, "ours": mine, "peer": theirs, "ratio": mine / theirs, "limit": limit}
        print(json.dumps(line))

    market = random_market(1, bars=1_000_000, symbols=1)
    flat = 50 + 5 * np.sin(np.arange(1_000_000) / 500)[:, None]
    market = Market(market.timestamps, *[p / market.close * flat for p in market[1:5]], *[flat])
    above = moving_average(market.close[:, 0], 50) > moving_average(market.close[:, 0], 200)
    rows = np.flatnonzero(above[200:] != above[199:-1]) + 200
    crosses = Targets(rows, above[rows].astype(float)[:, None])
    compare("1 asset, 1e6 bars, SMA 50/200 / numpy", market, crosses, in_or_out, limit=6.0)

    market = random_market(2, bars=5_000, symbols=500)
    rows = np.arange(0, 5_000, 21)
    weights = np.random.default_rng(3).random((rows.size, 500))
    weights /= weights.sum(axis=1, keepdims=True)
    monthly = Targets(rows, weights)
    compare("500 assets, 5,000 days, every 21 / numpy", market, monthly, held_between, limit=40.0)


if __name__ == "__main__":
    main()
