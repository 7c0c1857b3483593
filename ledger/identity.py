"""The issuer's memory in PostgreSQL: of parallel calls that use something up, exactly one wins.

Satisfies the issuer's store protocol by shape. The plain rows that it takes and returns are the
issuer's own, handed in as ``rows`` (the module that defines them), so that neither package imports
the other. Every method is one transaction; times are seconds since the epoch, from the caller.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any, LiteralString, Protocol

from ledger.factors import Factors, insert
from ledger.grants import Grants
from ledger.pool import Pool, transaction

_DAY_S = 86_400
_CLIENT_REST_S = 90 * _DAY_S
_ONE_REGISTRATION = 7_202_611_210_002
"""Any number that no other advisory lock of ours uses."""

_CONSUME_CODE = """
UPDATE identity_codes c SET used_at = %s FROM identity_families f
WHERE c.code_hash = %s AND c.used_at IS NULL AND f.sid = c.sid AND f.revoked_at IS NULL
"""
_CONSUME_REFRESH = """
UPDATE identity_refresh r SET used_at = %s FROM identity_families f
WHERE r.token_hash = %s AND r.used_at IS NULL AND f.sid = r.sid AND f.revoked_at IS NULL
"""


class Rows(Protocol):
    """The issuer's row types: dataclasses whose fields are the columns of the tables here."""

    @property
    def User(self) -> Callable[..., Any]: ...  # noqa: D102, N802
    @property
    def ClientRecord(self) -> Callable[..., Any]: ...  # noqa: D102, N802
    @property
    def Login(self) -> Callable[..., Any]: ...  # noqa: D102, N802
    @property
    def Family(self) -> Callable[..., Any]: ...  # noqa: D102, N802
    @property
    def Code(self) -> Callable[..., Any]: ...  # noqa: D102, N802
    @property
    def Refresh(self) -> Callable[..., Any]: ...  # noqa: D102, N802
    @property
    def Factor(self) -> Callable[..., Any]: ...  # noqa: D102, N802
    @property
    def Device(self) -> Callable[..., Any]: ...  # noqa: D102, N802
    @property
    def Grant(self) -> Callable[..., Any]: ...  # noqa: D102, N802
    @property
    def Refused(self) -> Callable[..., Any]: ...  # noqa: D102, N802


