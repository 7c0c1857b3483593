"""Grants for jobs: the server that enqueues lets a worker act for the person in this one task.

A message of the queue is clear text: it holds the task's and the grant's id, never a token. The
worker proves who it is and exchanges the grant for a token of the enqueuing server that ends with
its lease; it asks again while it lives and nothing is halted.
"""

from __future__ import annotations

import secrets
from typing import Protocol

from auth.audit import GRANT, Sink, family_facts
from auth.policy import durable, holds
from auth.store import Family, Grant
from topology.errors import RefusedError
from topology.principal import Principal

LONGEST_S = 86_400
"""A job that runs longer asks its person again."""


class GrantStore(Protocol):
    """The part of the issuer's memory that a grant goes to."""

    def add_grant(self, grant: Grant, family: Family) -> None:
        """Insert a family and the grant that rests on it together."""


def grant_job(
    store: GrantStore,
    audit: Sink,
    caller: Principal,
    *,
    audience: str,
    scopes: tuple[str, ...],
    worker: str,
    grant: Grant,
    now: int,
) -> Grant:
    """Let ``worker`` act for ``caller`` at ``audience`` in the task of ``grant``, at most a day.

    ``scopes`` must all be the caller's; step-up scopes are left out. Returns the grant under its
    id, the ``sid`` of a family of its own: revoking it ends the job and nothing else.
    """
    kept = durable(scope for scope in scopes if holds(caller.scopes, scope))
    if not kept or not grant.task_id:
        raise RefusedError(
            "Nobody can pass on a scope that he does not have.",
            hint="Name the task, and scopes that the caller holds and that need no step-up.",
            code="insufficient_scope",
        )
    family = Family(
        sid=secrets.token_urlsafe(16),
        username=caller.subject,
        client_id=worker,
        resource=audience,
        scope=" ".join(sorted(kept)),
        acr=caller.acr,
        auth_time=caller.auth_time,
        created_at=now,
        expires_at=now + LONGEST_S,
    )
    made = Grant(family.sid, grant.spec, grant.task_id, grant.run_id)
    store.add_grant(made, family)
    facts = family_facts(family, task_id=grant.task_id, run_id=grant.run_id)
    audit(actor=caller.subject, action=GRANT, target=audience, decision="done", facts=facts)
    return made
