"""Which write to the lake happened: claimed before the commit, settled after it.

Satisfies ``AppendLog`` of the lakehouse by shape; neither knows the other.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg

from ledger.pool import Connection, Pool, direct, transaction
from topology.errors import FaultError

_NAMESPACE = 7
"""The seed of the hash that turns a table's name into a lock number."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A claimed write: the digest of its rows, and its snapshot once it is settled."""

    digest: str
    snapshot_id: str | None


class Appends:
    """The append log of one process.

    Locks live in direct connections of their own (``dsn``), one for each `lock`: a lock belongs
    to a session, a dead process frees it, and a pooler in between would lose it.
    """

    def __init__(self, pool: Pool, dsn: str, *, patience_s: float = 60.0) -> None:
        self._pool = pool
        self._dsn = dsn
        self._patience_s = patience_s

    def find(self, table: str, key: str) -> Entry | None:
        """Return the write of this key, or None."""
        with transaction(self._pool) as connection:
            return _entry(connection, table, key)

    @contextmanager
    def lock(self, table: str) -> Iterator[None]:
        """Hold the table alone, over all processes and machines.

        A wait over 60 s raises ``table_busy``.
        """
        with direct(self._dsn, name="append lock") as connection:
            connection.execute(
                "SELECT set_config('lock_timeout', %s, false)", (f"{self._patience_s:g}s",)
            )
            try:
                connection.execute(
                    "SELECT pg_advisory_lock(hashtextextended(%s, %s))", (table, _NAMESPACE)
                )
            except psycopg.errors.LockNotAvailable as error:
                raise FaultError(
                    f"The table {table!r} was busy for {self._patience_s:g} s.",
                    hint="Another run is writing it or stuck in it: see `alphaswarm runs list`.",
                    code="table_busy",
                    table=table,
                ) from error
            yield

    def claim(self, table: str, key: str, digest: str, rows: int, run_id: str) -> Entry:
        """Record what is about to be written and return what stands: ours, or an earlier claim."""
        with transaction(self._pool) as connection:
            connection.execute(
                "INSERT INTO lake_appends (table_name, key, sha256, row_count, run_id)"
                " VALUES (%s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
                (table, key, digest, rows, run_id),
            )
            return _entry(connection, table, key) or Entry(digest, None)

    def unsettled(self, table: str) -> list[str]:
        """Return the keys of a table's claims that nobody settled: in work, dead, or just done."""
        with transaction(self._pool) as connection:
            rows = connection.execute(
                "SELECT key FROM lake_appends WHERE table_name = %s AND settled_at IS NULL"
                " ORDER BY key",
                (table,),
            ).fetchall()
        return [row["key"] for row in rows]

    def keys(self, table: str, prefix: str) -> list[tuple[str, bool]]:
        """Return a table's keys that start with ``prefix``, sorted, each with: is it settled."""
        with transaction(self._pool) as connection:
            rows = connection.execute(
                "SELECT key, settled_at IS NOT NULL AS settled FROM lake_appends"
                ' WHERE table_name = %s AND starts_with(key, %s) ORDER BY key COLLATE "C"',
                (table, prefix),
            ).fetchall()
        return [(row["key"], row["settled"]) for row in rows]

    def settle(self, table: str, key: str, snapshot_id: str) -> None:
        """Record the snapshot that holds the rows; a second time changes nothing."""
        with transaction(self._pool) as connection:
            connection.execute(
                "UPDATE lake_appends SET snapshot_id = %s, settled_at = clock_timestamp()"
                " WHERE table_name = %s AND key = %s AND settled_at IS NULL",
                (snapshot_id, table, key),
            )


def _entry(connection: Connection, table: str, key: str) -> Entry | None:
    row = connection.execute(
        "SELECT sha256, snapshot_id FROM lake_appends WHERE table_name = %s AND key = %s",
        (table, key),
    ).fetchone()
    return None if row is None else Entry(row["sha256"], row["snapshot_id"])
