"""Calls of agents and workflows to tools: the intent before the effect, the result after it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from psycopg.types.json import Jsonb

from ledger import budgets, calls
from ledger.budgets import Amounts
from ledger.calls import At
from ledger.pool import Connection, Pool, transaction
from ledger.runs import Claim
from topology.canonical import sha256

Effect = Literal["read", "write", "destructive"]
_ONE = Amounts(tool_calls=1)
_INSERT = """
INSERT INTO tool_calls (run_id, node, step, occurrence, attempt, status, idempotency_key, server,
    tool, schema_sha256, effect, args, args_sha256, result, result_sha256, snapshot_ids, approval,
    latency_ms, settled, hash)
VALUES (%(run_id)s, %(node)s, %(step)s, %(occurrence)s, %(attempt)s, %(status)s,
    %(idempotency_key)s, %(server)s, %(tool)s, %(schema_sha256)s, %(effect)s, %(args)s,
    %(args_sha256)s, %(result)s, %(result_sha256)s, %(snapshot_ids)s, %(approval)s, %(latency_ms)s,
    %(settled)s, %(hash)s)
"""
_SETTLE = """
UPDATE tool_calls SET status = 'done', result = %(result)s, result_sha256 = %(result_sha256)s,
    snapshot_ids = %(snapshot_ids)s, latency_ms = %(latency_ms)s, settled = %(settled)s,
    hash = %(hash)s
WHERE (run_id, node, step, occurrence, attempt)
    = (%(run_id)s, %(node)s, %(step)s, %(occurrence)s, %(attempt)s) AND status = 'started'
"""
_END = """
UPDATE tool_calls SET status = %s
WHERE (run_id, node, step, occurrence, attempt) = (%s, %s, %s, %s, %s) AND status = 'started'
"""
_FIND = """
SELECT * FROM tool_calls WHERE (run_id, node, step, occurrence) = (%s, %s, %s, %s)
    AND status IN ('done', 'replayed') ORDER BY attempt LIMIT 1
"""
_OPEN = """
SELECT attempt FROM tool_calls WHERE (run_id, node, step, occurrence) = (%s, %s, %s, %s)
    AND status = 'started' ORDER BY attempt DESC LIMIT 1
"""
_ALL = """
SELECT * FROM tool_calls WHERE run_id = %s AND status IN ('done', 'replayed')
ORDER BY node COLLATE "C", step, occurrence
"""


@dataclass(frozen=True, slots=True)
class Intent:
    """A call about to be made; ``args`` are canonical JSON text."""

    at: At
    server: str
    tool: str
    schema_sha256: str
    effect: Effect
    args: str
    approval: str | None = None

    @property
    def args_sha256(self) -> str:
        """Return the hash that an approval names."""
        return hashlib.sha256(self.args.encode()).hexdigest()

    def key(self, run_id: str) -> str:
        """Return the idempotency key: the same call of the same run, however often it is tried."""
        return sha256(
            [run_id, self.at.node, self.at.step, self.at.occurrence, self.server, self.args_sha256]
        )


@dataclass(frozen=True, slots=True)
class Done:
    """A call that came back; ``result`` is JSON text, an error object of the server included."""

    intent: Intent
    result: str
    snapshot_ids: Mapping[str, str]
    latency_ms: float

    @property
    def result_sha256(self) -> str:
        """Return the hash of the result."""
        return hashlib.sha256(self.result.encode()).hexdigest()


def unfinished(pool: Pool, run_id: str, at: At) -> int | None:
    """Return the attempt at this place that began and never came back, if there is one.

    Whether to call again is the caller's decision, by the effect: a read is made again, a write is
    asked for by its key, a destructive call goes back to its approval.
    """
    with transaction(pool) as connection:
        row = connection.execute(_OPEN, (run_id, at.node, at.step, at.occurrence)).fetchone()
    return None if row is None else int(row["attempt"])


def attempts(pool: Pool, run_id: str, at: At) -> int:
    """Return how often the call at one place was begun."""
    with transaction(pool) as connection:
        return calls.next_attempt(connection, "tool_calls", run_id, at) - 1


def begin(pool: Pool, claim: Claim, intent: Intent, *, free: bool = False) -> int:
    """Reserve one call and write the intent, in one transaction; return its attempt, from 1.

    A ``free`` one is not counted: what the runtime asks for itself.
    """
    with transaction(pool) as connection:
        calls.hold(connection, claim)
        budgets.reserve(connection, claim.run_id, Amounts() if free else _ONE)
        attempt = calls.next_attempt(connection, "tool_calls", claim.run_id, intent.at)
        connection.execute(_INSERT, {**_row(claim.run_id, intent, attempt), "status": "started"})
    return attempt


def settle(pool: Pool, claim: Claim, done: Done, attempt: int) -> None:
    """Write the result and chain it, in one transaction."""
    with transaction(pool) as connection:
        calls.hold(connection, claim)
        settled = _settled(connection, claim.run_id, done, "done")
        connection.execute(_SETTLE, {**_row(claim.run_id, done.intent, attempt), **settled})


def end(
    pool: Pool, claim: Claim, at: At, attempt: int, *, status: Literal["failed", "unknown"]
) -> None:
    """Write that a call did not come back: it failed, or nobody knows what became of it."""
    with transaction(pool) as connection:
        calls.hold(connection, claim)
        connection.execute(_END, (status, claim.run_id, at.node, at.step, at.occurrence, attempt))


def copy(pool: Pool, claim: Claim, done: Done) -> None:
    """Take a replayed call over into this run's record, once; it costs nothing."""
    with transaction(pool) as connection:
        calls.hold(connection, claim)
        if _find(connection, claim.run_id, done.intent.at) is not None:
            return
        attempt = calls.next_attempt(connection, "tool_calls", claim.run_id, done.intent.at)
        settled = _settled(connection, claim.run_id, done, "replayed")
        row = {**_row(claim.run_id, done.intent, attempt), **settled, "status": "replayed"}
        connection.execute(_INSERT, row)


