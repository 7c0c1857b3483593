"""Signing in as the operating-system user: the kernel has said who is asking."""

from __future__ import annotations

import secrets

from auth.audit import LOGIN, family_facts
from auth.clients import GRANT_TYPES
from auth.core import Issuer
from auth.issue import may_refresh
from auth.policy import ACR_OS, step_up_of, stepped_up
from auth.resource import scopes_for
from auth.store import Family
from auth.wire import NO_STORE, Reply, refusal


def sign_in_locally(issuer: Issuer, username: str, resource: str, scope: str) -> Reply:
    """Return tokens with ``acr`` os for one resource, as the token endpoint does.

    ``username`` must come from peer credentials. An empty scope is the read scope. A scope that
    wants a password is ``unmet_authentication_requirements``: peer credentials prove a process of
    the user, not the person.
    """
    return issuer.guarded(lambda: _sign_in(issuer, username, resource, scope))


def _sign_in(issuer: Issuer, username: str, resource: str, scope: str) -> Reply:
    now = issuer.now()
    found = issuer.resources.find([resource] if resource else [])
    granted = scopes_for(found, scope)
    if not stepped_up(step_up_of(granted.split()), ACR_OS, now, now):
        text = "This scope needs a password sign-in in the browser."
        raise refusal("unmet_authentication_requirements", text)
    family = Family(
        sid=secrets.token_urlsafe(16),
        username=username,
        client_id=issuer.config.local_client,
        resource=found.uri,
        scope=granted,
        acr=ACR_OS,
        auth_time=now,
        created_at=now,
        expires_at=now + issuer.config.lifetimes.absolute_s,
    )
    token, row = issuer.minter.refresh(family, now)
    issuer.store.purge(now=now)
    renewable = may_refresh(family, GRANT_TYPES)
    issuer.store.add_family(family, row if renewable else None)
    facts = family_facts(family)
    issuer.audit(
        actor=username, action=LOGIN, target=issuer.config.issuer, decision="done", facts=facts
    )
    body = issuer.minter.response(family, granted, token if renewable else None, now)
    return Reply(200, body, NO_STORE)
