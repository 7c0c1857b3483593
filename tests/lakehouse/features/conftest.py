"""Compiled kernels are kept between runs of the suite, in the folder that runtimes' tests use."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from runtimes.engine import identity

CACHE = Path(__file__).resolve().parents[3] / ".pytest_cache"
SWITCH = "checked" if os.environ.get("NUMBA_BOUNDSCHECK") else "plain"

if not {"runtimes.engine.compiled", "lakehouse.features.kernels.compiled"} & set(sys.modules):
    identity.prepare(CACHE / f"numba-{SWITCH}")
