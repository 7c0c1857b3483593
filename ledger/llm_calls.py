"""Calls to language models: reserved and written before each, settled and chained after it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from psycopg.types.json import Jsonb

from ledger import budgets, calls
from ledger.budgets import Amounts
from ledger.calls import At
from ledger.pool import Connection, Pool, transaction
from ledger.runs import Claim

_INSERT = """
INSERT INTO llm_calls (run_id, node, step, occurrence, attempt, status, alias, origin, request,
    request_sha256, reserved, response, prompt_tokens, completion_tokens, usage_estimated, cost_usd,
    latency_ms, settled, hash)
VALUES (%(run_id)s, %(node)s, %(step)s, %(occurrence)s, %(attempt)s, %(status)s, %(alias)s,
    %(origin)s, %(request)s, %(request_sha256)s, %(reserved)s, %(response)s, %(prompt_tokens)s,
    %(completion_tokens)s, %(usage_estimated)s, %(cost_usd)s, %(latency_ms)s, %(settled)s, %(hash)s)
"""
_SETTLE = """
UPDATE llm_calls SET status = 'done', response = %(response)s, prompt_tokens = %(prompt_tokens)s,
    completion_tokens = %(completion_tokens)s, usage_estimated = %(usage_estimated)s,
    cost_usd = %(cost_usd)s, latency_ms = %(latency_ms)s, settled = %(settled)s, hash = %(hash)s
WHERE (run_id, node, step, occurrence, attempt)
    = (%(run_id)s, %(node)s, %(step)s, %(occurrence)s, %(attempt)s) AND status = 'started'
RETURNING reserved
"""
_FAIL = """
UPDATE llm_calls SET status = 'failed', error = %s
WHERE (run_id, node, step, occurrence, attempt) = (%s, %s, %s, %s, %s) AND status = 'started'
"""
_FIND = """
SELECT * FROM llm_calls WHERE (run_id, node, step, occurrence) = (%s, %s, %s, %s)
    AND status IN ('done', 'replayed') ORDER BY attempt LIMIT 1
"""
_ALL = """
SELECT * FROM llm_calls WHERE run_id = %s AND status IN ('done', 'replayed')
ORDER BY node COLLATE "C", step, occurrence
"""


@dataclass(frozen=True, slots=True)
class Asked:
    """A call about to be made: its canonical request, and the most that it can use."""

    at: At
    alias: str
    origin: str
    request: bytes
    reserve: Amounts


@dataclass(frozen=True, slots=True)
class Answered:
    """A call that was answered; ``used`` is what it cost."""

    at: At
    alias: str
    origin: str
    request: bytes
    response: str
    used: Amounts
    estimated: bool
    latency_ms: float

    @property
    def request_sha256(self) -> str:
        """Return the key of the request."""
        return hashlib.sha256(self.request).hexdigest()


def begin(pool: Pool, claim: Claim, asked: Asked) -> int:
    """Reserve and write, in one transaction, that a call begins; return its attempt, from 1.

    A reservation whose call never came back stays spent: the model may have done the work.
    """
    with transaction(pool) as connection:
        calls.hold(connection, claim)
        budgets.reserve(connection, claim.run_id, asked.reserve)
        attempt = calls.next_attempt(connection, "llm_calls", claim.run_id, asked.at)
        row = {
            **_blank(claim.run_id, asked.at, attempt),
            "status": "started",
            "alias": asked.alias,
            "origin": asked.origin,
            "request": asked.request,
            "request_sha256": hashlib.sha256(asked.request).hexdigest(),
            "reserved": Jsonb(asked.reserve.body()),
        }
        connection.execute(_INSERT, row)
    return attempt


def settle(pool: Pool, claim: Claim, answered: Answered, attempt: int) -> None:
    """Write the answer, chain it, and give back what was not used, in one transaction."""
    with transaction(pool) as connection:
        calls.hold(connection, claim)
        settled = _settled(connection, claim.run_id, answered, "done")
        row = connection.execute(
            _SETTLE, {**_blank(claim.run_id, answered.at, attempt), **settled}
        ).fetchone()
        if row is not None:
            unused = Amounts.read(row["reserved"]) - answered.used
            budgets.give_back(connection, claim.run_id, unused)


def fail(pool: Pool, claim: Claim, at: At, attempt: int, *, code: str) -> None:
    """Write that a call brought no answer; its reservation stays spent."""
    with transaction(pool) as connection:
        calls.hold(connection, claim)
        connection.execute(_FAIL, (code, claim.run_id, at.node, at.step, at.occurrence, attempt))


def copy(pool: Pool, claim: Claim, answered: Answered) -> None:
    """Take a replayed call over into this run's record, once; it costs nothing."""
    with transaction(pool) as connection:
        calls.hold(connection, claim)
        if _find(connection, claim.run_id, answered.at) is not None:
            return
        attempt = calls.next_attempt(connection, "llm_calls", claim.run_id, answered.at)
        row = {
            **_blank(claim.run_id, answered.at, attempt),
            **_settled(connection, claim.run_id, answered, "replayed"),
            "status": "replayed",
            "alias": answered.alias,
            "origin": answered.origin,
            "request": answered.request,
            "request_sha256": answered.request_sha256,
            "reserved": Jsonb(Amounts().body()),
        }
        connection.execute(_INSERT, row)


