"""Compiled kernels are kept between the processes and runs of the suite."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from runtimes.engine import identity

CACHE = Path(__file__).resolve().parents[2] / ".pytest_cache"
SWITCH = "checked" if os.environ.get("NUMBA_BOUNDSCHECK") else "plain"

if "runtimes.engine.compiled" not in sys.modules:
    identity.prepare(CACHE / f"numba-{SWITCH}")
