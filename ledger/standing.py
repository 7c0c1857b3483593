"""How far a halt has come: which runs it covers, which have stopped, which say nothing.

A run counts as stopped when it has acknowledged, or when it has ended in any way. Also the receipt
of a halt or resume: the row of the audit chain that says it was done.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from ledger.pool import Pool, transaction

_COVERED = """
SELECT r.run_id, r.worker, r.started_at,
    (r.finished_at IS NOT NULL OR EXISTS (SELECT FROM halt_acks a WHERE a.run_id = r.run_id))
        AS stopped,
    EXISTS (SELECT FROM halt_acks a WHERE a.run_id = r.run_id AND a.how = 'killed') AS killed
FROM all_runs r
WHERE (r.status = 'running' OR (r.status = 'waiting' AND EXISTS
            (SELECT FROM change_plans p WHERE p.run_id = r.run_id AND p.begun_at IS NOT NULL))
        OR (r.started_at <= %(at)s AND r.finished_at >= %(at)s))
    AND (%(scope)s = 'all' OR %(scope)s = 'kind:' || r.kind
        OR %(scope)s = 'spec:' || r.kind || '/' || r.name OR %(scope)s = 'run:' || r.run_id)
ORDER BY r.run_id
"""
_RECEIPT = """
SELECT seq, hash FROM audit WHERE action = %(action)s AND target = %(scope)s
    AND decision = 'done' AND facts ->> 'epoch' = %(epoch)s
    AND seq > (SELECT max(seq) FROM audit) - 10000
ORDER BY seq DESC LIMIT 1
"""


@dataclass(frozen=True, slots=True)
class Standing:
    """Runs that a halt covers, by id; ``silent`` are those that have not stopped, and where."""

    covered: tuple[str, ...]
    stopped: tuple[str, ...]
    killed: tuple[str, ...]
    silent: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Receipt:
    """The row of the audit chain that says that something was done."""

    seq: int
    hash: str


def of(pool: Pool, scope: str, at: dt.datetime) -> Standing:
    """Return how far the halt of ``scope``, pressed at ``at``, has come.

    Covered is what ran at that moment, and what runs under the scope now.
    """
    with transaction(pool) as connection:
        rows = connection.execute(_COVERED, {"scope": scope, "at": at}).fetchall()
    return Standing(
        covered=tuple(row["run_id"] for row in rows),
        stopped=tuple(row["run_id"] for row in rows if row["stopped"]),
        killed=tuple(row["run_id"] for row in rows if row["killed"]),
        silent=tuple((row["run_id"], row["worker"] or "") for row in rows if not row["stopped"]),
    )


def receipt(pool: Pool, action: str, scope: str, epoch: int) -> Receipt | None:
    """Return the audit row of a halt or resume; None while it waits in the spool."""
    with transaction(pool) as connection:
        row = connection.execute(
            _RECEIPT, {"action": action, "scope": scope, "epoch": str(epoch)}
        ).fetchone()
    return None if row is None else Receipt(row["seq"], row["hash"])
