"""What a serving process works with: the pool, the bus, the lake and the kill switch, opened."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from lakehouse.lake import open_lake
from ledger.halts import Halts
from ledger.pool import open_pool
from ledger.progress.bus import Bus
from tools.registry import Office
from topology import stores
from topology.clock import Clock
from topology.home import Home
from topology.services import Topology

APP_ROLE = "alphaswarm_app"
READER_ROLE = "alphaswarm_reader"


@contextmanager
def open_office(topology: Topology, home: Home, clock: Clock) -> Iterator[Office]:
    """Lend the office of this process; the stores may be down, calls then say so."""
    pool = open_pool(stores.postgres_dsn(topology, home, APP_ROLE), name="servers")
    bus = open_bus(topology, home)
    try:
        yield Office(
            topology=topology,
            home=home,
            pool=pool,
            bus=bus,
            lake=open_lake(
                stores.catalog_uri(topology, home, READER_ROLE),
                str(stores.warehouse(topology, home)),
            ),
            halts=Halts(pool, home, bus),
            clock=clock,
        )
    finally:
        bus.close()
        pool.close(timeout=2.0)


def open_bus(topology: Topology, home: Home) -> Bus:
    """Return the way to the progress streams."""
    address = stores.valkey_address(topology, home)
    return Bus(socket=address.socket, url=address.url, password=address.password() or "")