def find(pool: Pool, run_id: str, at: At) -> Answered | None:
    """Return the answered call of a run at one place."""
    with transaction(pool) as connection:
        return _find(connection, run_id, at)


def answered(pool: Pool, run_id: str) -> Iterator[Answered]:
    """Yield the answered calls of a run by node, step and occurrence, never by arrival."""
    with transaction(pool) as connection:
        rows = connection.execute(_ALL, (run_id,)).fetchall()
    yield from map(_read, rows)


def facts_of(call: Answered, status: str) -> dict[str, Any]:
    """Return what the chain holds of a call: all that a reader of the record relies on."""
    return {
        **call.at.body(),
        "kind": "llm",
        "status": status,
        "alias": call.alias,
        "origin": call.origin,
        "request_sha256": call.request_sha256,
        "response_sha256": hashlib.sha256(call.response.encode()).hexdigest(),
        "used": call.used.body(),
        "estimated": call.estimated,
    }


def _settled(connection: Connection, run_id: str, call: Answered, status: str) -> dict[str, Any]:
    number, digest = calls.chain(connection, run_id, facts_of(call, status))
    return {
        "response": call.response,
        "prompt_tokens": call.used.prompt_tokens,
        "completion_tokens": call.used.completion_tokens,
        "usage_estimated": call.estimated,
        "cost_usd": call.used.cost_usd,
        "latency_ms": call.latency_ms,
        "settled": number,
        "hash": digest,
    }


def _blank(run_id: str, at: At, attempt: int) -> dict[str, Any]:
    names = ("response", "prompt_tokens", "completion_tokens", "usage_estimated", "cost_usd")
    empty = dict.fromkeys((*names, "latency_ms", "settled", "hash"))
    return {**empty, "run_id": run_id, **at.body(), "attempt": attempt}


def _find(connection: Connection, run_id: str, at: At) -> Answered | None:
    row = connection.execute(_FIND, (run_id, at.node, at.step, at.occurrence)).fetchone()
    return None if row is None else _read(row)


def _read(row: dict[str, Any]) -> Answered:
    used = Amounts(
        llm_calls=1,
        prompt_tokens=row["prompt_tokens"],
        completion_tokens=row["completion_tokens"],
        cost_usd=Decimal(row["cost_usd"]).normalize(),
    )
    return Answered(
        at=At(row["node"], row["step"], row["occurrence"]),
        alias=row["alias"],
        origin=row["origin"],
        request=bytes(row["request"]),
        response=row["response"],
        used=used,
        estimated=row["usage_estimated"],
        latency_ms=row["latency_ms"],
    )
