"""A temporary home with both engines up, for every test that needs a real store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from topology import services
from topology.engines import supervisor
from topology.home import Home
from topology.services import Topology


@pytest.fixture(scope="session")
def topology() -> Topology:
    """Return the packaged topology, whatever the environment of the test run says."""
    return services.load({})


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory, topology: Topology) -> Iterator[Home]:
    """Yield a home whose PostgreSQL and Valkey run; both are gone afterwards."""
    place = Home(Path(tmp_path_factory.mktemp("home")))
    try:
        supervisor.up(place, topology)
        yield place
    finally:
        supervisor.down(place)
