"""Meters: what a trigger watches, as sums over a window of time.

Streams feed ``loss``, ``orders`` and ``rejects`` with `add`; ``failures`` is what the record of
runs itself says. Values are kept for a day.
"""

from __future__ import annotations

from dataclasses import dataclass

from ledger.pool import Pool, transaction

_ADD = "INSERT INTO meters (meter, kind, name, run_id, value) VALUES (%s, %s, %s, %s, %s)"
_TOTAL = """
SELECT coalesce(sum(value), 0) AS total FROM meters
WHERE meter = %(meter)s AND at > clock_timestamp() - make_interval(secs => %(window_s)s)
    AND at > coalesce((SELECT max(at) FROM halts h WHERE h.scope = %(scope)s
        AND h.action = 'resume'), '-infinity')
    AND (%(scope)s = 'all' OR %(scope)s = 'kind:' || kind
        OR %(scope)s = 'spec:' || kind || '/' || name OR %(scope)s = 'run:' || run_id)
"""
_FAILED = """
SELECT count(*) FILTER (WHERE status = 'failed') AS failed, count(*) AS ended FROM all_runs
WHERE finished_at > clock_timestamp() - make_interval(secs => %(window_s)s)
    AND finished_at > coalesce((SELECT max(at) FROM halts h WHERE h.scope = %(scope)s
        AND h.action = 'resume'), '-infinity')
    AND status IN ('succeeded', 'failed')
    AND (%(scope)s = 'all' OR %(scope)s = 'kind:' || kind
        OR %(scope)s = 'spec:' || kind || '/' || name OR %(scope)s = 'run:' || run_id)
"""
_SILENCE = """
SELECT extract(epoch FROM clock_timestamp() - greatest(max(settled_at),
    (SELECT max(at) FROM halts h WHERE h.scope = %(scope)s AND h.action = 'resume')))::float8
    AS silence_s
FROM lake_appends WHERE table_name = %(table)s HAVING max(settled_at) IS NOT NULL
"""
_PRUNE = "DELETE FROM meters WHERE at < clock_timestamp() - interval '1 day'"


@dataclass(frozen=True, slots=True)
class Ended:
    """How many runs of a scope ended in a window, and how many of them failed."""

    failed: int
    ended: int


def add(pool: Pool, meter: str, *, kind: str, name: str, run_id: str, value: float) -> None:
    """Add ``value`` to a meter of a run: a loss in the account's currency, or a count."""
    with transaction(pool) as connection:
        connection.execute(_ADD, (meter, kind, name, run_id, value))


def total(pool: Pool, meter: str, scope: str, *, window_s: float) -> float:
    """Return the sum of a meter over a scope and the last ``window_s`` seconds.

    What was there when the scope was last resumed does not count again.
    """
    asked = {"meter": meter, "scope": scope, "window_s": window_s}
    with transaction(pool) as connection:
        row = connection.execute(_TOTAL, asked).fetchone()
    return float(row["total"]) if row else 0.0


def ended(pool: Pool, scope: str, *, window_s: float) -> Ended:
    """Return what became of the runs of a scope that ended in the last ``window_s`` seconds."""
    with transaction(pool) as connection:
        row = connection.execute(_FAILED, {"scope": scope, "window_s": window_s}).fetchone()
    return Ended(row["failed"], row["ended"]) if row else Ended(0, 0)


def silence_s(pool: Pool, table: str, scope: str) -> float:
    """Return the seconds since the last append to ``table``, or since ``scope`` was resumed.

    0 for a table that nothing was ever appended to: it has not begun yet.
    """
    with transaction(pool) as connection:
        row = connection.execute(_SILENCE, {"table": table, "scope": scope}).fetchone()
    return float(row["silence_s"]) if row else 0.0


def prune(pool: Pool) -> None:
    """Forget what is older than a day."""
    with transaction(pool) as connection:
        connection.execute(_PRUNE)
