"""The issuer's second factors and used-up tokens in PostgreSQL; half of `ledger.identity`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from psycopg.sql import SQL, Identifier, Placeholder

from ledger.pool import Connection, Pool, transaction


class Factors:
    """Factors, refused actions and one-time tokens; see the issuer's protocol."""

    def __init__(self, pool: Pool, factor: Callable[..., Any], refused: Callable[..., Any]) -> None:
        self._pool = pool
        self._factor = factor
        self._refused = refused

    def add_factors(self, factors: Sequence[Any], *, replace: str = "") -> None:
        """Insert factors, in place of those of the same person and the kind ``replace``."""
        with transaction(self._pool) as connection:
            for username in {factor.username for factor in factors} if replace else ():
                connection.execute(
                    "DELETE FROM identity_factors WHERE username = %s AND kind = %s",
                    (username, replace),
                )
            for factor in factors:
                insert(connection, "identity_factors", asdict(factor))

    def factors(self, username: str, *, kind: str = "") -> list[Any]:
        """Return a person's factors, of one kind or of all, oldest first."""
        with transaction(self._pool) as connection:
            rows = connection.execute(
                "SELECT * FROM identity_factors WHERE username = %s AND (%s = '' OR kind = %s)"
                " ORDER BY created_at, id",
                (username, kind, kind),
            ).fetchall()
        return [self._factor(**row) for row in rows]

    def find_factor(self, factor_id: str) -> Any:
        """Return a factor, whoever's it is, else None."""
        with transaction(self._pool) as connection:
            row = connection.execute(
                "SELECT * FROM identity_factors WHERE id = %s", (factor_id,)
            ).fetchone()
        return None if row is None else self._factor(**row)

    def factor_owners(self) -> list[str]:
        """Return who has a second factor, in order of names."""
        with transaction(self._pool) as connection:
            rows = connection.execute(
                "SELECT DISTINCT username FROM identity_factors ORDER BY username"
            ).fetchall()
        return [row["username"] for row in rows]

    def use_step(self, factor_id: str, step: int) -> bool:
        """Raise ``used`` to ``step``; False where it is not below it: one of two calls wins."""
        with transaction(self._pool) as connection:
            text = "UPDATE identity_factors SET used = %s WHERE id = %s AND used < %s"
            return connection.execute(text, (step, factor_id, step)).rowcount == 1

    def remove_factor(self, factor_id: str) -> bool:
        """Delete a factor; False when it is gone already."""
        with transaction(self._pool) as connection:
            text = "DELETE FROM identity_factors WHERE id = %s"
            return connection.execute(text, (factor_id,)).rowcount == 1

    def note_refused(self, refused: Any) -> None:
        """Remember the newest refused action of a person at a client."""
        with transaction(self._pool) as connection:
            connection.execute(
                "INSERT INTO identity_refused (username, client_id, tool, text, expires_at)"
                " VALUES (%(username)s, %(client_id)s, %(tool)s, %(text)s, %(expires_at)s)"
                " ON CONFLICT (username, client_id) DO UPDATE SET tool = excluded.tool,"
                " text = excluded.text, expires_at = excluded.expires_at",
                asdict(refused),
            )

    def find_refused(self, username: str, client_id: str, *, now: int) -> Any:
        """Return the refused action if ``expires_at > now``, else None."""
        with transaction(self._pool) as connection:
            row = connection.execute(
                "SELECT * FROM identity_refused WHERE username = %s AND client_id = %s"
                " AND expires_at > %s",
                (username, client_id, now),
            ).fetchone()
        return None if row is None else self._refused(**row)

    def use_once(self, jti: str, *, until: int) -> bool:
        """Note that a token was used; False when it was before: one of two calls wins."""
        with transaction(self._pool) as connection:
            return insert(connection, "identity_once", {"jti": jti, "until": until}) == 1


def insert(connection: Connection, table: str, row: Mapping[str, Any]) -> int:
    """Insert ``row`` unless its key is taken; return how many rows that made."""
    statement = SQL("INSERT INTO {} ({}) VALUES ({}) ON CONFLICT DO NOTHING").format(
        Identifier(table),
        SQL(", ").join(map(Identifier, row)),
        SQL(", ").join(map(Placeholder, row)),
    )
    return connection.execute(statement, row).rowcount
