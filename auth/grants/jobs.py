"""Grants for jobs: the server that enqueues lets a worker act for the person in this one task.

A message of the queue is clear text: it holds ids, never a token. The worker proves who it is and
exchanges the grant for a token of the grant's server that ends with its lease; it asks again while
it lives and nothing is halted.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable

from auth.audit import Fact, family_facts
from auth.policy import durable, holds
from auth.store import Family, Grant
from topology.errors import RefusedError
from topology.principal import Principal

GRANT_TYPE = "urn:alphaswarm:token-type:grant"
"""``subject_token_type`` of a grant's id at the token endpoint."""
LONGEST_S = 86_400
"""A job that runs longer asks its person again."""


def job_grant(
    caller: Principal,
    *,
    audience: str,
    scopes: Iterable[str],
    allowed: Iterable[str],
    worker: str,
    grant: Grant,
    now: int,
) -> tuple[Grant, Family]:
    """Return the grant by which ``worker`` acts for ``caller`` at ``audience``, at most a day.

    It holds what is among ``scopes`` and ``allowed``, never a step-up scope; nothing of it raises
    ``insufficient_scope``. A grant that names a task is for that one alone; one that names only a
    run acts elsewhere for it, on whatever it makes there. Its id is the ``sid`` of a family of
    its own: revoking that ends the job's access there and nothing else.
    """
    permitted = tuple(allowed)
    kept = durable(dict.fromkeys(scope for scope in scopes if holds(permitted, scope)))
    if not kept or not (grant.task_id or grant.run_id):
        raise RefusedError(
            f"The run may have nothing of what it asks for at {audience!r}.",
            hint="Ask for scopes that caller and exchange policy allow, without step-up.",
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
    return Grant(family.sid, grant.spec, grant.task_id, grant.run_id), family


def job_facts(grant: Grant, family: Family) -> dict[str, Fact]:
    """Return what the audit records of a grant for a job."""
    return family_facts(family, task_id=grant.task_id, run_id=grant.run_id)
