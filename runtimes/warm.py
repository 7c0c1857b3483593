"""`python -m runtimes.warm`: compile the kernels into the home's cache, once, and go away.

Compiling takes seconds and hundreds of megabytes; a process of its own gives both back, and the
worker that serves the first backtest only loads what is there.
"""

from __future__ import annotations

import os
import sys

from runtimes.engine.identity import prepare
from topology.home import Home

BEHIND = 10
"""How far this process stands back, in nice levels."""
CACHE = "numba"


def main() -> int:
    """Compile, unless this version's kernels are in the cache."""
    os.nice(BEHIND)
    folder = prepare(Home.from_environment().run / CACHE)
    if not any(folder.rglob("*.nbc")):
        from runtimes.engine import simulation

        simulation.warm()
    return 0


if __name__ == "__main__":
    sys.exit(main())
