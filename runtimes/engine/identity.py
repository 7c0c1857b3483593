"""Who computed a result: the engine's version, its sources and the machine's builds.

Also names the folder of compiled code by the sources' hash, before numba is imported. This module
imports neither numba nor the kernels, so that it can run first.
"""

from __future__ import annotations

import hashlib
import os
import platform
import sys
from functools import cache
from pathlib import Path

from runtimes.engine.errors import EngineFaultError

VERSION = "1"
_ROOT = Path(__file__).resolve().parents[2]
_KERNELS = "runtimes.engine.compiled"
_COMPILED = ("runtimes/engine", "runtimes/strategies")
_CACHED = (*_COMPILED, "lakehouse/features/kernels")
CACHE = "numba"
"""The folder below a home's ``run`` that holds compiled code."""
_SHAPING = (
    *_COMPILED,
    "runtimes/backtest",
    *(f"lakehouse/{name}.py" for name in ("adjust", "novelty", "panel", "query", "scan")),
)
"""Folders and files, from the root, of the code between the stored bars and the result."""


@cache
def sources() -> str:
    """Return the SHA-256 over names and bytes of every source that shapes a result."""
    return _digest(_SHAPING)


@cache
def kernels() -> str:
    """Return the SHA-256 over names and bytes of the sources that compiled code comes from."""
    return _digest(_CACHED)


def _digest(places: tuple[str, ...]) -> str:
    digest = hashlib.sha256()
    for path in sorted(path for place in places for path in _files(_ROOT / place)):
        digest.update(f"{path.relative_to(_ROOT).as_posix()}\0".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _files(place: Path) -> list[Path]:
    return [place] if place.suffix else list(place.rglob("*.py"))


def prepare(folder: Path) -> Path:
    """Make ``folder/<hash of the sources>`` the home of compiled code and return it.

    Call it before anything imports the kernels; later it raises `EngineFaultError`, because code
    compiled without the folder would be compiled again at every start.
    """
    home = folder / kernels()[:16]
    if os.environ.get("NUMBA_CACHE_DIR") == str(home):
        return home
    if _KERNELS in sys.modules:
        raise EngineFaultError(
            "The kernels were imported before their cache folder was named.",
            hint="Call runtimes.engine.identity.prepare first in the worker.",
        )
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.environ["NUMBA_CACHE_DIR"] = str(home)
    if "numba" in sys.modules:
        import numba

        vars(numba.config)["CACHE_DIR"] = str(home)
    return home


@cache
def fingerprint() -> str:
    """Return the builds and the CPU capability that decide the bits of a float.

    ``numpy-V numba-V llvmlite-V python-X.Y machine cpu-name features-hash``, and ``nojit`` where
    the kernels run as plain Python.
    """
    import llvmlite
    import numba
    import numpy as np
    from llvmlite import binding

    features = sorted(name for name, on in binding.get_host_cpu_features().items() if on)
    disabled = os.environ.get("NPY_DISABLE_CPU_FEATURES", "")
    capability = hashlib.sha256(repr((features, disabled)).encode()).hexdigest()[:12]
    parts = [
        f"numpy-{np.__version__}",
        f"numba-{numba.__version__}",
        f"llvmlite-{llvmlite.__version__}",
        f"python-{sys.version_info.major}.{sys.version_info.minor}",
        platform.machine(),
        binding.get_host_cpu_name(),
        capability,
    ]
    return " ".join([*parts, "nojit"] if vars(numba.config)["DISABLE_JIT"] else parts)


def identity() -> dict[str, str]:
    """Return ``{version, sources, fingerprint}`` for the run row."""
    return {"version": VERSION, "sources": sources(), "fingerprint": fingerprint()}
