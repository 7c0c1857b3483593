"""Runs: inserted with their spec, claimed under a fence and a lease, ended exactly once.

A run belongs to whoever holds its fence under a lease that has not ended. Every write of a worker
proves that in the statement itself, so a worker that slept too long can change nothing.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from psycopg.types.json import Jsonb

from ledger import endings, outbox
from ledger.endings import Ending
from ledger.kinds import check, statement
from ledger.pool import Connection, Pool, transaction
from ledger.progress.bus import Bus
from ledger.progress.events import Pending
from topology.errors import BadInputError, LeaseLostError, MissingError, RefusedError
from topology.frames import Frame

ATTEMPTS = 3
"""A run whose worker is lost this often is not tried again."""

_CLAIM = """
UPDATE {runs} SET status = 'running', fence = fence + 1, attempts = attempts + 1,
    worker = %(worker)s, lease_until = clock_timestamp() + make_interval(secs => %(lease_s)s),
    started_at = coalesce(started_at, clock_timestamp())
WHERE run_id = %(run_id)s AND cancel_requested_at IS NULL AND (status = 'queued'
    OR (status = 'running' AND lease_until < clock_timestamp() AND attempts < %(attempts)s))
RETURNING run_id
"""
_RENEW = """
UPDATE {runs} SET lease_until = clock_timestamp() + make_interval(secs => %(lease_s)s)
WHERE {mine}
"""
_RELEASE = """
UPDATE {runs} SET status = 'queued', fence = fence + 1, attempts = attempts - 1, lease_until = NULL
WHERE {mine}
"""
_PIN = """
UPDATE {runs} SET snapshot_ids = coalesce(snapshot_ids, %(snapshot_ids)s),
    engine = coalesce(engine, %(engine)s), run_sha = coalesce(run_sha, %(run_sha)s)
WHERE {mine} RETURNING run_sha
"""
_CANCEL = """
UPDATE {runs} SET cancel_requested_at = coalesce(cancel_requested_at, clock_timestamp()),
    cancel_requested_by = coalesce(cancel_requested_by, %s) WHERE run_id = %s
"""
_LISTING = """
SELECT * FROM all_runs
WHERE (%(kind)s::text IS NULL OR kind = %(kind)s)
  AND (%(status)s::text IS NULL OR status = %(status)s)
  AND (%(name)s::text IS NULL OR name = %(name)s)
  AND (%(requested_by)s::text IS NULL OR requested_by = %(requested_by)s)
  AND (%(after)s::text IS NULL OR run_id < %(after)s)
ORDER BY run_id DESC LIMIT %(limit)s
"""


@dataclass(frozen=True, slots=True)
class Run:
    """One row of ``<kind>_runs`` with the name and version of its spec."""

    kind: str
    name: str
    version: int
    run_id: str
    task_id: str
    spec_sha256: str
    run_sha: str | None
    result_sha: str | None
    status: str
    fence: int
    attempts: int
    worker: str | None
    lease_until: dt.datetime | None
    cancel_requested_at: dt.datetime | None
    created_at: dt.datetime
    started_at: dt.datetime | None
    finished_at: dt.datetime | None
    snapshot_ids: dict[str, str] | None
    inputs: dict[str, Any]
    engine: dict[str, Any] | None
    statistics: dict[str, Any] | None
    result_tables: dict[str, Any] | None
    error: dict[str, Any] | None
    requested_by: str


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to do a run, until the lease ends: ``attempt`` counts from 1."""

    run: Run
    fence: int
    attempt: int

    @property
    def kind(self) -> str:
        """Return the kind of the run."""
        return self.run.kind

    @property
    def run_id(self) -> str:
        """Return the id of the run."""
        return self.run.run_id

    @property
    def task_id(self) -> str:
        """Return the id of the run's task."""
        return self.run.task_id


@dataclass(frozen=True, slots=True)
class Signals:
    """What the ledger says to a worker: is the run still his, and does anybody want its end."""

    mine: bool
    cancel_requested: bool


