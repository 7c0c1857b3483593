"""What walked the graph: the sources of the runtime and the gateway, and the builds under them."""

from __future__ import annotations

import hashlib
import platform
import sys
from functools import cache
from importlib.metadata import version
from pathlib import Path

import runtimes.agent
import runtimes.gateway

VERSION = "1"
LIBRARIES = ("langgraph", "openai", "jsonschema")


@cache
def identity() -> dict[str, str]:
    """Return ``{version, sources, fingerprint}`` for the run row."""
    digest = hashlib.sha256()
    for package in (runtimes.agent, runtimes.gateway):
        root = Path(str(package.__file__)).parent
        for path in sorted(root.rglob("*.py")):
            digest.update(f"{root.name}/{path.relative_to(root).as_posix()}\0".encode())
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    builds = [f"{name}-{version(name)}" for name in LIBRARIES]
    python = f"python-{sys.version_info.major}.{sys.version_info.minor}"
    return {
        "version": VERSION,
        "sources": digest.hexdigest(),
        "fingerprint": " ".join([*builds, python, platform.machine()]),
    }
