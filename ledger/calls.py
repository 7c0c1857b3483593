"""Calls of a run to models and tools: begun under its fence, settled once, chained by hash.

Each settled row carries the hash of the one before it, so that a changed row is found; the head of
the chain stands with the run's budget and, when the run ends, in its result.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from psycopg.sql import SQL, Identifier

from ledger.kinds import statement
from ledger.pool import Connection
from ledger.runs import Claim
from topology.canonical import canonical
from topology.errors import LeaseLostError

_HEAD = "SELECT settled, head FROM budgets WHERE run_id = %s FOR UPDATE"
_ATTEMPT = SQL(
    "SELECT coalesce(max(attempt), 0) + 1 AS attempt FROM {table}"
    " WHERE (run_id, node, step, occurrence) = (%s, %s, %s, %s)"
)
_NEXT = "UPDATE budgets SET settled = %s, head = %s WHERE run_id = %s"


@dataclass(frozen=True, slots=True, order=True)
class At:
    """Where in a run a call stands: node path, step, and which of equal ones there."""

    node: str
    step: int
    occurrence: int = 0

    def body(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {"node": self.node, "step": self.step, "occurrence": self.occurrence}


def hold(connection: Connection, claim: Claim) -> None:
    """Lock the run in the open transaction; one that is not this worker's raises."""
    found = connection.execute(
        statement("SELECT FROM {runs} WHERE {mine} FOR NO KEY UPDATE", claim.kind),
        {"run_id": claim.run_id, "fence": claim.fence},
    ).fetchone()
    if found is None:
        raise LeaseLostError("This worker no longer holds the run.", run_id=claim.run_id)


def chain(connection: Connection, run_id: str, facts: Mapping[str, Any]) -> tuple[int, str]:
    """Return number and hash of the next settled call: over its ``facts`` and the hash before."""
    row = connection.execute(_HEAD, (run_id,)).fetchone()
    number, before = (int(row["settled"]) + 1, str(row["head"])) if row else (1, "")
    digest = linked(before, number, facts)
    connection.execute(_NEXT, (number, digest, run_id))
    return number, digest


def linked(before: str, number: int, facts: Mapping[str, Any]) -> str:
    """Return the hash of the call ``number`` whose predecessor's hash is ``before``."""
    return hashlib.sha256(canonical({"before": before, "n": number, **facts})).hexdigest()


def next_attempt(
    connection: Connection, table: Literal["llm_calls", "tool_calls"], run_id: str, at: At
) -> int:
    """Return the number of this attempt at a call, from 1."""
    asked = _ATTEMPT.format(table=Identifier(table))
    found = connection.execute(asked, (run_id, at.node, at.step, at.occurrence)).fetchone()
    return int(found["attempt"]) if found else 1