def insert(
    connection: Connection,
    kind: str,
    *,
    run_id: str,
    task_id: str,
    spec_sha256: str,
    requested_by: str,
    inputs: Mapping[str, Any],
    dispatch_key: str | None = None,
) -> Run:
    """Insert a queued run, or return the one that this ``dispatch_key`` made before.

    The same key for another spec or other inputs raises ``idempotency_conflict``.
    """
    connection.execute(
        statement(
            "INSERT INTO {runs} (run_id, task_id, spec_sha256, requested_by, inputs, dispatch_key)"
            " VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT (dispatch_key) DO NOTHING",
            kind,
        ),
        (run_id, task_id, spec_sha256, requested_by, Jsonb(dict(inputs)), dispatch_key),
    )
    row = connection.execute(
        statement("SELECT run_id FROM {runs} WHERE run_id = %s OR dispatch_key = %s", kind),
        (run_id, dispatch_key),
    ).fetchone()
    run = _get(connection, row["run_id"] if row else run_id, kind)
    if run.spec_sha256 != spec_sha256 or run.inputs != dict(inputs):
        raise BadInputError(
            f"The dispatch key {dispatch_key!r} belongs to a run of another spec.",
            hint="Use a new key, or none, for other work.",
            code="idempotency_conflict",
            run_id=run.run_id,
        )
    return run


def get(pool: Pool, run_id: str, kind: str | None = None) -> Run:
    """Return a run, of any kind unless one is given; else ``not_found``."""
    with transaction(pool) as connection:
        return _get(connection, run_id, kind)


def listing(
    pool: Pool,
    *,
    kind: str | None = None,
    status: str | None = None,
    name: str | None = None,
    requested_by: str | None = None,
    after: str | None = None,
    limit: int = 50,
) -> list[Run]:
    """Return runs, newest first; ``after`` is the ``run_id`` that ended the page before."""
    wanted = {
        "kind": kind and check(kind),
        "status": status,
        "name": name,
        "requested_by": requested_by,
        "after": after,
        "limit": limit,
    }
    with transaction(pool) as connection:
        return [Run(**row) for row in connection.execute(_LISTING, wanted).fetchall()]


def claim(
    pool: Pool, kind: str, run_id: str, *, worker: str, lease_s: float = 30.0
) -> Claim | None:
    """Take a queued run, or one whose lease has ended; None when it is not to be had.

    Settles the message that led here, so that it is not sent again.
    """
    with transaction(pool) as connection:
        taken = connection.execute(
            statement(_CLAIM, kind),
            {"run_id": run_id, "worker": worker, "lease_s": lease_s, "attempts": ATTEMPTS},
        ).fetchone()
        if taken is None:
            outbox.settle_unless_queued(connection, kind, run_id)
            return None
        outbox.settle(connection, run_id)
        run = _get(connection, run_id, kind)
    return Claim(run=run, fence=run.fence, attempt=run.attempts)


def renew(pool: Pool, claim: Claim, *, lease_s: float = 30.0) -> bool:
    """Lengthen the lease to ``lease_s`` from now; False when the run is no longer this claim's."""
    with transaction(pool) as connection:
        return bool(
            connection.execute(
                statement(_RENEW, claim.kind), {**_mine(claim), "lease_s": lease_s}
            ).rowcount
        )


def release(pool: Pool, claim: Claim) -> bool:
    """Give a run back to the queue, as a worker does that is asked to stop; no attempt is counted.

    False when the run is no longer this claim's; nothing changes then.
    """
    with transaction(pool) as connection:
        mine = connection.execute(statement(_RELEASE, claim.kind), _mine(claim)).rowcount
        if mine:
            outbox.again(connection, claim.run.run_id)
    return bool(mine)


def signals(pool: Pool, claim: Claim) -> Signals:
    """Return what a worker must know between two steps; costs about 0.1 ms."""
    with transaction(pool) as connection:
        row = connection.execute(
            statement(
                "SELECT cancel_requested_at IS NOT NULL AS cancel FROM {runs} WHERE {mine}",
                claim.kind,
            ),
            _mine(claim),
        ).fetchone()
    return Signals(mine=row is not None, cancel_requested=bool(row and row["cancel"]))


def pin(
    pool: Pool,
    claim: Claim,
    *,
    snapshot_ids: Mapping[str, str],
    engine: Mapping[str, Any],
    run_sha: str,
) -> Run:
    """Write once what the run reads and runs on; a later attempt gets back what the first wrote.

    Another ``run_sha`` than the pinned one raises ``replay_diverged``: this attempt would not be
    the same work. A run that is not ours any more raises `LeaseLostError`.
    """
    with transaction(pool) as connection:
        row = connection.execute(
            statement(_PIN, claim.kind),
            {
                **_mine(claim),
                "snapshot_ids": Jsonb(dict(snapshot_ids)),
                "engine": Jsonb(dict(engine)),
                "run_sha": run_sha,
            },
        ).fetchone()
        if row is None:
            raise LeaseLostError("This worker no longer holds the run.", run_id=claim.run_id)
        if row["run_sha"] != run_sha:
            raise RefusedError(
                "This attempt would not repeat the first one.",
                hint="Engine or data changed in between: submit the spec again as a new run.",
                code="replay_diverged",
                pinned=row["run_sha"],
                found=run_sha,
            )
        return _get(connection, claim.run_id, claim.kind)


