"""Hash-locked specs: the same content is the same row, for ever; versions have no gaps."""

from __future__ import annotations

import datetime as dt
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from psycopg.types.json import Jsonb

from ledger.kinds import check, statement
from ledger.pool import Connection, Pool, transaction
from topology.canonical import canonical
from topology.errors import InvalidSpecError, MissingError

_NAME = re.compile(r"[a-z][a-z0-9_.-]{1,63}")

_INSERT = """
INSERT INTO {specs} (sha256, name, version, canonical, body, created_by)
SELECT %(sha256)s, %(name)s, coalesce(max(version), 0) + 1, %(canonical)s, %(body)s, %(by)s
FROM {specs} WHERE name = %(name)s
ON CONFLICT (sha256) DO NOTHING
"""


@dataclass(frozen=True, slots=True)
class SpecVersion:
    """One immutable row of ``<kind>_spec_versions``; ``sha256`` is the hash of ``canonical``."""

    kind: str
    sha256: str
    name: str
    version: int
    canonical: bytes
    body: dict[str, Any]
    created_at: dt.datetime
    created_by: str


def lock(connection: Connection, kind: str, body: Mapping[str, Any], *, by: str) -> SpecVersion:
    """Find or insert the version whose content is ``body``, the spec with every default in it.

    Versions count 1, 2, ... per name without a gap, whoever else locks at the same time: the
    writers of one name wait for each other until the caller's transaction ends. NaN, NUL and a
    name that does not match ``[a-z][a-z0-9_.-]{1,63}`` raise `InvalidSpecError`.
    """
    check(kind)
    text = canonical(dict(body))
    digest = hashlib.sha256(text).hexdigest()
    name = _name(body)
    found = _by_hash(connection, kind, digest)
    if found is not None:
        return found
    connection.execute(
        "SELECT pg_advisory_xact_lock(hashtextextended(%s || chr(31) || %s, 0))", (kind, name)
    )
    connection.execute(
        statement(_INSERT, kind),
        {"sha256": digest, "name": name, "canonical": text, "body": Jsonb(dict(body)), "by": by},
    )
    locked = _by_hash(connection, kind, digest)
    if locked is None:  # pragma: no cover - a row that cannot be deleted cannot vanish
        raise MissingError(f"Spec {digest} was locked and is gone.")
    return locked


def get(pool: Pool, sha256: str, *, kind: str | None = None) -> SpecVersion:
    """Return the version with this hash, of any kind unless one is given; else ``not_found``."""
    with transaction(pool) as connection:
        row = connection.execute(
            "SELECT * FROM all_spec_versions WHERE sha256 = %(sha256)s"
            " AND (%(kind)s::text IS NULL OR kind = %(kind)s) LIMIT 1",
            {"sha256": sha256, "kind": kind and check(kind)},
        ).fetchone()
    if row is None:
        raise _missing(f"hash {sha256[:64]!r}")
    return SpecVersion(**row)


def find(pool: Pool, kind: str, name: str, version: int | None = None) -> SpecVersion:
    """Return this version of a name, by default the newest; else ``not_found``."""
    with transaction(pool) as connection:
        row = connection.execute(
            statement(
                "SELECT * FROM {specs} WHERE name = %(name)s"
                " AND (%(version)s::int IS NULL OR version = %(version)s)"
                " ORDER BY version DESC LIMIT 1",
                kind,
            ),
            {"name": name, "version": version},
        ).fetchone()
    if row is None:
        wanted = f" version {version}" if version is not None else ""
        raise _missing(f"name {name[:64]!r}{wanted} of kind {kind!r}")
    return SpecVersion(kind=kind, **row)


def history(pool: Pool, kind: str, name: str) -> list[SpecVersion]:
    """Return every version of a name, oldest first; an unknown name has none."""
    with transaction(pool) as connection:
        rows = connection.execute(
            statement("SELECT * FROM {specs} WHERE name = %s ORDER BY version", kind), (name,)
        ).fetchall()
    return [SpecVersion(kind=kind, **row) for row in rows]


def listing(
    pool: Pool, *, kind: str | None = None, after: str | None = None, limit: int = 50
) -> list[SpecVersion]:
    """Return the newest version of each name, ordered by kind and name.

    ``after`` is ``KIND/NAME`` of the last one of the page before.
    """
    after_kind, _, after_name = (after or "/").partition("/")
    with transaction(pool) as connection:
        rows = connection.execute(
            "SELECT DISTINCT ON (kind, name) * FROM all_spec_versions"
            " WHERE (%(kind)s::text IS NULL OR kind = %(kind)s)"
            " AND (kind, name) > (%(after_kind)s, %(after_name)s)"
            " ORDER BY kind, name, version DESC LIMIT %(limit)s",
            {
                "kind": kind and check(kind),
                "after_kind": after_kind,
                "after_name": after_name,
                "limit": limit,
            },
        ).fetchall()
    return [SpecVersion(**row) for row in rows]


def _by_hash(connection: Connection, kind: str, digest: str) -> SpecVersion | None:
    row = connection.execute(
        statement("SELECT * FROM {specs} WHERE sha256 = %s", kind), (digest,)
    ).fetchone()
    return None if row is None else SpecVersion(kind=kind, **row)


def _name(body: Mapping[str, Any]) -> str:
    name = body.get("name")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise InvalidSpecError(
            f"{str(name)[:64]!r} is not a name for a spec.",
            hint="Use 2 to 64 of a-z, 0-9, '_', '.', '-', beginning with a letter.",
            errors=[{"path": "name", "value": str(name)[:64]}],
        )
    return name


def _missing(what: str) -> MissingError:
    return MissingError(f"No spec version has {what}.", hint="`list_specs` shows what there is.")
