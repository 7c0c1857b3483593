"""The one way a run ends: terminal row, last frames and terminal frame in one transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from psycopg.types.json import Jsonb

from ledger import grants, outbox
from ledger.kinds import statement
from ledger.pool import Connection
from ledger.progress.events import Pending, append, plain
from topology.clock import rfc3339
from topology.errors import FaultError
from topology.frames import Frame

_HEADLINES = ("sharpe", "total_return", "max_drawdown")
"""Statistics of a backtest that are columns too."""

_TICKETS = 2**62
"""Beyond every ticket of an emitter: the terminal frame is always new."""

_END = """
UPDATE {runs} SET status = %(status)s, fence = %(fence)s, lease_until = NULL,
    finished_at = clock_timestamp(), statistics = %(statistics)s,
    result_tables = %(result_tables)s, result_sha = %(result_sha)s, error = %(error)s
WHERE run_id = %(run_id)s RETURNING finished_at
"""
_HEADLINE = """
UPDATE {runs} SET sharpe = %(sharpe)s, total_return = %(total_return)s,
    max_drawdown = %(max_drawdown)s WHERE run_id = %(run_id)s
"""


@dataclass(frozen=True, slots=True)
class Ending:
    """How a run ends: its status, and the stage, sentence and extras of its last frame.

    NaN and infinities in ``statistics`` become null. ``error`` is the error object.
    """

    status: str
    stage: str
    message: str
    extras: Mapping[str, Any] = field(default_factory=dict)
    statistics: Mapping[str, Any] | None = None
    result_tables: Mapping[str, Any] | None = None
    result_sha: str | None = None
    error: Mapping[str, Any] | None = None


def cancelled(run_id: str, by: str) -> Ending:
    """Return the end of a run that somebody cancelled before a worker could end it."""
    message = f"Cancelled by {by}."
    error = {"code": "cancelled", "message": message, "hint": "", "facts": {}}
    return Ending("cancelled", "cancelled", message, {"run_id": run_id}, error=error)


def lost(run_id: str, attempts: int) -> Ending:
    """Return the end of a run whose workers died too often."""
    error = {
        "code": "worker_lost",
        "message": f"The worker was lost {attempts} times while it did this run.",
        "hint": "It may need more memory than there is; the worker's log says what it did last.",
        "facts": {"attempts": attempts},
    }
    extras = {"run_id": run_id, "error": error}
    return Ending("failed", "failed", str(error["message"]), extras, error=error)


def silent(run_id: str, scope: str, epoch: int) -> Ending:
    """Return the end of a run that did not stop for a halt, so that its worker was killed."""
    error = {
        "code": "halted",
        "message": f"A halt of {scope!r} covers this run; it did not stop and was killed.",
        "hint": "Nothing of it was kept. It was busy in code that does not check in.",
        "facts": {"epoch": epoch, "scope": scope, "silent": True},
    }
    extras = {"run_id": run_id, "epoch": epoch, "scope": scope, "silent": True}
    return Ending("halted", "halted", str(error["message"]), extras, error=error)


def write(
    connection: Connection,
    kind: str,
    *,
    run_id: str,
    task_id: str,
    fence: int,
    ending: Ending,
    frames: Sequence[Pending] = (),
) -> list[Frame]:
    """End the run, whose row the caller has locked, under ``fence``; return the frames written.

    What it was granted at servers ends with it. The last frame is the terminal one; its time is
    the row's ``finished_at``.
    """
    if kind == "backtest" and ending.statistics is not None:
        headline = {name: plain(ending.statistics.get(name)) for name in _HEADLINES}
        connection.execute(statement(_HEADLINE, kind), {**headline, "run_id": run_id})
    row = connection.execute(
        statement(_END, kind),
        {
            "run_id": run_id,
            "fence": fence,
            "status": ending.status,
            "result_sha": ending.result_sha,
            "statistics": _json(ending.statistics),
            "result_tables": _json(ending.result_tables),
            "error": _json(ending.error),
        },
    ).fetchone()
    if row is None:
        raise FaultError(f"Run {run_id} is not there to end.", hint="This is a bug.")
    outbox.settle(connection, run_id)
    grants.end_run(connection, run_id)
    last = Pending(
        stage=ending.stage,
        message=ending.message,
        timestamp=rfc3339(row["finished_at"]),
        extras=dict(plain(ending.extras)),
        ticket=_TICKETS,
    )
    return append(connection, task_id, [*frames, last], fence=fence)


def _json(value: Mapping[str, Any] | None) -> Jsonb | None:
    return None if value is None else Jsonb(plain(value))
