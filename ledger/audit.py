"""The audit chain: each row holds the hash of the one before, and only PostgreSQL appends.

A chain detects a change, it does not prevent one: the tip goes to the log and into every gold
snapshot, so that a chain that was rewritten as a whole shows too.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from psycopg.types.json import Jsonb

from ledger.pool import Connection, Pool, transaction
from topology.canonical import canonical
from topology.errors import AlphaSwarmError, BadInputError

GENESIS = "0" * 64
DECISIONS = ("intended", "done", "failed", "unknown", "refused")

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_PAGE = 1000

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of ``audit``; ``facts`` are text and whole numbers."""

    seq: int
    at: dt.datetime
    actor: str
    action: str
    target: str
    args_sha256: str
    decision: str
    facts: dict[str, str | int]
    prev_hash: str
    hash: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the chain holds: how many rows do, the first that does not, and the tip.

    ``heads`` is how many published heads it was compared with. ``problem`` is empty, ``row`` where
    a row does not fit the one before, or ``head`` where the rows fit one another but not a head:
    then the chain was written anew, or cut, behind everybody's back.
    """

    ok: bool
    rows: int
    broken_seq: int | None
    tip: str
    heads: int = 0
    problem: Literal["", "row", "head"] = ""


def append(
    pool: Pool,
    *,
    actor: str,
    action: str,
    target: str,
    decision: str,
    facts: Mapping[str, str | int],
    args_sha256: str = "",
) -> int:
    """Append one row in a transaction of its own and return its ``seq``; about 1 ms.

    Its own, because every writer of the chain waits for the one before to commit.
    """
    with transaction(pool) as connection:
        return write(
            connection,
            actor=actor,
            action=action,
            target=target,
            decision=decision,
            facts=facts,
            args_sha256=args_sha256,
        )


def write(
    connection: Connection,
    *,
    actor: str,
    action: str,
    target: str,
    decision: str,
    facts: Mapping[str, str | int],
    args_sha256: str = "",
) -> int:
    """Append within the open transaction, which must end soon; see `append`."""
    row = connection.execute(
        "SELECT seq, hash FROM audit_append(%s, %s, %s, %s, %s, %s)",
        (
            clean(actor),
            clean(action),
            clean(target),
            args_sha256,
            _decision(decision),
            Jsonb(_facts(facts)),
        ),
    ).fetchone()
    if row is None:  # pragma: no cover - the function returns one row or raises
        raise AlphaSwarmError("The audit chain gave no answer.")
    _log.info("audit tip %s %s", row["seq"], row["hash"])
    return int(row["seq"])


def tail(
    pool: Pool, *, after: int | None = None, limit: int = 50, newest_first: bool = False
) -> list[Entry]:
    """Return rows with ``seq > after`` in order, or the newest first with ``seq < after``."""
    text = (
        "SELECT * FROM audit WHERE %(after)s::bigint IS NULL OR seq < %(after)s"
        " ORDER BY seq DESC LIMIT %(limit)s"
        if newest_first
        else "SELECT * FROM audit WHERE %(after)s::bigint IS NULL OR seq > %(after)s"
        " ORDER BY seq LIMIT %(limit)s"
    )
    with transaction(pool) as connection:
        rows = connection.execute(text, {"after": after, "limit": limit}).fetchall()
    return [Entry(**row) for row in rows]


def tip(pool: Pool) -> str:
    """Return the hash of the newest row, 64 zeros before the first."""
    with transaction(pool) as connection:
        return _tip(connection)[1]


def verify(pool: Pool, heads: Iterable[tuple[int, str]] = ()) -> Verdict:
    """Recompute the whole chain, from the rows alone; about 5 ms per 1,000 rows.

    A row that was changed, removed or slipped in breaks the chain at its ``seq``; rows removed
    from the end break it at the first that is missing. ``heads`` are pairs of seq and hash that
    were published (`ledger.heads`): each must be the chain's.
    """
    published = sorted({(seq, text) for seq, text in heads if seq > 0})
    hashes: dict[int, str] = dict.fromkeys((seq for seq, _ in published), "")
    seq, last, fits = 0, GENESIS, True
    with transaction(pool) as connection:
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        expected = _tip(connection)
        for entry in _entries(connection):
            fits = entry.seq == seq + 1 and _holds(entry, last)
            if not fits:
                break
            seq, last = entry.seq, entry.hash
            if seq in hashes:
                hashes[seq] = last
    row = _broken_row((seq, last), expected, fits=fits)
    foreign = next((at for at, text in published if hashes[at] != text), None)
    broken = row or (min(foreign, seq + 1) if foreign else None)
    return Verdict(
        ok=broken is None,
        rows=seq if broken is None else broken - 1,
        broken_seq=broken,
        tip=expected[1],
        heads=len(published),
        problem="row" if row else "head" if foreign else "",
    )


def _broken_row(reached: tuple[int, str], expected: tuple[int, str], *, fits: bool) -> int | None:
    """Return the first row that does not fit; the tip must be where the rows end."""
    if not fits:
        return reached[0] + 1
    if reached == expected:
        return None
    return reached[0] if reached[0] == expected[0] else min(reached[0], expected[0]) + 1


def chained(entry: Entry, previous: str) -> str:
    """Return the hash that ``entry`` must have after a row with hash ``previous``."""
    text = hashlib.sha256(previous.encode())
    text.update(entry.seq.to_bytes(8, "big", signed=True))
    text.update(
        ((entry.at - _EPOCH) // dt.timedelta(microseconds=1)).to_bytes(8, "big", signed=True)
    )
    for part in (entry.actor, entry.action, entry.target, entry.args_sha256, entry.decision):
        text.update(hashlib.sha256(part.encode()).digest())
    text.update(hashlib.sha256(canonical(entry.facts)).digest())
    return text.hexdigest()


def _holds(entry: Entry, previous: str) -> bool:
    try:
        return entry.prev_hash == previous and entry.hash == chained(entry, previous)
    except AlphaSwarmError:
        return False  # facts that have no canonical form were not written by us


def _entries(connection: Connection) -> Iterator[Entry]:
    after = -(2**63)
    while True:
        rows = connection.execute(
            "SELECT * FROM audit WHERE seq > %s ORDER BY seq LIMIT %s", (after, _PAGE)
        ).fetchall()
        yield from (Entry(**row) for row in rows)
        if len(rows) < _PAGE:
            return
        after = rows[-1]["seq"]


def _tip(connection: Connection) -> tuple[int, str]:
    row = connection.execute("SELECT seq, hash FROM audit_tip").fetchone()
    return (row["seq"], row["hash"]) if row else (0, GENESIS)


def _decision(decision: str) -> str:
    if decision not in DECISIONS:
        raise BadInputError(
            f"{decision!r} is not a decision.", hint=f"Use one of {', '.join(DECISIONS)}."
        )
    return decision


def _facts(facts: Mapping[str, Any]) -> dict[str, str | int]:
    wrong = sorted(
        key
        for key, value in facts.items()
        if isinstance(value, bool) or not isinstance(value, str | int)
    )
    if wrong:
        raise BadInputError(
            f"The audit fact {wrong[0]!r} is neither text nor a whole number.",
            hint="Write it as text.",
        )
    return {key: clean(value) if isinstance(value, str) else value for key, value in facts.items()}


def clean(text: str) -> str:
    """Return ``text`` without what PostgreSQL cannot hold; a caller's bytes must not stop a row."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()
