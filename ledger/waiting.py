"""Runs that wait: for an approval, or while what they started lives; no worker holds them.

The reaper leaves them alone. Whoever speaks or ends for one locks its row first, so that there is
one order of its frames and one end.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from psycopg.types.json import Jsonb

from ledger import endings, outbox
from ledger.endings import Ending
from ledger.kinds import statement
from ledger.pool import Connection, Pool, transaction
from ledger.progress.bus import Bus
from ledger.progress.events import Pending, append, pending, plain
from ledger.runs import Claim
from topology.clock import Clock
from topology.errors import BadInputError
from topology.frames import Frame

_LAST = 2**62
"""Beyond every ticket of an emitter: what a worker says when it lets go is always new."""
_WAIT = """
UPDATE {runs} SET status = 'waiting', fence = fence + 1, lease_until = NULL,
    attempts = 0, statistics = coalesce(%(statistics)s, statistics)
WHERE {mine}
"""
_LOCK = """
SELECT task_id, fence, cancel_requested_by FROM {runs}
WHERE run_id = %s AND status = 'waiting' FOR UPDATE
"""
_TICKET = """
SELECT coalesce(max(ticket), 0) + 1 AS next FROM run_events WHERE task_id = %s AND fence = %s
"""


@dataclass(frozen=True, slots=True)
class Wait:
    """Why a run waits: stage, sentence and extras of the frame that says so.

    ``statistics`` are what its record shows meanwhile; None leaves them as they are.
    """

    stage: str
    message: str
    extras: Mapping[str, Any] = field(default_factory=dict)
    statistics: Mapping[str, Any] | None = None


def begin(
    pool: Pool, claim: Claim, wait: Wait, *, frames: Sequence[Pending], clock: Clock, bus: Bus
) -> bool:
    """Let go of a run that shall wait, and say why; False when it is not this claim's any more.

    Its attempts are counted anew: what comes after the wait is other work.
    """
    shown = None if wait.statistics is None else Jsonb(plain(dict(wait.statistics)))
    with transaction(pool) as connection:
        given = {"run_id": claim.run_id, "fence": claim.fence, "statistics": shown}
        if not connection.execute(statement(_WAIT, claim.kind), given).rowcount:
            return False
        last = pending(clock, wait.stage, wait.message, dict(wait.extras), ticket=_LAST)
        written = append(connection, claim.task_id, [*frames, last], fence=claim.fence)
    bus.publish(written)
    return True


def say(
    pool: Pool, kind: str, run_id: str, frames: Sequence[Pending], *, bus: Bus | None = None
) -> bool:
    """Add frames to a run that waits, whatever their tickets; False when it waits no more."""
    with transaction(pool) as connection:
        row = _locked(connection, kind, run_id)
        if row is None:
            return False
        written = append(connection, row["task_id"], _numbered(connection, row, frames), **_as(row))
    _publish(bus, written)
    return True


def end(
    pool: Pool,
    kind: str,
    run_id: str,
    ending: Ending,
    *,
    frames: Sequence[Pending] = (),
    bus: Bus | None = None,
) -> bool:
    """End a run that waits; False when somebody ended or continued it before."""
    with transaction(pool) as connection:
        row = _locked(connection, kind, run_id)
        if row is None:
            return False
        written = endings.write(
            connection,
            kind,
            run_id=run_id,
            task_id=row["task_id"],
            fence=row["fence"],
            ending=ending,
            frames=_numbered(connection, row, frames),
        )
    _publish(bus, written)
    return True


def proceed(connection: Connection, kind: str, run_id: str) -> None:
    """Queue a run that waits, in the open transaction; one that does not is ``plan_stale``."""
    done = connection.execute(
        statement(
            "UPDATE {runs} SET status = 'queued', fence = fence + 1"
            " WHERE run_id = %s AND status = 'waiting'",
            kind,
        ),
        (run_id,),
    )
    if not done.rowcount:
        raise BadInputError(
            "The run does not wait any more.",
            hint="`get_run` shows what became of it; plan again for another change.",
            code="plan_stale",
            run_id=run_id,
        )
    outbox.again(connection, run_id)


def _locked(connection: Connection, kind: str, run_id: str) -> dict[str, Any] | None:
    return connection.execute(statement(_LOCK, kind), (run_id,)).fetchone()


def _numbered(
    connection: Connection, row: Mapping[str, Any], frames: Sequence[Pending]
) -> list[Pending]:
    found = connection.execute(_TICKET, (row["task_id"], row["fence"])).fetchone()
    first = int(found["next"]) if found else 1
    return [
        Pending(one.stage, one.message, one.timestamp, one.extras, first + index)
        for index, one in enumerate(frames)
    ]


def _as(row: Mapping[str, Any]) -> dict[str, int]:
    return {"fence": int(row["fence"])}


def _publish(bus: Bus | None, frames: Sequence[Frame]) -> None:
    if bus is not None and frames:
        bus.publish(frames)
