"""What people decided about single calls of a run: bound to the arguments, one token each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ledger import halts, waiting
from ledger.calls import At
from ledger.pool import Pool, transaction
from topology.errors import BadInputError, RefusedError
from topology.latch import scopes_of
from topology.principal import Principal

Decision = Literal["approve", "decline"]
_INSERT = """
INSERT INTO call_approvals (run_id, node, step, occurrence, args_sha256, decision, decided_by,
    client_id, jti, acr, auth_time)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING
"""
_FIND = """
SELECT args_sha256, decision, decided_by, jti FROM call_approvals
WHERE (run_id, node, step, occurrence) = (%s, %s, %s, %s)
"""


@dataclass(frozen=True, slots=True)
class Answer:
    """A decision about the call at one place; ``token`` is the id of the token that gave it."""

    args_sha256: str
    decision: Decision
    decided_by: str
    token: str


def find(pool: Pool, run_id: str, at: At) -> Answer | None:
    """Return what was decided about the call at one place of a run."""
    with transaction(pool) as connection:
        row = connection.execute(_FIND, (run_id, at.node, at.step, at.occurrence)).fetchone()
    if row is None:
        return None
    return Answer(row["args_sha256"], row["decision"], row["decided_by"], row["jti"])


def answer(
    pool: Pool,
    kind: str,
    run_id: str,
    at: At,
    *,
    name: str,
    args_sha256: str,
    decision: Decision,
    by: Principal,
) -> None:
    """Write a person's decision and queue the run that waits for it, in one transaction.

    ``name`` is that of the run's spec: a halt that covers it raises `HaltedError`. An agent's token
    and one that has decided before raise ``access_denied``; a run that does not wait any more is
    ``plan_stale``. Whether the call that waits has these arguments is checked by the worker again.
    """
    if by.actor is not None:
        raise RefusedError(
            "Only a person approves.", hint="Answer with your own sign-in, not through an agent."
        )
    with transaction(pool) as connection:
        halts.check_dispatch(connection, scopes_of(kind, name, run_id))
        given = (args_sha256, decision, by.subject, by.client_id, by.jti, by.acr, by.auth_time)
        row = (run_id, at.node, at.step, at.occurrence, *given)
        if not connection.execute(_INSERT, row).rowcount:
            raise _used(run_id)
        waiting.proceed(connection, kind, run_id)


def _used(run_id: str) -> BadInputError:
    return BadInputError(
        "This call was decided before, or this sign-in has decided another one.",
        hint="`get_run` shows what the run waits for; step up again for another decision.",
        code="access_denied",
        run_id=run_id,
    )
