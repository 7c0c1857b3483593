"""How long a frame takes from `emit` to a listener, beside a bare XADD to XREAD on the same Valkey.

Seconds are p50 and p99. A frame after a silence is written at once: its price is one transaction
in the ledger. In a stream of frames each write waits 50 ms for company, so half of that is the
middle of what a listener sees.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import redis

from ledger.migrations.__main__ import migrate
from ledger.pool import Pool, open_pool
from ledger.progress.bus import Bus
from ledger.progress.emitter import Emitter
from ledger.progress.follow import tail
from tests.kit.ledger import Desk
from topology import services
from topology.clock import SystemClock
from topology.engines import supervisor
from topology.home import Home
from topology.stores import ValkeyAddress, postgres_dsn, valkey_address


@contextmanager
def stores() -> Iterator[tuple[Pool, ValkeyAddress]]:
    """Yield a migrated ledger and a Valkey in a home of their own."""
    topology = services.load({})
    with tempfile.TemporaryDirectory() as folder:
        home = Home(Path(folder))
        try:
            supervisor.up(home, topology)
            migrate(topology, home)
            pool = open_pool(postgres_dsn(topology, home, "alphaswarm_app"), name="bench")
            yield pool, valkey_address(topology, home)
            pool.close()
        finally:
            supervisor.down(home)


def frames(pool: Pool, bus: Bus, *, count: int, pause_s: float) -> list[float]:
    """Return the delays of ``count`` frames that are ``pause_s`` apart, in seconds."""
    claim = Desk(pool).claimed(lease_s=600)
    emitter, heard = Emitter(pool, bus, claim, SystemClock()), threading.Event()
    delays: list[float] = []

    def listen() -> None:
        for frame in tail(pool, bus, claim.task_id):
            now = time.perf_counter()
            heard.set()
            if frame is not None:
                delays.append(now - frame.extras["at"])
            if len(delays) == count:
                return

    listener = threading.Thread(target=listen)
    listener.start()
    heard.wait()
    for _ in range(count):
        emitter.emit("bar.processed", "on", at=time.perf_counter(), current=1, total=2)
        time.sleep(pause_s)
    listener.join(timeout=30)
    emitter.close()
    return delays


def bare(address: ValkeyAddress, *, count: int, pause_s: float) -> list[float]:
    """Return the delays of as many bare stream entries."""
    options: dict[str, Any] = {
        "unix_socket_path": address.socket,
        "password": address.password(),
        "db": 1,
        "decode_responses": True,
        "legacy_responses": False,
    }
    delays: list[float] = []

    def listen() -> None:
        reader, last = redis.Redis(**options), "0-0"
        while len(delays) < count:
            answer: Any = reader.xread({"bare": last}, block=2000) or {}
            now = time.perf_counter()
            for entry, fields in answer.get("bare", []):
                last = entry
                delays.append(now - float(fields["at"]))

    listener = threading.Thread(target=listen)
    listener.start()
    writer = redis.Redis(**options)
    for _ in range(count):
        writer.xadd("bare", {"at": repr(time.perf_counter())})
        time.sleep(pause_s)
    listener.join(timeout=30)
    return delays


def say(name: str, ours: list[float], peer: list[float]) -> None:
    """Print one figure."""
    middle = [statistics.median(delays) for delays in (ours, peer)]
    last = [statistics.quantiles(delays, n=100)[98] for delays in (ours, peer)]
    figure = {
        "name": name,
        "ours": round(middle[0], 6),
        "peer": round(middle[1], 6),
        "ratio": round(middle[0] / middle[1], 2),
        "ours_p99": round(last[0], 6),
        "peer_p99": round(last[1], 6),
    }
    print(json.dumps(figure), flush=True)


def main() -> None:
    """Measure a quiet task and a busy one."""
    with stores() as (pool, address):
        bus = Bus(socket=address.socket, password=address.password() or "")
        peer = bare(address, count=200, pause_s=0.01)
        say("frame latency, quiet task", frames(pool, bus, count=100, pause_s=0.08), peer)
        say("frame latency, 200 frames/s", frames(pool, bus, count=600, pause_s=0.005), peer)


if __name__ == "__main__":
    main()
