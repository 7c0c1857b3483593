"""What runs would change, by hash, and the approvals that name the hash: an approval lives 15 min.

A plan is written once and never changes; an approval is a row of its own, one for each token.
Whether the change was begun is noted once too: what was begun is never simply done again.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from psycopg.types.json import Jsonb

from ledger import endings, halts, waiting
from ledger.kinds import statement
from ledger.pool import Connection, Pool, transaction
from ledger.progress.bus import Bus
from topology.errors import BadInputError, MissingError, RefusedError
from topology.latch import scopes_of
from topology.principal import Principal

LIVES_S = 900
"""How long a plan may be approved, and then begun, in seconds."""
_INSERT = """
INSERT INTO change_plans (run_id, kind, plan_sha256, plan, approvals, expires_at)
VALUES (%s, %s, %s, %s, %s, clock_timestamp() + make_interval(secs => %s))
ON CONFLICT (run_id) DO NOTHING
"""
_FIND = """
SELECT p.*, clock_timestamp() >= p.expires_at AS expired,
    coalesce((SELECT jsonb_agg(jsonb_build_object('by', a.approved_by, 'client_id', a.client_id,
        'jti', a.jti, 'acr', a.acr, 'auth_time', a.auth_time, 'allow_destroy', a.allow_destroy)
        ORDER BY a.at) FROM change_approvals a WHERE a.run_id = p.run_id), '[]') AS given
FROM change_plans p WHERE p.run_id = %s
"""
_APPROVE = """
INSERT INTO change_approvals
    (run_id, plan_sha256, approved_by, client_id, jti, acr, auth_time, allow_destroy)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING
"""
_EXPIRED = """
SELECT p.run_id, p.kind FROM change_plans p JOIN all_runs r USING (run_id)
WHERE p.begun_at IS NULL AND p.expires_at <= clock_timestamp() AND r.status = 'waiting'
"""
_AT_WORK = """
SELECT r.run_id, r.task_id, r.spec_sha256, s.name, r.cancel_requested_by, p.begun_at
FROM {runs} r JOIN {specs} s ON s.sha256 = r.spec_sha256 JOIN change_plans p USING (run_id)
WHERE r.status = 'waiting' AND p.begun_at IS NOT NULL
    AND (%(name)s::text IS NULL OR s.name = %(name)s)
ORDER BY p.begun_at DESC
"""


@dataclass(frozen=True, slots=True)
class Row:
    """A plan as it was written; ``given`` are its approvals, the first one first."""

    run_id: str
    kind: str
    plan_sha256: str
    plan: dict[str, Any]
    approvals: int
    planned_at: dt.datetime
    expires_at: dt.datetime
    begun_at: dt.datetime | None
    expired: bool
    given: list[dict[str, Any]]

    @property
    def approved(self) -> bool:
        """Tell whether everybody has approved who has to."""
        return len(self.given) >= self.approvals


def put(
    pool: Pool, *, run_id: str, kind: str, plan_sha256: str, plan: Mapping[str, Any], approvals: int
) -> Row:
    """Write the plan of a run, or return the one that an earlier attempt wrote."""
    with transaction(pool) as connection:
        given = (run_id, kind, plan_sha256, Jsonb(dict(plan)), approvals, LIVES_S)
        connection.execute(_INSERT, given)
        return _get(connection, run_id)


def find(pool: Pool, run_id: str) -> Row | None:
    """Return the plan of a run, or None while there is none."""
    with transaction(pool) as connection:
        return _find(connection, run_id)


def get(pool: Pool, run_id: str) -> Row:
    """Return the plan of a run; a run without one is ``not_found``."""
    with transaction(pool) as connection:
        return _get(connection, run_id)


def approve(
    pool: Pool, run_id: str, *, plan_sha256: str, name: str, by: Principal, allow_destroy: bool
) -> Row:
    """Approve a plan by its hash and, once that was the last approval, queue its run.

    ``name`` is that of the run's spec: a halt that covers it raises `HaltedError`. Another hash, a
    plan older than 15 min and a run that waits no more raise ``plan_stale``; a token that has
    approved before raises ``access_denied``: the second approval takes a step-up of its own.
    """
    with transaction(pool) as connection:
        row = _get(connection, run_id)
        check(row, plan_sha256)
        halts.check_dispatch(connection, scopes_of(row.kind, name, run_id))
        facts = (by.client_id, by.jti, by.acr, by.auth_time, allow_destroy)
        done = connection.execute(_APPROVE, (run_id, plan_sha256, by.subject, *facts))
        if not done.rowcount:
            raise RefusedError(
                "This sign-in has approved the plan before.",
                hint="The second approval takes a second factor of its own: step up again.",
                run_id=run_id,
            )
        row = _get(connection, run_id)
        if row.approved:
            waiting.proceed(connection, row.kind, run_id)
        return row


def check(row: Row, plan_sha256: str) -> None:
    """Raise ``plan_stale`` unless the plan has this hash and is younger than 15 min."""
    if row.plan_sha256 != plan_sha256:
        raise stale("This is not the hash of the run's plan.", row, given=plan_sha256[:64])
    if row.expired or row.begun_at is not None:
        text = "was begun before" if row.begun_at else "is older than 15 minutes"
        raise stale(f"The plan {text}.", row)


def stale(message: str, row: Row, **facts: Any) -> BadInputError:
    """Return the error for a plan that may not be applied any more."""
    return BadInputError(
        message,
        hint="Plan again, look at what it would change, and approve that.",
        code="plan_stale",
        run_id=row.run_id,
        plan_sha256=row.plan_sha256,
        **facts,
    )


def begin(pool: Pool, run_id: str) -> bool:
    """Note that the change is about to be made; False when an earlier attempt noted it."""
    with transaction(pool) as connection:
        text = (
            "UPDATE change_plans SET begun_at = clock_timestamp()"
            " WHERE run_id = %s AND begun_at IS NULL"
        )
        return bool(connection.execute(text, (run_id,)).rowcount)


def at_work(pool: Pool, kind: str, name: str | None = None) -> list[dict[str, Any]]:
    """Return the runs that wait while what they started lives, the newest first.

    Each with ``run_id, task_id, spec_sha256, name, cancel_requested_by, begun_at``.
    """
    with transaction(pool) as connection:
        return connection.execute(statement(_AT_WORK, kind), {"name": name}).fetchall()


def expire(pool: Pool, *, bus: Bus | None = None) -> list[str]:
    """End the runs whose plan nobody approved in time; return them."""
    with transaction(pool) as connection:
        rows = connection.execute(_EXPIRED).fetchall()
    ended = []
    for row in rows:
        error = stale("Nobody approved the plan within 15 minutes.", get(pool, row["run_id"]))
        body = error.body()
        extras = {"run_id": row["run_id"], "error": body}
        ending = endings.Ending("failed", "failed", error.message, extras, error=body)
        if waiting.end(pool, row["kind"], row["run_id"], ending, bus=bus):
            ended.append(row["run_id"])
    return ended


def _find(connection: Connection, run_id: str) -> Row | None:
    row = connection.execute(_FIND, (run_id,)).fetchone()
    return None if row is None else Row(**row)


def _get(connection: Connection, run_id: str) -> Row:
    row = _find(connection, run_id)
    if row is None:
        raise MissingError(
            f"The run {run_id[:64]!r} has no plan.",
            hint="plan_change makes one; get_run shows how far it is.",
        )
    return row
