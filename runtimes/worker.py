"""The Dramatiq application `runtimes.worker:boot`; `runtimes.groups` starts it per queue.

The only module that knows every runtime. The group of the queue ``control`` also runs the
housekeeping: the relay, the reaper, the copy of the halts into the latch, the upkeep of the lake.
"""

from __future__ import annotations

import json
import logging
import multiprocessing
import os
import platform
import threading
import time
from collections.abc import Callable
from pathlib import Path

import dramatiq
from dramatiq.brokers.redis import RedisBroker

from lakehouse.lake import open_lake
from ledger import halts, heads, health, meters, plans, reaper
from ledger.appends import Appends
from ledger.intents import Reconciler
from ledger.pool import Pool, open_pool
from ledger.progress.bus import Bus
from runtimes import holding, triggers
from runtimes.base import Runtime, perform
from runtimes.context import Workshop
from runtimes.data import schedule
from runtimes.dispatch import RETRY_S, Relay, make_broker
from runtimes.engine.identity import CACHE, prepare
from runtimes.groups import die_with_parent
from runtimes.workload import warden
from runtimes.workload.asking import resolver
from topology import stores
from topology.clock import SystemClock
from topology.errors import FaultError
from topology.home import Home, write_private
from topology.latch import Latch
from topology.registry import Registry
from topology.services import Topology, load

RUNTIMES: Registry[type[Runtime]] = Registry(
    "runtime",
    {
        "agent": "runtimes.agent.runtime:AgentRuntime",
        "backtest": "runtimes.backtest.runtime:BacktestRuntime",
        "data": "runtimes.data.runtime:DataRuntime",
        "terraform": "runtimes.terraform.runtime:TerraformRuntime",
        "workload": "runtimes.workload.runtime:WorkloadRuntime",
    },
)
COMPILED = frozenset({"backtest"})
"""Kinds whose kernels are compiled into the home's cache before they are loaded."""
POOL_SIZE = 12
LEDGER_WAIT_S, LEDGER_POLL_S = 30.0, 0.1
HOUR_S = 3600.0

_log = logging.getLogger(__name__)


def boot(runtimes: Registry[type[Runtime]] = RUNTIMES) -> None:
    """Declare the broker, one actor per kind of ``runtimes`` and this process's housekeeping."""
    if multiprocessing.get_start_method(allow_none=True) != "spawn":
        raise FaultError(
            "Workers must be spawned: a forked one inherits locks of native libraries.",
            hint="Start workers with `alphaswarm up`, or pass --use-spawn to dramatiq.",
        )
    parent = multiprocessing.parent_process()
    die_with_parent(os.getppid() if parent is None or parent.pid is None else parent.pid)
    topology, home = load(), Home.from_environment()
    workshop = open_workshop(topology, home)
    wait_for_ledger(workshop.pool)
    broker = make_broker(stores.valkey_address(topology, home))
    dramatiq.set_broker(broker)
    declare(broker, workshop, runtimes)
    broker.add_middleware(Housekeeping(workshop))


def open_workshop(topology: Topology, home: Home) -> Workshop:
    """Open what runs need: the ledger as the application, the lake as its writer."""
    dsn = stores.postgres_dsn(topology, home, "alphaswarm_app")
    pool = open_pool(dsn, name="worker", max_size=POOL_SIZE)
    return Workshop(
        topology=topology,
        home=home,
        pool=pool,
        bus=open_bus(stores.valkey_address(topology, home)),
        lake=open_lake(
            stores.catalog_uri(topology, home, "alphaswarm_writer"),
            str(stores.warehouse(topology, home)),
        ),
        log=Appends(pool, dsn),
        clock=SystemClock(),
        worker=f"{platform.node()}:{os.getpid()}",
        stopping=threading.Event(),
    )


def wait_for_ledger(pool: Pool, *, within_s: float = LEDGER_WAIT_S) -> None:
    """Return when the ledger answers and is migrated: workers may start while migrations run.

    After ``within_s`` seconds its last refusal is raised.
    """
    deadline = time.monotonic() + within_s
    while True:
        try:
            return health.check(pool)
        except FaultError:
            if time.monotonic() > deadline:
                raise
        time.sleep(LEDGER_POLL_S)


def open_bus(address: stores.ValkeyAddress) -> Bus:
    """Return the progress bus at this address."""
    return Bus(socket=address.socket, url=address.url, password=address.password() or "")


def declare(
    broker: RedisBroker, workshop: Workshop, runtimes: Registry[type[Runtime]] = RUNTIMES
) -> None:
    """Declare one actor per kind; the message says which queue it waits in."""

    def run(kind: str, run_id: str) -> None:
        def make() -> Runtime:
            return loaded(workshop.home, runtimes, kind)()

        perform(workshop, kind, run_id, make)

    for kind in runtimes:
        dramatiq.actor(actor_name=kind, queue_name="batch", broker=broker)(run)


