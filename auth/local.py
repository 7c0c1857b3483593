"""Signing in as the operating-system user: the kernel has said who is asking."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Any

from auth.audit import LOGIN, STEP_UP, family_facts
from auth.binding import Action, parse_details
from auth.clients import GRANT_TYPES
from auth.core import Issuer
from auth.factors.passwords import LockedError
from auth.issue import may_refresh
from auth.policy import ACR_MFA, ACR_OS, StepUp, needs_factor, step_up_of
from auth.resource import scopes_for
from auth.store import Family
from auth.wire import NO_STORE, Reply, refusal


@dataclass(frozen=True, repr=False, slots=True)
class LocalRequest:
    """What a process of the user asks for over the socket.

    ``code`` is a one-time or recovery code of the person, for scopes that want a second factor;
    ``authorization_details`` names the one action of a bound scope.
    """

    resource: str
    scope: str = ""
    code: str = ""
    authorization_details: str = ""


def sign_in_locally(issuer: Issuer, username: str, asked: LocalRequest) -> Reply:
    """Return tokens for one resource, as the token endpoint does.

    ``username`` must come from peer credentials, which are worth ``acr`` os. With a right code it
    is mfa; a scope that wants one without it is ``unmet_authentication_requirements``: peer
    credentials prove a process of the user, not the person. An empty scope is the read scope.
    """
    return issuer.guarded(lambda: _sign_in(issuer, username, asked))


def factors_of(issuer: Issuer, username: str) -> dict[str, Any]:
    """Return what second factors a person has, for the owner of this machine.

    ``{factors: [{kind, name, created_at}], recovery_codes, people}``; ``people`` is how many of
    them there are who have any.
    """
    held = issuer.store.factors(username)
    return {
        "factors": [
            {"kind": one.kind, "name": one.name, "created_at": one.created_at}
            for one in held
            if one.kind != "recovery"
        ],
        "recovery_codes": sum(one.kind == "recovery" for one in held),
        "people": len(issuer.store.factor_owners()),
    }


def _sign_in(issuer: Issuer, username: str, asked: LocalRequest) -> Reply:
    now = issuer.now()
    found = issuer.resources.find([asked.resource] if asked.resource else [])
    granted = scopes_for(found, asked.scope)
    step_up = step_up_of(granted.split())
    action = _action(asked, step_up)
    stepped = needs_factor(step_up)
    if stepped:
        _check_code(issuer, username, asked.code)
    family = Family(
        sid=secrets.token_urlsafe(16),
        username=username,
        client_id=issuer.config.local_client,
        resource=found.uri,
        scope=granted,
        acr=ACR_MFA if stepped else ACR_OS,
        auth_time=now,
        created_at=now,
        expires_at=now + issuer.config.lifetimes.absolute_s,
        amr="otp" if stepped else "",
        action=action.sha256 if action else "",
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


def _action(asked: LocalRequest, step_up: StepUp) -> Action | None:
    try:
        action = parse_details(asked.authorization_details)
    except (ValueError, RecursionError):
        action = None
    if step_up == "bound" and action is None:
        text = "Name the one action in authorization_details."
        raise refusal("invalid_authorization_details", text)
    return action


def _check_code(issuer: Issuer, username: str, code: str) -> None:
    kinds = {factor.kind for factor in issuer.store.factors(username)}
    if not kinds & {"totp", "recovery"}:
        text = "Enrol a second factor first: alphaswarm user enrol totp."
        raise refusal("unmet_authentication_requirements", text)
    if not code:
        text = "This scope needs a second factor: send a one-time code."
        raise refusal("unmet_authentication_requirements", text)
    try:
        found = issuer.codes.check(issuer.store, username, code, issuer.now())
    except LockedError as error:
        _record(issuer, username, "", "locked")
        text = f"Too many wrong codes. Try again in {error.seconds} seconds."
        raise refusal("access_denied", text, status=429) from None
    if found is None:
        _record(issuer, username, "", "wrong")
        raise refusal("access_denied", "This code is wrong or was used before.")
    _record(issuer, username, found.kind, "")


def _record(issuer: Issuer, username: str, kind: str, reason: str) -> None:
    issuer.audit(
        actor=username,
        action=STEP_UP,
        target=issuer.config.issuer,
        decision="refused" if reason else "done",
        facts={"factor": kind, "reason": reason},
    )
