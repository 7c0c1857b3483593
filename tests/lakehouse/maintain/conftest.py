"""One lake for the tests of a module, and a table of its own for each: making a lake is slow."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.kit.lake import Depot, fresh
from topology.home import Home

_NUMBERS = itertools.count()


@pytest.fixture(scope="module")
def depot(
    migrated: Home, dsn: Callable[..., str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Depot]:
    """Yield the lake of a module."""
    yield from fresh(dsn, tmp_path_factory.mktemp("upkeep"))


@pytest.fixture
def alone(migrated: Home, dsn: Callable[..., str], tmp_path: Path) -> Iterator[Depot]:
    """Yield a lake for one test."""
    yield from fresh(dsn, tmp_path / "warehouse")


@pytest.fixture
def name() -> str:
    """Return the name of a table of bars that nobody else uses."""
    return f"alphaswarm_silver_upkeep{next(_NUMBERS)}.bars_1d"
