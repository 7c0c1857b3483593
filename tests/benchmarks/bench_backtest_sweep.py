"""A sweep beside vectorbt 1.2.0: 1,000 pairs of lengths, 10 assets in one account, 5,000 days.

Each pair holds a tenth of its equity in each asset whose fast average is above its slow one, and
restores all weights whenever one of them changes sides, at the next open, in fractions of shares,
without costs: the rules that both have in common. Timed on both sides, from arrays in memory:
averages, decisions, 1,000 accounts, and their final equity and Sharpe ratio. Ours goes through the
door of the runtime (`runtimes.backtest.playing.Players`, threads as in the topology) and gives nine
statistics of each trial, its digest and the sums for the probability of overfitting. Reading 1,000
specs, done once when a spec is submitted, is printed apart.

Every final equity and Sharpe ratio must agree to 1e-8. Memory is the peak of each process, ours in
a process of its own, and once more without what its imports take.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from runtimes.engine import identity, memory
from tests.benchmarks.peers import ROOT, AbsentError
from tests.benchmarks.racing import (
    DAY,
    VECTORBT,
    best,
    best_cpu,
    figure,
    near,
    peak_mb,
    race,
    save,
    walk,
)

DAYS, ASSETS = 5_000, 10
FASTS, SLOWS = range(5, 55, 2), range(60, 220, 4)
ROUNDS, LIMIT_S = 3, 1.0


def spec() -> dict[str, Any]:
    """Return the spec of the sweep."""
    return {
        "kind": "backtest",
        "name": "sweep",
        "universe": {"symbols": [f"S{i:03d}.TEST" for i in range(ASSETS)]},
        "data": {"start": "2000-01-03", "end": "2013-12-31"},
        "strategy": {"name": "sma_cross"},
        "portfolio": {"cash": 1e6, "fractional": True},
        "execution": {"fee": {"model": "zero"}, "slippage": {"model": "none"}},
        "sweep": {
            "method": "grid",
            "params": {
                "strategy.params.fast": list(FASTS),
                "strategy.params.slow": list(SLOWS),
            },
        },
    }


class Silence:
    """A progress that nobody listens to."""

    def emit(self, stage: str, message: str, **extras: Any) -> None:
        """Say nothing."""

    def checkpoint(self) -> None:
        """Go on."""


def prepared() -> tuple[Any, float, Callable[[], list[Any]]]:
    """Return the market, the seconds that reading the trials took, and what plays them."""
    from runtimes.backtest import bars, playing, staging
    from runtimes.engine.validation.overfitting import blocks_for
    from runtimes.specs.backtest import BacktestSpec
    from topology.sections import Limits

    market = walk(5, bars=DAYS, symbols=ASSETS, step=0.015, gap=0.005, every=DAY)
    began = time.perf_counter()
    asked = BacktestSpec.model_validate(spec())
    trials = asked.trials
    read_s = time.perf_counter() - began
    window = bars.Window(market, tuple(spec()["universe"]["symbols"]), first=0)
    on = playing.whole({playing.needs(trials[0].spec): staging.Ground(window)})
    limits, latch = Limits(), np.zeros(64, dtype=np.int64)
    blocks = blocks_for(DAYS, len(trials))

    def play() -> list[Any]:
        with playing.Players(
            Silence(), latch, threads=limits.sweep.threads, limits=limits.strategy, blocks=blocks
        ) as players:
            return list(players.scores(trials, on))

    return market, read_s, play


def alone(folder: Path) -> None:
    """Play the sweep once and print what the process has held, before and at most."""
    identity.prepare(folder)
    memory.keep()
    from runtimes.engine import simulation

    simulation.warm()
    _, _, play = prepared()
    before = peak_mb()
    play()
    print(json.dumps({"before": before, "peak": peak_mb()}))


def main() -> None:
    """Print one line per comparison."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        identity.prepare(folder)
        memory.keep()
        from runtimes.engine import simulation

        simulation.warm()
        market, read_s, play = prepared()
        scores = play()
        pairs = np.array([(fast, slow) for fast in FASTS for slow in SLOWS])
        save(folder, close=market.close, open=market.open, pairs=pairs)
        figure("sweep: reading 1,000 specs, s", read_s)
        try:
            VECTORBT.python()
        except AbsentError as error:
            print(f"vectorbt cannot be installed here: {error}", file=sys.stderr)
            return
        before = best(play, ROUNDS)
        told = VECTORBT.run(Path(__file__).with_name("peer_vectorbt.py"), str(folder), "sweep", "1")
        ours = min(before, best(play, ROUNDS))
        cpu = round(best_cpu(play, ROUNDS), 6)
        theirs = np.load(folder / "vectorbt.npz")
        numbers = [score.statistics for score in scores]
        near([n["end_equity"] for n in numbers], theirs["run_final"], rel=1e-8, what="equity")
        near([n["sharpe"] for n in numbers], theirs["run_sharpe"], rel=1e-6, what="Sharpe")
        command = [sys.executable, "-m", f"tests.benchmarks.{Path(__file__).stem}", str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
        taken = json.loads(done.stdout.strip().splitlines()[-1])
        race("sweep (c) / vectorbt", ours, told["run"], least=5.0, trials=len(scores), cpu_s=cpu)
        race("sweep (c) / its second", ours, LIMIT_S, least=None)
        race("sweep (c), peak MB / vectorbt", taken["peak"], told["peak"], least=4.0)
        figure("sweep (c), MB beyond its imports", taken["peak"] - taken["before"])


if __name__ == "__main__":
    main() if len(sys.argv) == 1 else alone(Path(sys.argv[1]))
