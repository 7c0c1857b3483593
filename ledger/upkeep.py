"""What the upkeep of the lake must know of the record: who names which snapshot, who is at work."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from ledger.pool import Pool, transaction

_OPEN = ("queued", "waiting", "running")
_LAST = """
SELECT r.run_id, r.status, r.created_at FROM data_runs r
JOIN data_spec_versions s ON s.sha256 = r.spec_sha256
WHERE s.body ->> 'task' = %s ORDER BY r.run_id DESC LIMIT 1
"""
_BUSIEST = """
SELECT count(*) AS appends FROM lake_appends
WHERE settled_at IS NOT NULL AND (%(since)s::timestamptz IS NULL OR settled_at > %(since)s)
GROUP BY table_name ORDER BY appends DESC LIMIT 1
"""
_FIRST = """
SELECT min(settled_at) AS first FROM lake_appends
WHERE settled_at IS NOT NULL AND (%(since)s::timestamptz IS NULL OR settled_at > %(since)s)
"""


@dataclass(frozen=True, slots=True)
class Latest:
    """The newest run of a task, ended or not."""

    run_id: str
    ended: bool
    created_at: dt.datetime


@dataclass(frozen=True, slots=True)
class Written:
    """Writes to the lake since a time: when the first was, and most to one table."""

    first: dt.datetime | None
    most: int


def named(pool: Pool, table: str) -> set[str]:
    """Return every snapshot of ``table`` that some run, of any kind and age, names as its input."""
    with transaction(pool) as connection:
        rows = connection.execute(
            "SELECT DISTINCT snapshot_ids ->> %s AS id FROM all_runs"
            " WHERE jsonb_exists(snapshot_ids, %s)",
            (table, table),
        ).fetchall()
    return {row["id"] for row in rows if row["id"] is not None}


def unfinished(pool: Pool) -> set[str]:
    """Return the ids of the runs that have not ended."""
    with transaction(pool) as connection:
        rows = connection.execute(
            "SELECT run_id FROM all_runs WHERE status = ANY(%s)", (list(_OPEN),)
        ).fetchall()
    return {row["run_id"] for row in rows}


def latest(pool: Pool, task: str) -> Latest | None:
    """Return the newest run of kind data with this task, or None."""
    with transaction(pool) as connection:
        row = connection.execute(_LAST, (task,)).fetchone()
    if row is None:
        return None
    return Latest(row["run_id"], row["status"] not in _OPEN, row["created_at"])


def written(pool: Pool, since: dt.datetime | None) -> Written:
    """Return what was appended after ``since``, None meaning ever."""
    with transaction(pool) as connection:
        first = connection.execute(_FIRST, {"since": since}).fetchone()
        busiest = connection.execute(_BUSIEST, {"since": since}).fetchone()
    return Written(first["first"] if first else None, busiest["appends"] if busiest else 0)
