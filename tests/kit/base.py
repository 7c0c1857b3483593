"""What the base install does not bring: the modules that belong to the extras alone."""

from __future__ import annotations

import os
import re
import tomllib
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution, packages_distributions
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]
TESTED_WITH = {"pytest", "_pytest", "coverage", "pip", "uv", "setuptools", "pkg_resources"}


def environment() -> dict[str, str]:
    """Return what makes a process, and all that it starts, live on the base install alone."""
    folder = str(Path(__file__).parent / "base_only")
    path = os.pathsep.join(filter(None, (folder, os.environ.get("PYTHONPATH"))))
    return {"PYTHONPATH": path, "ALPHASWARM_TEST_HIDDEN": ",".join(sorted(hidden()))}


@cache
def hidden() -> frozenset[str]:
    """Return the top-level modules that no dependency of the base install provides."""
    wanted = closure(
        tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    )
    return frozenset(
        module
        for module, owners in packages_distributions().items()
        if not wanted & {_plain(owner) for owner in owners}
        and "alphaswarm" not in owners
        and module not in TESTED_WITH
    )


def closure(requirements: list[str]) -> frozenset[str]:
    """Return the names of all distributions that ``requirements`` bring, here and now."""
    found: set[str] = set()
    waiting = [(Requirement(text), "") for text in requirements]
    seen: set[str] = set()
    while waiting:
        wanted, extra = waiting.pop()
        if wanted.marker is not None and not wanted.marker.evaluate({"extra": extra}):
            continue
        if str(wanted) in seen:
            continue
        seen.add(str(wanted))
        found.add(_plain(wanted.name))
        try:
            inner = distribution(wanted.name).requires or []
        except PackageNotFoundError:
            continue
        for text in inner:
            waiting += [(Requirement(text), own) for own in ("", *wanted.extras)]
    return frozenset(found)


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
