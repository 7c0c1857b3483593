"""What must be enqueued: written with the run, sent by a relay, settled by the claim.

The queue is a hint. A message may be sent twice (a crash after sending) or vanish with the whole
of Valkey; the row here stays until a worker has claimed the run.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass

import psycopg

from ledger.kinds import statement
from ledger.pool import Connection, Pool, direct, transaction
from topology.errors import StoreUnreachableError

CHANNEL = "outbox"

_log = logging.getLogger(__name__)

_TAKE = """
SELECT id, run_id, kind, queue, actor FROM outbox
WHERE settled_at IS NULL AND next_send_at <= clock_timestamp()
ORDER BY id LIMIT %s FOR UPDATE SKIP LOCKED
"""
# 60 s, 120 s, 240 s .. at most an hour
_SENT = """
UPDATE outbox SET sends = sends + 1, next_send_at = clock_timestamp()
    + least(interval '60 s' * power(2, least(sends, 10)), interval '1 h')
WHERE id = ANY(%s)
"""
_SETTLE = """
UPDATE outbox SET settled_at = clock_timestamp() WHERE id IN
    (SELECT id FROM outbox WHERE run_id = %s AND settled_at IS NULL FOR UPDATE SKIP LOCKED)
"""
# workers may have claimed a run while this relay still held its row
_TAKEN = """
UPDATE outbox o SET settled_at = clock_timestamp() FROM {runs} r
WHERE o.id = ANY(%s) AND r.run_id = o.run_id AND r.status <> 'queued'
"""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One message to send: start ``actor`` on ``queue`` for this run."""

    run_id: str
    kind: str
    queue: str
    actor: str


def put(connection: Connection, *, queue: str, actor: str, run_id: str, kind: str) -> None:
    """Ask, within the open transaction, for the run to be enqueued; a second time asks again."""
    connection.execute(
        "INSERT INTO outbox (run_id, kind, queue, actor) VALUES (%s, %s, %s, %s)"
        " ON CONFLICT (run_id) DO UPDATE SET settled_at = NULL, sends = 0,"
        " next_send_at = clock_timestamp(), queue = excluded.queue, actor = excluded.actor",
        (run_id, kind, queue, actor),
    )
    _wake(connection)


def again(connection: Connection, run_id: str) -> None:
    """Ask for the run to be enqueued once more, where it was before."""
    connection.execute(
        "UPDATE outbox SET settled_at = NULL, sends = 0, next_send_at = clock_timestamp()"
        " WHERE run_id = %s",
        (run_id,),
    )
    _wake(connection)


def settle(connection: Connection, run_id: str) -> None:
    """Note that nobody needs to be told of the run any more.

    Never waits: a row that a relay holds just now, perhaps in front of a queue that hangs, is
    settled by that relay, or by the claim that the repeated message leads to.
    """
    connection.execute(_SETTLE, (run_id,))


def settle_unless_queued(connection: Connection, kind: str, run_id: str) -> None:
    """Settle a message that came although the run is not to be had."""
    row = connection.execute(
        statement("SELECT status FROM {runs} WHERE run_id = %s", kind), (run_id,)
    ).fetchone()
    if row is not None and row["status"] != "queued":
        settle(connection, run_id)


def drain(pool: Pool, send: Callable[[Outgoing], object], *, limit: int = 500) -> int:
    """Send what is due, at most ``limit`` messages, and return how many were sent.

    What ``send`` raises leaves every row of this batch due, so nothing is lost and some may be
    sent twice. Several relays may drain at once; each message is taken by one of them.
    """
    with transaction(pool) as connection:
        rows = connection.execute(_TAKE, (limit,)).fetchall()
        for row in rows:
            send(Outgoing(row["run_id"], row["kind"], row["queue"], row["actor"]))
        ids = [row["id"] for row in rows]
        connection.execute(_SENT, (ids,))
        for kind in {row["kind"] for row in rows}:
            connection.execute(statement(_TAKEN, kind), (ids,))
    return len(rows)


def wakeups(
    dsn: str, *, stop: Callable[[], bool], poll_s: float = 1.0
) -> Generator[None, None, None]:
    """Yield whenever something may be due: at each notice, and each ``poll_s`` anyway.

    Needs a direct connection (not one of a transaction pooler). While PostgreSQL is away it
    keeps trying, and yields nothing.
    """
    while not stop():
        try:
            with direct(dsn, name="relay") as connection:
                connection.execute(f"LISTEN {CHANNEL}")
                while not stop():
                    yield
                    _wait(connection, poll_s)
        except StoreUnreachableError:
            _log.warning("the relay waits for the ledger")
            time.sleep(poll_s)


def marker(pool: Pool) -> str:
    """Return the random mark that the queue should hold; another or none means it was wiped."""
    with transaction(pool) as connection:
        row = connection.execute("SELECT marker FROM queue_marker").fetchone()
    return str((row or {"marker": ""})["marker"])


def resend(pool: Pool) -> int:
    """Make every unsettled message due now, because the queue was wiped; return how many."""
    with transaction(pool) as connection:
        return connection.execute(
            "UPDATE outbox SET next_send_at = clock_timestamp() WHERE settled_at IS NULL"
        ).rowcount


def _wake(connection: Connection) -> None:
    connection.execute("SELECT pg_notify(%s, '')", (CHANNEL,))


def _wait(connection: psycopg.Connection[object], timeout_s: float) -> None:
    """Return after the first notice, and swallow those that came with it."""
    for _ in connection.notifies(timeout=timeout_s, stop_after=1):
        pass
