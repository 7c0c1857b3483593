"""The office of the test home: what a server hands to tools, without a server."""

from __future__ import annotations

import pytest

from lakehouse.lake import open_lake
from ledger.halts import Halts, sync_latch
from ledger.pool import Pool
from ledger.progress.bus import Bus
from tools.registry import Office
from topology.clock import SystemClock
from topology.home import Home
from topology.principal import Principal
from topology.services import Topology
from topology.stores import catalog_uri, warehouse

ANNA = Principal(subject="anna", client_id="tests", jti="t1", acr="urn:alphaswarm:acr:pwd")


@pytest.fixture(scope="session")
def office(topology: Topology, migrated: Home, pool: Pool, bus: Bus) -> Office:
    """Return an office over the test home; its lake is opened with the reader's role."""
    sync_latch(pool, migrated)
    return Office(
        topology=topology,
        home=migrated,
        pool=pool,
        bus=bus,
        lake=open_lake(
            catalog_uri(topology, migrated, "alphaswarm_reader"),
            str(warehouse(topology, migrated)),
        ),
        halts=Halts(pool, migrated, bus),
        clock=SystemClock(),
    )
