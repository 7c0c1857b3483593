"""From a kind of work to its tables; the one place where a name becomes part of a statement."""

from __future__ import annotations

from typing import LiteralString

from psycopg.sql import SQL, Composed, Identifier

from topology.errors import UnknownNameError, did_you_mean, nearest
from topology.kinds import KINDS


def check(kind: str) -> str:
    """Return ``kind`` if the ledger knows it, else raise `UnknownNameError`."""
    if kind not in KINDS:
        raise UnknownNameError(
            f"No kind of work is called {kind[:64]!r}.",
            hint=did_you_mean(kind, KINDS),
            nearest=nearest(kind, KINDS),
        )
    return kind


_MINE = SQL(
    "run_id = %(run_id)s AND fence = %(fence)s AND status = 'running'"
    " AND lease_until > clock_timestamp()"
)


def statement(text: LiteralString, kind: str) -> Composed:
    """Return ``text`` with ``{runs}`` and ``{specs}`` as the tables of ``kind``.

    ``{mine}`` becomes the condition that a run is a worker's: his fence (parameters ``run_id`` and
    ``fence``), under a lease that has not ended.
    """
    check(kind)
    return SQL(text).format(
        runs=Identifier(f"{kind}_runs"), specs=Identifier(f"{kind}_spec_versions"), mine=_MINE
    )
