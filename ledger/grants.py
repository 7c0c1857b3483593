"""The issuer's device codes, grants for machines and noted challenges in PostgreSQL.

The third part of `ledger.identity`, with the same promises: one transaction each, one winner.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from ledger.factors import insert
from ledger.pool import Connection, Pool, transaction

_ONE_DEVICE = 7_202_611_210_003
"""Any number that no other advisory lock of ours uses."""
_POLL = """
UPDATE identity_devices SET polled_at = %(now)s, interval_s = interval_s
    + CASE WHEN %(now)s - polled_at < interval_s THEN 5 ELSE 0 END
WHERE device_hash = %(device)s AND decision = ''
"""
_USE = """
UPDATE identity_devices d SET used_at = %s FROM identity_families f
WHERE d.device_hash = %s AND d.resource = %s AND d.used_at IS NULL AND d.decision = 'allow'
    AND f.sid = d.sid AND f.revoked_at IS NULL
"""
_OF_RUN = """
SELECT f.resource, f.sid FROM identity_grants g JOIN identity_families f USING (sid)
WHERE g.run_id = %s AND f.revoked_at IS NULL
"""
_END_RUN = """
UPDATE identity_families f SET revoked_at = extract(epoch FROM clock_timestamp())::bigint
FROM identity_grants g WHERE g.run_id = %s AND f.sid = g.sid AND f.revoked_at IS NULL
"""


class Grants:
    """Device codes, grants and challenges; see the issuer's protocol."""

    _pool: Pool
    _rows: Any

    def add_devices(self, devices: Sequence[Any], *, now: int, at_most: int) -> bool:
        """Insert the rows of one request; False where the code is in use or too many wait."""
        with transaction(self._pool) as connection:
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (_ONE_DEVICE,))
            codes = [device.user_hash for device in devices]
            row = connection.execute(
                "SELECT count(DISTINCT user_hash) FILTER (WHERE decision = '' AND expires_at > %s)"
                " AS waiting, coalesce(bool_or(user_hash = ANY(%s)), false) AS taken"
                " FROM identity_devices",
                (now, codes),
            ).fetchone()
            if row is None or row["waiting"] >= at_most or row["taken"]:
                return False
            for device in devices:
                insert(connection, "identity_devices", asdict(device))
            return True

    def find_devices(self, user_hash: str, *, now: int) -> list[Any]:
        """Return the undecided rows of a user code that are not over, by resource."""
        with transaction(self._pool) as connection:
            rows = connection.execute(
                "SELECT * FROM identity_devices WHERE user_hash = %s AND decision = ''"
                " AND expires_at > %s ORDER BY resource",
                (user_hash, now),
            ).fetchall()
        return [self._rows.Device(**row) for row in rows]

    def decide_device(
        self, user_hash: str, families: Sequence[Any], grants: Sequence[Any], *, now: int
    ) -> bool:
        """Allow every row of a user code with the family for its resource; none means deny."""
        with transaction(self._pool) as connection:
            rows = connection.execute(
                "UPDATE identity_devices SET decision = %s WHERE user_hash = %s"
                " AND decision = '' AND expires_at > %s RETURNING resource",
                ("allow" if families else "deny", user_hash, now),
            ).fetchall()
            if not rows:
                return False
            for family in families:
                insert(connection, "identity_families", asdict(family))
                connection.execute(
                    "UPDATE identity_devices SET sid = %s WHERE user_hash = %s AND resource = %s",
                    (family.sid, user_hash, family.resource),
                )
            for grant in grants:
                insert(connection, "identity_grants", asdict(grant))
            return True

    def poll_device(self, device_hash: str, *, now: int) -> tuple[list[Any], bool]:
        """Return the rows of a device code, and whether an undecided one was asked for too soon."""
        with transaction(self._pool) as connection:
            before = _devices(connection, device_hash)
            connection.execute(_POLL, {"now": now, "device": device_hash})
            after = _devices(connection, device_hash)
        early = sum(row["interval_s"] for row in after) > sum(row["interval_s"] for row in before)
        return [self._rows.Device(**row) for row in after], early

    def use_device(self, device_hash: str, resource: str, refresh: Any, *, now: int) -> bool:
        """Use an allowed row up and insert its first refresh token; False when it was before."""
        with transaction(self._pool) as connection:
            if connection.execute(_USE, (now, device_hash, resource)).rowcount != 1:
                return False
            if refresh is not None:
                insert(connection, "identity_refresh", asdict(refresh))
            return True

    def add_grant(self, grant: Any, family: Any) -> None:
        """Insert a family and the grant that rests on it together."""
        with transaction(self._pool) as connection:
            add(connection, grant, family)

    def find_grant(self, sid: str) -> Any:
        """Return a grant with its family, revoked and expired ones too, or None."""
        with transaction(self._pool) as connection:
            grant = connection.execute(
                "SELECT * FROM identity_grants WHERE sid = %s", (sid,)
            ).fetchone()
            family = connection.execute(
                "SELECT * FROM identity_families WHERE sid = %s", (sid,)
            ).fetchone()
        if grant is None or family is None:
            return None
        return self._rows.Grant(**grant), self._rows.Family(**family)

    def note_challenge(self, username: str, client_id: str, resource: str, *, now: int) -> None:
        """Remember that a server asked for a stronger sign-in."""
        with transaction(self._pool) as connection:
            connection.execute(
                "INSERT INTO identity_challenges (username, client_id, resource, at)"
                " VALUES (%s, %s, %s, %s)"
                " ON CONFLICT (username, client_id, resource) DO UPDATE SET at = excluded.at",
                (username, client_id, resource, now),
            )

    def take_challenge(self, username: str, client_id: str, resource: str, *, since: int) -> bool:
        """Forget that; tell whether it was later than ``since``."""
        with transaction(self._pool) as connection:
            row = connection.execute(
                "DELETE FROM identity_challenges"
                " WHERE username = %s AND client_id = %s AND resource = %s RETURNING at",
                (username, client_id, resource),
            ).fetchone()
        return row is not None and row["at"] > since


def add(connection: Connection, grant: Any, family: Any) -> None:
    """Insert a family and the grant that rests on it, within the open transaction."""
    insert(connection, "identity_families", asdict(family))
    insert(connection, "identity_grants", asdict(grant))


def of_run(pool: Pool, run_id: str) -> dict[str, str]:
    """Return the ids of the grants that a run holds and that are not revoked, by resource."""
    with transaction(pool) as connection:
        rows = connection.execute(_OF_RUN, (run_id,)).fetchall()
    return {row["resource"]: row["sid"] for row in rows}


def end_run(connection: Connection, run_id: str) -> None:
    """Revoke whatever a run was granted: it has ended."""
    connection.execute(_END_RUN, (run_id,))


def _devices(connection: Connection, device_hash: str) -> list[dict[str, Any]]:
    return connection.execute(
        "SELECT * FROM identity_devices WHERE device_hash = %s ORDER BY resource FOR UPDATE",
        (device_hash,),
    ).fetchall()
