"""What a run may still use: reserved before a call, settled after it, shared by a tree of runs.

A child's reservation is taken from every run above it too, in the same transaction; no quantity of
any of them can fall below zero, whatever happens to the workers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from psycopg.types.json import Jsonb

from ledger.pool import Connection, Pool, transaction
from topology.errors import BadInputError, MissingError

QUANTITIES = ("llm_calls", "tool_calls", "prompt_tokens", "completion_tokens", "cost_usd")
_INSERT = """
INSERT INTO budgets (run_id, parent, limits, llm_calls, tool_calls, prompt_tokens,
    completion_tokens, cost_usd)
VALUES (%(run_id)s, %(parent)s, %(limits)s, %(llm_calls)s, %(tool_calls)s, %(prompt_tokens)s,
    %(completion_tokens)s, %(cost_usd)s)
ON CONFLICT (run_id) DO NOTHING
"""
_UP = """
WITH RECURSIVE up AS (
    SELECT run_id, parent, 0 AS depth FROM budgets WHERE run_id = %s
    UNION ALL SELECT b.run_id, b.parent, depth + 1 FROM budgets b JOIN up ON b.run_id = up.parent)
SELECT run_id FROM up ORDER BY depth DESC
"""
_LOCK = """
SELECT run_id, llm_calls, tool_calls, prompt_tokens, completion_tokens, cost_usd FROM budgets
WHERE run_id = %s FOR UPDATE
"""
_TAKE = """
UPDATE budgets SET llm_calls = llm_calls - %(llm_calls)s, tool_calls = tool_calls - %(tool_calls)s,
    prompt_tokens = prompt_tokens - %(prompt_tokens)s,
    completion_tokens = completion_tokens - %(completion_tokens)s,
    cost_usd = cost_usd - %(cost_usd)s
WHERE run_id = %(run_id)s
"""


@dataclass(frozen=True, slots=True)
class Amounts:
    """How much of each quantity; ``cost_usd`` are US dollars."""

    llm_calls: int = 0
    tool_calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_usd: Decimal = Decimal(0)

    def body(self) -> dict[str, Any]:
        """Return it as JSON; money is text."""
        return {
            name: str(value) if isinstance(value, Decimal) else value
            for name, value in self._values().items()
        }

    @classmethod
    def read(cls, body: Mapping[str, Any]) -> Amounts:
        """Return the amounts of a `body`."""
        return cls(**{**body, "cost_usd": Decimal(body["cost_usd"])})

    def __sub__(self, other: Amounts) -> Amounts:
        left, right = self._values(), other._values()
        return Amounts(**{name: left[name] - right[name] for name in QUANTITIES})

    def _values(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in QUANTITIES}


def open_budget(pool: Pool, run_id: str, limits: Amounts, *, parent: str | None = None) -> Amounts:
    """Give a run its limits, or leave an earlier attempt's as they are; return what is left."""
    with transaction(pool) as connection:
        given = {**limits._values(), "limits": Jsonb(limits.body())}
        connection.execute(_INSERT, {"run_id": run_id, "parent": parent, **given})
        return _left(connection, run_id)


def left(pool: Pool, run_id: str) -> Amounts:
    """Return what a run has left of its own limits."""
    with transaction(pool) as connection:
        return _left(connection, run_id)


def reserve(connection: Connection, run_id: str, wanted: Amounts) -> None:
    """Take ``wanted`` from the run and from all above it, or nothing at all.

    Raises ``budget_exceeded`` with the run, the quantity, what is left and what was wanted.
    """
    for above in _line(connection, run_id):
        row = connection.execute(_LOCK, (above,)).fetchone()
        for name in QUANTITIES:
            amount = getattr(wanted, name)
            if row is not None and amount > row[name]:
                raise _exceeded(above, name, row[name], amount, own=above == run_id)
        connection.execute(_TAKE, {"run_id": above, **wanted._values()})


def give_back(connection: Connection, run_id: str, unused: Amounts) -> None:
    """Return what was reserved and not used; a negative amount is one that was used beyond.

    A server that counts more than was reserved is paid as far as there is anything left: one call
    may overshoot, the next finds nothing.
    """
    for above in _line(connection, run_id):
        row = connection.execute(_LOCK, (above,)).fetchone()
        if row is not None:
            back = {name: max(getattr(unused, name), -row[name]) for name in QUANTITIES}
            taken = {name: -amount for name, amount in back.items()}
            connection.execute(_TAKE, {"run_id": above, **taken})


def _line(connection: Connection, run_id: str) -> list[str]:
    """Return the run and all above it, the topmost first: one order of locks for everybody."""
    found = [row["run_id"] for row in connection.execute(_UP, (run_id,)).fetchall()]
    if not found:
        raise MissingError(f"The run {run_id[:64]!r} has no budget.", hint="Submit it again.")
    return found


def _left(connection: Connection, run_id: str) -> Amounts:
    row = connection.execute(_LOCK, (run_id,)).fetchone()
    if row is None:
        raise MissingError(f"The run {run_id[:64]!r} has no budget.", hint="Submit it again.")
    return Amounts(**{name: row[name] for name in QUANTITIES})


def _exceeded(run_id: str, name: str, has: Any, wants: Any, *, own: bool) -> BadInputError:
    whose = "the run" if own else f"the run {run_id} above it"
    return BadInputError(
        f"The next call would use {wants} {name}; {whose} has {has} left.",
        hint=f"Raise limits.max_{name} in the spec: a new version, a new run.",
        code="budget_exceeded",
        run_id=run_id,
        quantity=name,
        left=str(has),
        wanted=str(wants),
    )