def loaded(home: Home, runtimes: Registry[type[Runtime]], kind: str) -> type[Runtime]:
    """Return a kind's runtime, loading it and its libraries on first use.

    Others may compile too, when they first need it: the cache has its name before anything loads.
    """
    prepare(home.run / CACHE)
    if kind in COMPILED:
        from runtimes.warm import ensure

        ensure(home)
    return runtimes.load(kind)


def end_silent(workshop: Workshop) -> None:
    """End the runs as halted whose workers were killed because they did not stop."""
    for file, silent in holding.reported(workshop.home):
        frames = halts.end_killed(
            workshop.pool,
            silent.kind,
            silent.run_id,
            attempt=silent.attempt,
            scope=silent.scope,
            epoch=silent.epoch,
        )
        workshop.bus.publish(frames)
        file.unlink(missing_ok=True)


class Housekeeping(dramatiq.Middleware):
    """Starts and stops the threads of a worker process that are not runs."""

    def __init__(self, workshop: Workshop) -> None:
        self._workshop = workshop
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []

    def after_worker_boot(self, broker: dramatiq.Broker, worker: dramatiq.Worker) -> None:
        """Say who works here; in the control group, start the housekeeping."""
        queues = sorted(worker.consumer_whitelist or ())
        self._note(queues, worker.worker_threads)
        if "control" in queues and isinstance(broker, RedisBroker):
            self._start("relay", lambda: self._relay(broker))
            self._start("reaper", self._reap)
            self._start("latch", self._sync_latch)
            self._start("maintenance", self._keep_up)
            self._start("audit", self._keep_audit)
            self._start("triggers", self._watch)
            self._start("workloads", self._look_after)

    def before_worker_shutdown(self, broker: dramatiq.Broker, worker: dramatiq.Worker) -> None:
        """End the threads, and let running work go: its lease ends and it is started again."""
        del broker, worker
        self._stop.set()
        self._workshop.stopping.set()

    def after_worker_shutdown(self, broker: dramatiq.Broker, worker: dramatiq.Worker) -> None:
        """Close what was opened."""
        del broker, worker
        for thread in self._threads:
            thread.join(timeout=2)
        self._workshop.pool.close()
        self._path().unlink(missing_ok=True)

    def _start(self, name: str, target: Callable[[], None]) -> None:
        thread = threading.Thread(target=target, name=name, daemon=True)
        thread.start()
        self._threads.append(thread)

    def _relay(self, broker: RedisBroker) -> None:
        workshop = self._workshop
        dsn = stores.postgres_dsn(workshop.topology, workshop.home, "alphaswarm_app")
        relay = Relay(workshop.pool, broker)
        self._repeat(RETRY_S, lambda: relay.run(dsn, self._stop))

    def _reap(self) -> None:
        workshop = self._workshop

        def reap() -> None:
            reaper.reap(workshop.pool, bus=workshop.bus)
            plans.expire(workshop.pool, bus=workshop.bus)

        self._repeat(workshop.topology.limits.reap_s, reap)

    def _look_after(self) -> None:
        keeper = warden.Warden(self._workshop)
        self._repeat(warden.LOOK_S, keeper.look)
        keeper.close()

    def _sync_latch(self) -> None:
        workshop = self._workshop

        def sync() -> None:
            halts.sync_latch(workshop.pool, workshop.home)
            end_silent(workshop)
            with Latch.open(workshop.home.latch) as latch:
                latch.beat()

        self._repeat(workshop.topology.limits.halt.poll_s, sync)

    def _keep_up(self) -> None:
        workshop = self._workshop
        section = workshop.topology.maintenance
        self._repeat(section.look_s, lambda: schedule.look(workshop.pool, section, workshop.clock))

    def _watch(self) -> None:
        workshop = self._workshop
        switch = halts.Halts(workshop.pool, workshop.home, workshop.bus)
        rules = workshop.topology.triggers

        def watch() -> None:
            triggers.look(workshop.pool, switch, rules)
            meters.prune(workshop.pool)

        self._repeat(triggers.LOOK_S if rules else HOUR_S, watch)

    def _keep_audit(self) -> None:
        workshop = self._workshop
        section = workshop.topology.audit
        files = heads.places(workshop.home, section.copies)
        reconciler = Reconciler(workshop.pool, resolver(workshop))

        def keep() -> None:
            reconciler.run(workshop.clock.now())
            heads.publish(workshop.pool, files, workshop.clock)

        self._repeat(section.publish_s, keep)

    def _repeat(self, every_s: float, step: Callable[[], object]) -> None:
        while not self._stop.is_set():
            try:
                step()
            except Exception:  # noqa: BLE001  housekeeping goes on
                _log.exception("%s: this round failed", threading.current_thread().name)
            self._stop.wait(every_s)

    def _note(self, queues: list[str], threads: int) -> None:
        facts = {"queues": queues, "pid": os.getpid(), "threads": threads, "at": time.time()}
        write_private(self._path(), json.dumps(facts))

    def _path(self) -> Path:
        return self._workshop.home.run / f"worker-{os.getpid()}.json"
