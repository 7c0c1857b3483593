"""The main recovery: runs whose lease has ended are enqueued again, cancelled, or given up."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ledger import endings, outbox
from ledger.kinds import statement
from ledger.pool import Connection, Pool, transaction
from ledger.progress.bus import Bus
from ledger.runs import ATTEMPTS
from topology.frames import Frame
from topology.kinds import KINDS

_EXPIRED = """
SELECT run_id, task_id, fence, attempts, cancel_requested_by FROM {runs}
WHERE status = 'running' AND lease_until < clock_timestamp()
ORDER BY lease_until LIMIT 500 FOR UPDATE SKIP LOCKED
"""
_AGAIN = """
UPDATE {runs} SET status = 'queued', fence = fence + 1, lease_until = NULL WHERE run_id = %s
"""


@dataclass(slots=True)
class Reaped:
    """What one pass found, by run id."""

    requeued: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)


def reap(pool: Pool, *, bus: Bus | None = None) -> Reaped:
    """Take up every run whose worker is gone; several reapers may run at once.

    The fence rises, so the lost worker can write nothing if it comes back. After three attempts
    the run ends as ``failed`` with ``worker_lost``; one that somebody cancelled ends so.
    """
    reaped, frames = Reaped(), list[Frame]()
    for kind in KINDS:
        with transaction(pool) as connection:
            for row in connection.execute(statement(_EXPIRED, kind)).fetchall():
                frames += _take_up(connection, kind, row, reaped)
    if bus is not None:
        bus.publish(frames)
    return reaped


def _take_up(connection: Connection, kind: str, row: dict[str, Any], reaped: Reaped) -> list[Frame]:
    run_id = row["run_id"]
    if row["cancel_requested_by"] is not None:
        reaped.cancelled.append(run_id)
        ending = endings.cancelled(run_id, row["cancel_requested_by"])
    elif row["attempts"] >= ATTEMPTS:
        reaped.failed.append(run_id)
        ending = endings.lost(run_id, row["attempts"])
    else:
        reaped.requeued.append(run_id)
        connection.execute(statement(_AGAIN, kind), (run_id,))
        outbox.again(connection, run_id)
        return []
    return endings.write(
        connection,
        kind,
        run_id=run_id,
        task_id=row["task_id"],
        fence=row["fence"] + 1,
        ending=ending,
    )
