"""Ten minutes of fifty clients while keys rotate, tokens expire and stores are killed at random.

Zero wrong answers, zero lost runs, memory flat. ``ALPHASWARM_SOAK_S`` shortens it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml

from auth.keys import RELOAD_S, generate, write_key
from ledger import runs
from ledger.pool import open_pool
from tests.kit import kernels
from tests.kit.client import Alphaswarm, free_port
from tests.kit.crew import GOLD, SPEC, Client, Ledger, market
from topology import processes, services
from topology.engines import supervisor
from topology.home import Home
from topology.stores import postgres_dsn

CLIENTS = 50
ACCESS_S = 20
OUTAGES_S = (20.0, 40.0)
SETTLED = 0.3
"""The part of the time after which memory must not grow any more."""
GROWTH = 1.10
LONG_S = 300
"""Only a run as long as this says something about memory."""


@dataclass
class Watch:
    """Kills stores, rotates keys and weighs processes in the background."""

    suite: Alphaswarm
    ledger: Ledger
    rng: random.Random
    stop: threading.Event = field(default_factory=threading.Event)
    weights: list[tuple[float, dict[int, int]]] = field(default_factory=list)
    rotations: int = 0
    began: float = 0.0

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        threads = [threading.Thread(target=t) for t in (self._break, self._rotate, self._weigh)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self.stop.set()
            for thread in threads:
                thread.join()

    def _break(self) -> None:
        """Kill one store, leave it down for up to two seconds, and start it again."""
        topology, home = services.load(self.suite.environ()), self.suite.home
        while not self.stop.wait(self.rng.uniform(*OUTAGES_S)):
            found = supervisor.status(home, topology)
            engine = self.rng.choice([found.postgres, found.valkey])
            outage = [time.monotonic()]
            self.ledger.outages.append(outage)
            assert engine.pid is not None
            os.kill(engine.pid, signal.SIGQUIT if engine is found.postgres else signal.SIGKILL)
            self.stop.wait(self.rng.uniform(0, 2))
            supervisor.up(home, topology)
            outage.append(time.monotonic())

    def _rotate(self) -> None:
        """Publish a key each minute that signs as soon as every process must have read it."""
        while not self.stop.is_set():
            write_key(self.suite.home.keys, generate(int(time.time() + RELOAD_S + 10)))
            self.rotations += 1
            self.stop.wait(60)

    def _weigh(self) -> None:
        """Note the resident memory of every process of the suite, stores apart."""
        while not self.stop.wait(2):
            stores = {p.pid for p in processes.working_in(self.suite.home.pg)}
            stores |= {p.pid for p in processes.working_in(self.suite.home.valkey)}
            ours = {
                p.pid for p in processes.carrying("ALPHASWARM_HOME", str(self.suite.home.root))
            } - stores
            self.weights.append((time.monotonic(), {pid: _resident(pid) for pid in ours}))


def _resident(pid: int) -> int:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1])
    return 0


@pytest.fixture
def suite(tmp_path: Path) -> Iterator[Alphaswarm]:
    """Yield a suite that is up, with short-lived tokens and the sample data."""
    document = yaml.safe_load(services.PACKAGED.read_text())
    document["limits"]["tokens"]["access_s"] = ACCESS_S
    file = tmp_path / "topology.yaml"
    file.write_text(yaml.safe_dump(document))
    home = Home(tmp_path / "home")
    kernels.lend(home)
    found = Alphaswarm(home, free_port(), {"ALPHASWARM_TOPOLOGY": str(file)})
    try:
        found("up")
        found("login", "--local")
        found("data", "ingest", "sample", "--wait")
        yield found
    finally:
        found("down")


async def crowd(watch: Watch, seconds: float, seed: int) -> None:
    """Let all clients work for so long, after one of them has learnt what is right."""
    suite, ledger = watch.suite, watch.ledger
    topology, home = services.load(suite.environ()), suite.home
    limits = httpx2.Limits(max_connections=CLIENTS)
    async with httpx2.AsyncClient(timeout=60, limits=limits, trust_env=False) as http:
        first = Client(home, topology, ledger, http, random.Random(seed), {})
        expected = await learnt(first)
        clients = [
            Client(home, topology, ledger, http, random.Random(seed + n), expected)
            for n in range(CLIENTS)
        ]
        watch.began = time.monotonic()
        with watch.watching():
            await asyncio.gather(*(client.work(watch.began + seconds) for client in clients))


async def learnt(client: Client) -> dict[str, Any]:
    """Return what each question must be answered with, from a suite in peace."""
    sql = "SELECT count(*) AS n FROM alphaswarm_silver_market.bars_1d"
    counted = await client.call("data", "query_sql", sql=sql)
    listed = await client.call("data", "list_tables", after=GOLD)
    spec = await client.call("backtest", "validate_spec", spec=SPEC)
    handle = await client.call("backtest", "submit_backtest", spec=SPEC)
    assert counted is not None, client.ledger.mistakes
    assert listed is not None, client.ledger.mistakes
    assert spec is not None, client.ledger.mistakes
    assert handle is not None, client.ledger.mistakes
    run: dict[str, Any] | None = None
    for _ in range(6):
        run = await client.call("backtest", "get_run", run_id=handle["run_id"], wait_s=30)
        if run is not None and run["status"] == "succeeded":
            break
    assert run is not None, client.ledger.mistakes
    assert run["status"] == "succeeded", run
    assert client.ledger.mistakes == []
    return {
        "rows": counted["rows"],
        "tables": market(listed),
        "spec_hash": spec["spec_hash"],
        "run_id": handle["run_id"],
        "result_sha": run["result_sha"],
    }


@pytest.mark.soak
def test_fifty_clients_notice_nothing(suite: Alphaswarm) -> None:
    seconds = float(os.environ.get("ALPHASWARM_SOAK_S", "600"))
    ledger, seed = Ledger(), int(time.time())
    watch = Watch(suite, ledger, random.Random(seed))
    asyncio.run(crowd(watch, seconds, seed))
    topology = services.load(suite.environ())
    dsn = postgres_dsn(topology, suite.home, "alphaswarm_app")
    with contextlib.closing(open_pool(dsn, name="soak")) as pool:
        ended = {key: _end(pool, run_id) for key, run_id in ledger.promised.items()}
        known = [run.run_id for run in _all(pool)]
    print(told(ledger, watch, seed, seconds, ended))
    assert ledger.mistakes == []
    assert {status for status, _ in ended.values()} <= {"succeeded"}
    assert len({sha for _, sha in ended.values()}) <= 1
    assert len(known) == len(ended) + 1, "each key is one run, and nobody made another"
    if seconds >= LONG_S:
        assert grown(watch, seconds) < GROWTH


def _end(pool: Any, run_id: str) -> tuple[str, str | None]:
    """Wait for the end of a run that was promised."""
    done = processes.until(
        lambda: runs.get(pool, run_id).status in {"succeeded", "failed", "halted", "cancelled"}, 120
    )
    run = runs.get(pool, run_id)
    return (run.status if done else f"lost: {run.status}"), run.result_sha


def _all(pool: Any) -> list[runs.Run]:
    found: list[runs.Run] = []
    after = None
    while page := runs.listing(pool, kind="backtest", after=after, limit=200):
        found += page
        after = page[-1].run_id
    return found


def grown(watch: Watch, seconds: float) -> float:
    """Return how the memory of all processes at the end compares with that after settling."""
    at = [(t - watch.began, sum(found.values())) for t, found in watch.weights]
    early = sorted(w for t, w in at if SETTLED * seconds <= t < (SETTLED + 0.2) * seconds)
    late = sorted(w for t, w in at if 0.8 * seconds <= t < seconds)
    return late[len(late) // 2] / early[len(early) // 2]


def told(
    ledger: Ledger,
    watch: Watch,
    seed: int,
    seconds: float,
    ended: dict[str, tuple[str, str | None]],
) -> str:
    """Say what the run was worth."""
    weights = [sum(found.values()) // 1024 for _, found in watch.weights]
    calls = sum(n for kind, n in ledger.counts.items() if kind != "tokens")
    lines = [
        f"soak of {seconds:.0f} s, seed {seed}: {calls} calls, {ledger.counts['tokens']} tokens,",
        f"{len(ledger.outages)} outages, {watch.rotations} keys, {len(ended)} runs,",
        f"slowest answer {ledger.slowest_s:.1f} s, memory {weights[0]} -> {weights[-1]} MB",
        f"by kind {dict(sorted(ledger.counts.items()))}",
        *ledger.mistakes[:20],
    ]
    return "\n".join(lines)
