"""Every kernel that a script may need, compiled once for each version of the sources."""

from __future__ import annotations

import datetime as dt
import fcntl
from collections.abc import Callable
from pathlib import Path

import numpy as np

from runtimes.engine import simulation
from runtimes.engine.arrays import Market, Targets
from runtimes.engine.lean.data import FIELDS, LeanData
from runtimes.engine.lean.profile import NO_BENCHMARK
from runtimes.engine.lean.rules import LeanRules
from runtimes.engine.lean.running import Silent, lean_run
from runtimes.engine.lean.sampling import MINUTE_NS, midnight
from runtimes.engine.params import make
from runtimes.engine.script import Account, Script
from runtimes.engine.scripting import play

DAY = dt.date(2020, 1, 2)
COMPILED = "scripts"
"""The file in the folder of compiled code that says that the kernels of scripts are in it."""


def ensure(folder: Path, say: Callable[[], None]) -> None:
    """Load the kernels that scripts need; where ``folder`` lacks them compile them, once.

    ``say`` is called before that: it takes half a minute. Who comes second waits.
    """
    with (folder / f"{COMPILED}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / COMPILED).exists():
            say()
            scripts()
            (folder / COMPILED).touch()
            return
    scripts()


def scripts() -> None:
    """Run every kernel once: in bulk, bar by bar, with a book of orders, and at once as in Lean."""
    simulation.warm()
    market = Market(np.arange(3), *(np.ones((3, 1)) for _ in range(5)))
    targets = Targets(np.zeros(0, np.int64), np.zeros((0, 1)))
    play(_Rests(), simulation.Simulation(market, ("A",), targets, make()), Silent())
    simulation.Simulation(market, ("A",), targets, make(maintenance=0.1)).advance()
    times = midnight(DAY) + (571 + np.arange(3)) * MINUTE_NS
    minutes = LeanData(("A",), market._replace(timestamps=times), np.ones((2 * FIELDS, 3, 1)))
    lean_run(_Buys(), minutes, LeanRules(), start=DAY, end=DAY, benchmark=NO_BENCHMARK)


class _Rests(Script):
    def on_bar(self, account: Account) -> None:
        """Give orders that rest and take one back, so that every kernel of orders runs."""
        if account.equity > 0.0:
            account.order("A", 1.0, "limit", limit=0.5)
        account.cancel(account.order("A", 1.0, "limit", limit=0.5))


class _Buys(Script):
    def on_bar(self, account: Account) -> None:
        """Give an order that fills at once."""
        account.order("A", 1.0)