def finish(
    pool: Pool,
    claim: Claim,
    *,
    status: str,
    stage: str,
    message: str,
    frames: Sequence[Pending] = (),
    extras: Mapping[str, Any] | None = None,
    statistics: Mapping[str, Any] | None = None,
    result_tables: Mapping[str, Any] | None = None,
    result_sha: str | None = None,
    error: Mapping[str, Any] | None = None,
    bus: Bus | None = None,
) -> Frame | None:
    """End the run and return its terminal frame, or None when it is not ours: all is discarded.

    The remaining ``frames``, the terminal row and the terminal frame are one transaction; then
    ``bus`` hears of them. Calling again after a lost answer returns the same frame.
    """
    ending = Ending(
        status, stage, message, extras or {}, statistics, result_tables, result_sha, error
    )
    with transaction(pool) as connection:
        mine = connection.execute(
            statement("SELECT FROM {runs} WHERE {mine} FOR UPDATE", claim.kind), _mine(claim)
        ).fetchone()
        if mine is None:
            return _said_before(connection, claim, ending)
        written = endings.write(
            connection,
            claim.kind,
            run_id=claim.run_id,
            task_id=claim.task_id,
            fence=claim.fence,
            ending=ending,
            frames=frames,
        )
    if bus is not None:
        bus.publish(written)
    return written[-1]


def cancel(pool: Pool, run_id: str, *, by: str, bus: Bus | None = None) -> Run:
    """End a run that no worker holds; ask the worker of a running one; leave an ended one alone.

    One that waits while what it started lives is asked too: it ends with that.
    """
    written: list[Frame] = []
    with transaction(pool) as connection:
        kind = _get(connection, run_id, None).kind
        row = connection.execute(
            statement(
                "SELECT task_id, status, fence, EXISTS (SELECT FROM change_plans p"
                " WHERE p.run_id = r.run_id AND p.begun_at IS NOT NULL) AS at_work"
                " FROM {runs} r WHERE run_id = %s FOR UPDATE",
                kind,
            ),
            (run_id,),
        ).fetchone()
        if row is not None and row["status"] in {"queued", "waiting", "running"}:
            connection.execute(statement(_CANCEL, kind), (by, run_id))
        held = row is not None and row["status"] == "waiting" and row["at_work"]
        if row is not None and row["status"] in {"queued", "waiting"} and not held:
            written = endings.write(
                connection,
                kind,
                run_id=run_id,
                task_id=row["task_id"],
                fence=row["fence"] + 1,
                ending=endings.cancelled(run_id, by),
            )
        run = _get(connection, run_id, kind)
    if bus is not None:
        bus.publish(written)
    return run


def earlier_result(pool: Pool, kind: str, run_sha: str) -> str | None:
    """Return the ``result_sha`` of a run that succeeded with the same ``run_sha``, if any."""
    with transaction(pool) as connection:
        row = connection.execute(
            statement(
                "SELECT result_sha FROM {runs} WHERE run_sha = %s AND status = 'succeeded'"
                " AND result_sha IS NOT NULL ORDER BY finished_at LIMIT 1",
                kind,
            ),
            (run_sha,),
        ).fetchone()
    return None if row is None else str(row["result_sha"])


def _mine(claim: Claim) -> dict[str, Any]:
    return {"run_id": claim.run_id, "fence": claim.fence}


def _get(connection: Connection, run_id: str, kind: str | None) -> Run:
    row = connection.execute(
        "SELECT * FROM all_runs WHERE run_id = %(run_id)s"
        " AND (%(kind)s::text IS NULL OR kind = %(kind)s)",
        {"run_id": run_id, "kind": kind and check(kind)},
    ).fetchone()
    if row is None:
        raise MissingError(
            f"There is no run {run_id[:64]!r}.", hint="`alphaswarm runs list` shows what there is."
        )
    return Run(**row)


def _said_before(connection: Connection, claim: Claim, ending: Ending) -> Frame | None:
    """Return the terminal frame if this very claim wrote it and only the answer was lost."""
    row = connection.execute(
        "SELECT frame FROM run_events WHERE task_id = %s AND fence = %s"
        " AND frame ->> 'stage' = %s ORDER BY seq DESC LIMIT 1",
        (claim.task_id, claim.fence, ending.stage),
    ).fetchone()
    return None if row is None else Frame.model_validate(row["frame"])
