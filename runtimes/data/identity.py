"""Who brought data in: the sources that read, cleaned and wrote it, and the builds under them."""

from __future__ import annotations

import hashlib
import platform
import sys
from functools import cache
from importlib.metadata import version
from pathlib import Path

import lakehouse

VERSION = "1"
LIBRARIES = ("pyarrow", "pyiceberg", "duckdb", "numpy")


@cache
def identity() -> dict[str, str]:
    """Return ``{version, sources, fingerprint}`` for the run row, as a backtest's engine does."""
    root = Path(lakehouse.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        digest.update(f"{path.relative_to(root).as_posix()}\0".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    builds = [f"{name}-{version(name)}" for name in LIBRARIES]
    python = f"python-{sys.version_info.major}.{sys.version_info.minor}"
    return {
        "version": VERSION,
        "sources": digest.hexdigest(),
        "fingerprint": " ".join([*builds, python, platform.machine()]),
    }
