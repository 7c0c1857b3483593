"""One folder of compiled kernels for the whole suite: its own processes and the homes it makes.

Below it the folder's name is the hash of the sources, so nothing stale is served. Kernels that
check their bounds are other ones and have a folder of their own.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from runtimes.engine import identity
from topology.home import Home

SWITCH = "checked" if os.environ.get("NUMBA_BOUNDSCHECK") else "plain"
FOLDER = Path(__file__).resolve().parents[2] / ".pytest_cache" / f"numba-{SWITCH}"
KERNELS = {"runtimes.engine.compiled", "lakehouse.features.kernels.compiled"}


def keep() -> None:
    """Name the folder for this process, unless it has loaded kernels already."""
    if not KERNELS & set(sys.modules):
        identity.prepare(FOLDER)


def lend(home: Home) -> None:
    """Let the processes of ``home`` find compiled kernels here, and leave theirs."""
    home.ensure()
    FOLDER.mkdir(parents=True, exist_ok=True)
    (home.run / identity.CACHE).symlink_to(FOLDER)