def find(pool: Pool, run_id: str, at: At) -> Done | None:
    """Return the call of a run at one place, if it came back."""
    with transaction(pool) as connection:
        return _find(connection, run_id, at)


def done(pool: Pool, run_id: str) -> Iterator[Done]:
    """Yield the calls of a run that came back by node, step and occurrence, never by arrival."""
    with transaction(pool) as connection:
        rows = connection.execute(_ALL, (run_id,)).fetchall()
    yield from map(_read, rows)


def facts_of(call: Done, status: str) -> dict[str, Any]:
    """Return what the chain holds of a call: all that a reader of the record relies on."""
    return {
        **call.intent.at.body(),
        "kind": "tool",
        "status": status,
        "server": call.intent.server,
        "tool": call.intent.tool,
        "schema_sha256": call.intent.schema_sha256,
        "effect": call.intent.effect,
        "args_sha256": call.intent.args_sha256,
        "result_sha256": call.result_sha256,
        "snapshot_ids": dict(call.snapshot_ids),
        "approval": call.intent.approval,
    }


def _settled(connection: Connection, run_id: str, call: Done, status: str) -> dict[str, Any]:
    number, digest = calls.chain(connection, run_id, facts_of(call, status))
    return {
        "result": call.result,
        "result_sha256": call.result_sha256,
        "snapshot_ids": Jsonb(dict(call.snapshot_ids)),
        "latency_ms": call.latency_ms,
        "settled": number,
        "hash": digest,
    }


def _row(run_id: str, intent: Intent, attempt: int) -> dict[str, Any]:
    empty = dict.fromkeys(
        ("result", "result_sha256", "snapshot_ids", "latency_ms", "settled", "hash")
    )
    return {
        **empty,
        "run_id": run_id,
        **intent.at.body(),
        "attempt": attempt,
        "idempotency_key": intent.key(run_id),
        "server": intent.server,
        "tool": intent.tool,
        "schema_sha256": intent.schema_sha256,
        "effect": intent.effect,
        "args": intent.args,
        "args_sha256": intent.args_sha256,
        "approval": intent.approval,
    }


def _find(connection: Connection, run_id: str, at: At) -> Done | None:
    row = connection.execute(_FIND, (run_id, at.node, at.step, at.occurrence)).fetchone()
    return None if row is None else _read(row)


def _read(row: dict[str, Any]) -> Done:
    intent = Intent(
        at=At(row["node"], row["step"], row["occurrence"]),
        server=row["server"],
        tool=row["tool"],
        schema_sha256=row["schema_sha256"],
        effect=row["effect"],
        args=row["args"],
        approval=row["approval"],
    )
    return Done(intent, row["result"], row["snapshot_ids"] or {}, row["latency_ms"])
