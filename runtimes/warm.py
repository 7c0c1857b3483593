"""`python -m runtimes.warm`: compile the kernels into the home's cache, once, and go away.

Compiling takes seconds and hundreds of megabytes; a process of its own gives both back, and the
worker that serves the first backtest only loads what is there.
"""

from __future__ import annotations

import fcntl
import os
import sys
import time
from pathlib import Path

from runtimes.engine import memory
from runtimes.engine.identity import CACHE, prepare
from topology.home import Home

LEAST = 19
"""The nicest priority there is."""
QUIET_S = 60.0
"""Who has just started the suite is about to use it: what scripts need comes after that."""


def ensure(home: Home) -> Path:
    """Name the cache, and compile unless this version's kernels are in it; one process does.

    Call it before anything loads the kernels. Whoever comes second waits and finds them there.
    """
    folder = prepare(home.run / CACHE)
    memory.keep()
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not any(folder.glob("engine_*/*.nbc")):
            from runtimes.engine import intervals, simulation

            simulation.warm()
            intervals.warm()
    return folder


def main() -> int:
    """Compile for the home of the environment; what scripts need last, when nobody else is busy."""
    folder = ensure(Home.from_environment())
    os.nice(LEAST)
    time.sleep(QUIET_S)
    from runtimes.engine import warming

    warming.ensure(folder, lambda: None)
    return 0


if __name__ == "__main__":
    sys.exit(main())
