"""What agents keep from a run for later ones: written once, read only as far as it was known."""

from __future__ import annotations

import datetime as dt
import hashlib
from dataclasses import dataclass

from ledger.pool import Pool, transaction

_INSERT = """
INSERT INTO memories (memory_id, scope, subject, run_id, known_at, text, text_sha256)
VALUES (%s, %s, %s, %s, %s, %s, %s) ON CONFLICT (memory_id) DO NOTHING
"""
_RECALL = """
SELECT memory_id, known_at, text FROM memories
WHERE subject = %(subject)s AND scope = %(scope)s AND run_id <> %(run_id)s
  AND (%(before)s::timestamptz IS NULL OR known_at <= %(before)s)
ORDER BY known_at DESC, memory_id DESC LIMIT %(most)s
"""


@dataclass(frozen=True, slots=True)
class Memory:
    """One remembered text; ``known_at`` is the time as of which it was learnt, in UTC."""

    memory_id: str
    known_at: dt.datetime
    text: str


def remember(
    pool: Pool, run_id: str, *, scope: str, subject: str, known_at: dt.datetime, text: str
) -> None:
    """Keep what a run of ``subject`` learnt, once."""
    digest = hashlib.sha256(text.encode()).hexdigest()
    with transaction(pool) as connection:
        connection.execute(_INSERT, (run_id, scope, subject, run_id, known_at, text, digest))


def recall(
    pool: Pool, run_id: str, *, scope: str, subject: str, before: dt.datetime | None, most: int
) -> list[Memory]:
    """Return the newest memories of ``subject``, of other runs than this one.

    Only those known at ``before`` or earlier; None takes all. Nobody reads another's memories.
    """
    given = {"run_id": run_id, "scope": scope, "subject": subject, "before": before, "most": most}
    with transaction(pool) as connection:
        rows = connection.execute(_RECALL, given).fetchall()
    return [Memory(**row) for row in rows]
