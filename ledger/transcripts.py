"""A run's calls as one text: what it asked, what it was told, in an order that is its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ledger import calls, llm_calls, tool_calls
from ledger.pool import Pool, transaction
from topology.canonical import sha256

_CHAINED = """
SELECT settled, hash, status, 'llm' AS kind, node, step, occurrence FROM llm_calls
WHERE run_id = %(run_id)s AND settled IS NOT NULL
UNION ALL SELECT settled, hash, status, 'tool', node, step, occurrence FROM tool_calls
WHERE run_id = %(run_id)s AND settled IS NOT NULL ORDER BY settled
"""
_HEAD = "SELECT settled, head FROM budgets WHERE run_id = %s"


@dataclass(frozen=True, slots=True)
class Chain:
    """What recomputing the chain found; ``broken_at`` is the first call that does not fit."""

    ok: bool
    settled: int
    broken_at: int | None = None


def entries(pool: Pool, run_id: str) -> list[dict[str, Any]]:
    """Return the calls by node path, step and occurrence, never by arrival.

    Each is what was asked (a hash) and the text of the answer; times, addresses and money are left
    out, so that a replay on another machine gives the same.
    """
    asked = [
        {**call.at.body(), "kind": "llm", "asked": call.request_sha256, "answer": call.response}
        for call in llm_calls.answered(pool, run_id)
    ]
    called = [
        {
            **call.intent.at.body(),
            "kind": "tool",
            "asked": call.intent.args_sha256,
            "tool": f"{call.intent.server}.{call.intent.tool}",
            "answer": call.result,
        }
        for call in tool_calls.done(pool, run_id)
    ]
    return sorted(asked + called, key=lambda e: (e["node"], e["step"], e["occurrence"], e["kind"]))


def digest(pool: Pool, run_id: str) -> str:
    """Return the ``transcript_sha256`` of a run: over the canonical JSON of its `entries`."""
    return sha256(entries(pool, run_id))


def verify(pool: Pool, run_id: str) -> Chain:
    """Recompute the chain of a run's settled calls from what their rows hold."""
    facts: dict[tuple[int, calls.At], llm_calls.Answered | tool_calls.Done] = {
        **{(1, call.at): call for call in llm_calls.answered(pool, run_id)},
        **{(2, call.intent.at): call for call in tool_calls.done(pool, run_id)},
    }
    with transaction(pool) as connection:
        rows = connection.execute(_CHAINED, {"run_id": run_id}).fetchall()
        head = connection.execute(_HEAD, (run_id,)).fetchone()
    before, settled = "", 0 if head is None else int(head["settled"])
    for number, row in enumerate(rows, start=1):
        at = calls.At(row["node"], row["step"], row["occurrence"])
        call = facts.get((1 if row["kind"] == "llm" else 2, at))
        if call is None or row["settled"] != number:
            return Chain(ok=False, settled=settled, broken_at=number)
        before = calls.linked(before, number, _facts(call, row["status"]))
        if before != row["hash"]:
            return Chain(ok=False, settled=settled, broken_at=number)
    whole = head is None or (len(rows), before) == (settled, head["head"])
    return Chain(ok=whole, settled=settled, broken_at=None if whole else len(rows) + 1)


def _facts(call: llm_calls.Answered | tool_calls.Done, status: str) -> dict[str, Any]:
    if isinstance(call, llm_calls.Answered):
        return llm_calls.facts_of(call, status)
    return tool_calls.facts_of(call, status)
