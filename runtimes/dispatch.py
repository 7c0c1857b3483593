"""Dispatch: one transaction that records work, and the relay that tells the queue about it.

The ledger is the truth. A message in Valkey is only a hint that a run waits: it may come twice or
be wiped, and nothing is lost.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import redis

from auth.store import Grant
from ledger import halts, outbox, runs, specs, trials
from ledger.pool import Pool, transaction
from runtimes.credentials import Delegation
from runtimes.specs.base import Spec
from topology.clock import Clock
from topology.errors import StoreUnreachableError
from topology.ids import new_id
from topology.latch import scopes_of
from topology.principal import Principal
from topology.stores import ValkeyAddress

if TYPE_CHECKING:  # servers submit, only workers talk to the broker
    from dramatiq.brokers.redis import RedisBroker

QUEUES = ("control", "interactive", "batch")
BROKER_DB = 0
MARKER = "alphaswarm:marker"
RETRY_S = 1.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Handle:
    """What a submitting tool answers at once."""

    run_id: str
    task_id: str
    status: str
    spec_hash: str
    result_uri: str

    def body(self) -> dict[str, str]:
        """Return the handle as JSON."""
        return asdict(self)


def handle_of(run: runs.Run) -> Handle:
    """Return the handle of a recorded run."""
    return Handle(run.run_id, run.task_id, run.status, run.spec_sha256, f"run://{run.run_id}")


def submit(
    pool: Pool,
    spec: Spec,
    *,
    principal: Principal,
    queue: str,
    clock: Clock,
    inputs: Mapping[str, Any] | None = None,
    dispatch_key: str | None = None,
    delegation: Delegation | None = None,
) -> Handle:
    """Record a run in one transaction: halt check, spec lock, run and outbox row, notification.

    What data the spec looks at is recorded with it: trials are counted by it.

    ``delegation`` is what the run may do at servers for its person, granted together with it.
    ``inputs`` are the arguments outside the spec that belong to the run's identity. A second call
    with the same ``dispatch_key`` of the same subject returns the first one's handle and changes
    nothing; with another spec it raises ``idempotency_conflict``. A pressed halt raises
    `HaltedError`.
    """
    now = clock.now()
    run_id, task_id = new_id(now), new_id(now)
    key = None if dispatch_key is None else f"{principal.subject}:{dispatch_key}"
    with transaction(pool) as connection:
        halts.check_dispatch(connection, scopes_of(spec.kind, spec.name, run_id))
        version = specs.lock(connection, spec.kind, spec.body(), by=principal.subject)
        run = runs.insert(
            connection,
            spec.kind,
            run_id=run_id,
            task_id=task_id,
            spec_sha256=version.sha256,
            requested_by=principal.subject,
            inputs=dict(inputs or {}),
            dispatch_key=key,
        )
        if run.run_id == run_id:
            outbox.put(connection, queue=queue, actor=spec.kind, run_id=run_id, kind=spec.kind)
            if (seen := spec.looked()) is not None:
                trials.look(connection, run_id, person=principal.subject, **seen)
            if delegation is not None:
                job = Grant("", version.sha256, task_id, run_id)
                delegation.grant(connection, principal, job, now=int(now.timestamp()))
    return handle_of(run)


def make_broker(address: ValkeyAddress) -> RedisBroker:
    """Return the broker on Valkey's DB 0, with the settings that a lost worker needs.

    Maintenance on every command and a heartbeat of 15 s: the defaults leave the messages of a
    killed worker lying for more than 20 minutes. No retries and no time limit: both are the
    ledger's decisions. The client keeps its ordinary timeouts, because `redis.TimeoutError` is no
    `redis.ConnectionError` and would restart every consumer.
    """
    from dramatiq.brokers.redis import RedisBroker
    from dramatiq.middleware import Retries, ShutdownNotifications, TimeLimit

    broker = RedisBroker(  # type: ignore[no-untyped-call]  # dramatiq types all but this
        client=_client(address),
        heartbeat_timeout=15_000,
        maintenance_chance=1_000_000,
        dead_message_ttl=86_400_000,
        middleware=[
            TimeLimit(time_limit=float("inf")),
            ShutdownNotifications(),
            Retries(max_retries=0),
        ],
    )
    for queue in QUEUES:
        broker.declare_queue(queue)
    return broker


def _client(address: ValkeyAddress) -> redis.Redis:
    if address.socket:
        return redis.Redis(
            unix_socket_path=address.socket, password=address.password(), db=BROKER_DB
        )
    return redis.Redis.from_url(address.url, password=address.password(), db=BROKER_DB)


class Relay:
    """Carries outbox rows to the broker; several may run, and sending twice is harmless."""

    def __init__(self, pool: Pool, broker: RedisBroker) -> None:
        self._pool = pool
        self._broker = broker

    def pump(self) -> int:
        """Send every row that is due and return how many; a wiped Valkey makes all of them due."""
        self._notice_a_wiped_broker()
        sent = 0
        while batch := outbox.drain(self._pool, self._send):
            sent += batch
        return sent

    def run(self, dsn: str, stop: threading.Event) -> None:
        """Pump whenever the ledger notifies, and each second anyway, until ``stop`` is set."""
        while not stop.is_set():
            try:
                for _ in outbox.wakeups(dsn, stop=stop.is_set):
                    self.pump()
            except (StoreUnreachableError, redis.RedisError) as error:
                _log.warning("the relay waits for a store: %s", error)
                stop.wait(RETRY_S)

    def _send(self, waiting: outbox.Outgoing) -> None:
        import dramatiq

        self._broker.enqueue(
            dramatiq.Message(
                queue_name=waiting.queue,
                actor_name=waiting.actor,
                args=(waiting.kind, waiting.run_id),
                kwargs={},
                options={},
            )
        )

    def _notice_a_wiped_broker(self) -> None:
        marker = outbox.marker(self._pool)
        if self._broker.client.get(MARKER) == marker.encode():
            return
        waiting = outbox.resend(self._pool)
        self._broker.client.set(MARKER, marker)
        _log.info("the queue is new to us: %s waiting runs are sent again", waiting)