class IdentityStore(Factors, Grants):
    """Users, clients, logins, consents and token families; see the issuer's protocol."""

    def __init__(self, pool: Pool, rows: Rows) -> None:
        super().__init__(pool, rows.Factor, rows.Refused)
        self._rows = rows

    def add_user(self, user: Any) -> bool:
        """Insert a user; False when the name is taken."""
        with transaction(self._pool) as connection:
            return insert(connection, "identity_users", asdict(user)) == 1

    def find_user(self, username: str) -> Any:
        """Return the user of this exact name, or None."""
        return self._find(
            self._rows.User, "SELECT * FROM identity_users WHERE username = %s", username
        )

    def set_password(self, username: str, password_hash: str) -> bool:
        """Replace the password hash; False when there is no such user."""
        return self._change(
            "UPDATE identity_users SET password_hash = %s WHERE username = %s",
            password_hash,
            username,
        )

    def count_failure(self, key: str, *, now: int, limit: int, lock_s: int) -> int:
        """Count one wrong secret; return until when the key is locked, 0 if it is not.

        The ``limit``-th failure locks until ``now + lock_s`` and starts the count again; so does
        a failure more than ``lock_s`` after the last one start it again.
        """
        with transaction(self._pool) as connection:
            fresh: dict[str, Any] = {"key": key, "count": 0, "last_at": now, "locked_until": 0}
            insert(connection, "identity_failures", fresh)
            row = (
                connection.execute(
                    "SELECT * FROM identity_failures WHERE key = %s FOR UPDATE", (key,)
                ).fetchone()
                or fresh
            )
            count = 1 if row["last_at"] < now - lock_s else row["count"] + 1
            locked = int(row["locked_until"])
            if count >= limit:
                count, locked = 0, now + lock_s
            connection.execute(
                "UPDATE identity_failures SET count = %s, last_at = %s, locked_until = %s"
                " WHERE key = %s",
                (count, now, locked, key),
            )
        return locked if locked > now else 0

    def locked_until(self, key: str, *, now: int) -> int:
        """Return until when ``key`` is locked, 0 when it is not locked at ``now``."""
        row = self._row(
            "SELECT locked_until FROM identity_failures WHERE key = %s AND locked_until > %s",
            key,
            now,
        )
        return int(row["locked_until"]) if row else 0

    def clear_failures(self, key: str) -> None:
        """Forget the failures of ``key``."""
        self._change("DELETE FROM identity_failures WHERE key = %s", key)

    def add_client(self, client: Any, *, since: int, at_most: int) -> bool:
        """Insert a client; False when ``at_most`` clients were created after ``since``."""
        with transaction(self._pool) as connection:
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (_ONE_REGISTRATION,))
            row = connection.execute(
                "SELECT count(*) AS recent FROM identity_clients WHERE created_at > %s", (since,)
            ).fetchone()
            if row is not None and row["recent"] >= at_most:
                return False
            return insert(connection, "identity_clients", asdict(client)) == 1

    def find_client(self, client_id: str) -> Any:
        """Return a registered client, or None."""
        return self._find(
            self._rows.ClientRecord,
            "SELECT * FROM identity_clients WHERE client_id = %s",
            client_id,
        )

    def touch_client(self, client_id: str, *, now: int) -> None:
        """Note that a registered client was used; unknown ids are ignored."""
        self._change(
            "UPDATE identity_clients SET used_at = %s WHERE client_id = %s", now, client_id
        )

    def add_login(self, login: Any) -> None:
        """Insert a login session."""
        with transaction(self._pool) as connection:
            insert(connection, "identity_logins", asdict(login))

    def find_login(self, id_hash: str, *, now: int) -> Any:
        """Return the session if ``expires_at > now``, else None."""
        return self._find(
            self._rows.Login,
            "SELECT * FROM identity_logins WHERE id_hash = %s AND expires_at > %s",
            id_hash,
            now,
        )

    def end_login(self, id_hash: str) -> None:
        """Delete one session."""
        self._change("DELETE FROM identity_logins WHERE id_hash = %s", id_hash)

    def end_logins(self, username: str) -> int:
        """Delete all sessions of a user; return how many."""
        return self._count("DELETE FROM identity_logins WHERE username = %s", username)

    def add_consent(self, consent: Any, *, now: int) -> None:
        """Remember a consent; a second time is no error."""
        with transaction(self._pool) as connection:
            insert(connection, "identity_consents", {**asdict(consent), "at": now})

    def has_consent(self, consent: Any) -> bool:
        """Tell whether exactly this was allowed before."""
        with transaction(self._pool) as connection:
            return (
                connection.execute(
                    "SELECT FROM identity_consents WHERE username = %(username)s"
                    " AND client_id = %(client_id)s AND resource = %(resource)s"
                    " AND redirect_uri = %(redirect_uri)s AND scope = %(scope)s",
                    asdict(consent),
                ).fetchone()
                is not None
            )

    def add_code(self, code: Any, family: Any) -> None:
        """Insert a family and its code together."""
        with transaction(self._pool) as connection:
            insert(connection, "identity_families", asdict(family))
            insert(connection, "identity_codes", asdict(code))

    def find_code(self, code_hash: str) -> Any:
        """Return a code, used and expired ones too, with its family, or None."""
        return self._with_family(
            self._rows.Code, "SELECT * FROM identity_codes WHERE code_hash = %s", code_hash
        )

    def consume_code(self, code_hash: str, refresh: Any, *, now: int) -> bool:
        """Use the code up and insert the first refresh token, if any, together.

        False, and nothing inserted, when it was used before or its family is revoked.
        """
        return self._consume(_CONSUME_CODE, code_hash, refresh, now)

    def add_family(self, family: Any, refresh: Any) -> None:
        """Insert a family that has no code with its first refresh token, if any."""
        with transaction(self._pool) as connection:
            insert(connection, "identity_families", asdict(family))
            if refresh is not None:
                insert(connection, "identity_refresh", asdict(refresh))

    def find_refresh(self, token_hash: str) -> Any:
        """Return a refresh token, used and expired ones too, with its family, or None."""
        return self._with_family(
            self._rows.Refresh, "SELECT * FROM identity_refresh WHERE token_hash = %s", token_hash
        )

    def rotate_refresh(self, token_hash: str, successor: Any, *, now: int) -> bool:
        """Use the old token up and insert its successor, together.

        False, and nothing inserted, when the old one was used before or the family is revoked.
        """
        return self._consume(_CONSUME_REFRESH, token_hash, successor, now)

    def find_family(self, sid: str) -> Any:
        """Return a family, revoked and expired ones too, or None."""
        return self._find(self._rows.Family, "SELECT * FROM identity_families WHERE sid = %s", sid)

    def family_alive(self, sid: str) -> bool:
        """Tell whether the family exists and is not revoked."""
        text: LiteralString = "SELECT FROM identity_families WHERE sid = %s AND revoked_at IS NULL"
        return self._row(text, sid) is not None

    def revoke_family(self, sid: str, *, now: int) -> bool:
        """Revoke a family and commit; False when it was not alive."""
        return self._change(
            "UPDATE identity_families SET revoked_at = %s WHERE sid = %s AND revoked_at IS NULL",
            now,
            sid,
        )

    def revoke_families(self, *, username: str, now: int) -> int:
        """Revoke every living family of a user; return how many."""
        return self._count(
            "UPDATE identity_families SET revoked_at = %s"
            " WHERE revoked_at IS NULL AND username = %s",
            now,
            username,
        )

    def purge(self, *, now: int) -> int:
        """Delete what can no longer matter; return how many rows.

        Logins, device codes and families past their end (codes and refresh tokens go with their
        family and are not counted), failures older than a day, clients never used a day after they
        were created or at rest for 90 days, with their consents.
        """
        with transaction(self._pool) as connection:
            gone = connection.execute(
                "DELETE FROM identity_clients WHERE used_at < %s"
                " OR (used_at IS NULL AND created_at < %s) RETURNING client_id",
                (now - _CLIENT_REST_S, now - _DAY_S),
            ).fetchall()
            return len(gone) + sum(
                connection.execute(text, values).rowcount
                for text, values in (
                    (
                        "DELETE FROM identity_consents WHERE client_id = ANY(%s)",
                        ([row["client_id"] for row in gone],),
                    ),
                    ("DELETE FROM identity_logins WHERE expires_at <= %s", (now,)),
                    ("DELETE FROM identity_refused WHERE expires_at <= %s", (now,)),
                    ("DELETE FROM identity_once WHERE until <= %s", (now,)),
                    ("DELETE FROM identity_devices WHERE expires_at <= %s", (now,)),
                    ("DELETE FROM identity_challenges WHERE at < %s", (now - _DAY_S,)),
                    ("DELETE FROM identity_families WHERE expires_at <= %s", (now,)),
                    (
                        "DELETE FROM identity_failures WHERE last_at < %s AND locked_until <= %s",
                        (now - _DAY_S, now),
                    ),
                )
            )

    def _row(self, text: LiteralString, *values: Any) -> Mapping[str, Any] | None:
        with transaction(self._pool) as connection:
            return connection.execute(text, values).fetchone()

    def _find(self, make: Callable[..., Any], text: LiteralString, *values: Any) -> Any:
        row = self._row(text, *values)
        return None if row is None else make(**row)

    def _with_family(self, make: Callable[..., Any], text: LiteralString, value: str) -> Any:
        with transaction(self._pool) as connection:
            row = connection.execute(text, (value,)).fetchone()
            if row is None:
                return None
            family = connection.execute(
                "SELECT * FROM identity_families WHERE sid = %s", (row["sid"],)
            ).fetchone()
        return None if family is None else (make(**row), self._rows.Family(**family))

    def _consume(self, text: LiteralString, secret_hash: str, successor: Any, now: int) -> bool:
        with transaction(self._pool) as connection:
            if connection.execute(text, (now, secret_hash)).rowcount != 1:
                return False
            if successor is not None:
                insert(connection, "identity_refresh", asdict(successor))
            return True

    def _count(self, text: LiteralString, *values: Any) -> int:
        with transaction(self._pool) as connection:
            return connection.execute(text, values).rowcount

    def _change(self, text: LiteralString, *values: Any) -> bool:
        return self._count(text, *values) > 0
