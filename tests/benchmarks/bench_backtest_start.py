"""What is not the simulation: compiling, the first call of a process, the halt, the same bits.

Compiled code is made once into a cache, as `make demo` does (`runtimes.warm`); then a new process
loads it. ``imports`` is what the engine's modules take there, ``first`` the first backtest after
them, from arrays to a result with statistics. The halt flag is read at every bar: the compiled loop
is timed with that read and without, in processes of their own because one process holds one of
them, in seconds of processor time because the difference is smaller than what neighbours take.
Four runs of one spec, in two processes, in one call and in chunks of 1,009 bars, must give the same
digests; the run fails where they differ.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from runtimes.engine import identity, memory
from tests.benchmarks.peers import ROOT
from tests.benchmarks.racing import MINUTE, figure, race, walk

BARS = 1_000_000
FIRST_S, WHOLE_S = 0.5, 2.0
BLIND = "ALPHASWARM_BENCH_BLIND"
"""Set in a process whose kernel does not look at the halt: for measuring, nowhere else."""


def cases() -> tuple[Any, Any, Any]:
    """Return a market, decisions at every 160th bar and the rules."""
    from runtimes.engine.arrays import Targets
    from runtimes.engine.params import make

    market = walk(1, bars=BARS, step=5e-4, gap=2e-4, every=MINUTE)
    rows = np.arange(200, BARS - 1, 160)
    targets = Targets(rows, np.where(np.arange(rows.size) % 2 == 0, 0.0, 1.0)[:, None])
    return market, targets, make(cash=1e6, fractional=True, fee="bps", fee_bps=1.0)


def simulated(chunk: int) -> Any:
    """Return the simulation at its end, advanced by ``chunk`` bars."""
    from runtimes.engine.arrays import DONE
    from runtimes.engine.simulation import Simulation

    market, targets, rules = cases()
    simulation = Simulation(market, ("A.TEST",), targets, rules)
    while simulation.advance(chunk) != DONE:
        pass
    return simulation


def first(folder: Path) -> None:
    """Print what a new process takes to its first result."""
    began = time.perf_counter()
    identity.prepare(folder)
    memory.keep()
    from runtimes.engine import summary
    from runtimes.engine.arrays import Targets
    from runtimes.engine.params import make
    from runtimes.engine.simulation import Simulation

    imports = time.perf_counter() - began
    market = walk(3, bars=2_000, symbols=5, step=0.01, gap=0.005, every=MINUTE)
    targets = Targets(np.arange(0, 1_999, 21), np.full((96, 5), 0.2))
    began = time.perf_counter()
    simulation = Simulation(market, tuple("ABCDE"), targets, make())
    simulation.advance(2_000)
    summary.summarise(simulation.result(), cash=1e5, periods_per_year=252.0)
    print(json.dumps({"imports": imports, "first": time.perf_counter() - began}))


def digests(folder: Path) -> None:
    """Print the digests of one run in one call and in chunks."""
    identity.prepare(folder)
    found = [simulated(chunk).result().digests() for chunk in (BARS, 1_009)]
    print(json.dumps(found))


def loop(folder: Path) -> None:
    """Print the seconds of processor time of the compiled loop alone."""
    identity.prepare(folder / "blind" if os.environ.get(BLIND) else folder)
    memory.keep()
    from runtimes.engine import compiled

    if os.environ.get(BLIND):
        vars(compiled)["latest"] = compiled.apart(unseen)
    from runtimes.engine.simulation import Simulation

    market, targets, rules = cases()

    def run() -> float:
        simulation = Simulation(market, ("A.TEST",), targets, rules)
        began = time.thread_time()
        simulation.advance(BARS)
        return time.thread_time() - began

    print(json.dumps(min(run() for _ in range(12))))


def unseen(counter: Any) -> int:
    """Return what the latch said at first, without a look at it."""
    return 0


def told(part: str, folder: Path, **environment: str) -> Any:
    """Run a part of this file in a process of its own and return what it printed."""
    command = [sys.executable, "-m", f"tests.benchmarks.{Path(__file__).stem}", part, str(folder)]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, **environment},
        check=False,
    )
    if done.returncode:
        raise RuntimeError(done.stderr[-4_000:])
    return json.loads(done.stdout.strip().splitlines()[-1])


def main() -> None:
    """Print the figures."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        began = time.perf_counter()
        told("first", folder)
        figure("engine: compile cold, s", time.perf_counter() - began)
        new = [told("first", folder) for _ in range(3)]
        whole = min(each["imports"] + each["first"] for each in new)
        race("engine: first call, s / its limit", min(n["first"] for n in new), FIRST_S, least=0.5)
        race("engine: imports and first call, s / limit", whole, WHOLE_S, least=0.5)
        found = [*told("digests", folder), *told("digests", folder)]
        if any(each != found[0] for each in found):
            raise RuntimeError(f"runs of one spec differ: {found}")
        figure("engine: runs with one digest", len(found), digest=found[0]["equity"][:16])
        blind = [told("loop", folder, **{BLIND: "1"}) for _ in range(2)]
        seeing = [told("loop", folder) for _ in range(2)]
        race("engine: halt read at each bar / not read", min(seeing), min(blind), least=1 / 1.5)


PARTS = {"first": first, "digests": digests, "loop": loop}

if __name__ == "__main__":
    main() if len(sys.argv) == 1 else PARTS[sys.argv[1]](Path(sys.argv[2]))
