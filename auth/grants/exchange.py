"""Token exchange (RFC 8693): who acts for a person gets a token of his own, never passes one on.

A runtime hands in the person's token for its own server, or the id of a grant that the person
made, and gets a token for exactly one other server: the same person, itself as ``act``, no more
scopes than all of person, policy, target and request allow, at most two minutes, nothing to
refresh, and never a step-up scope.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from typing import Any

from authlib.oauth2.rfc6749 import BaseGrant, TokenEndpointMixin

from auth.audit import EXCHANGE, Fact
from auth.clients import SIGNED, TOKEN_EXCHANGE, Client
from auth.grants.jobs import GRANT_TYPE
from auth.policy import durable
from auth.resource import Resource
from auth.store import Family, Grant
from auth.tokens import Claims, Families, TokenRefusedError, Verifier, read_claims
from auth.wire import NO_STORE, refusal

ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105  a name
DEEPEST = 4
"""How many actors a token may name: an agent of an agent of an agent is enough."""
_HASH = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Subject:
    """For whom, with what and until when somebody wants to act; ``act`` are those who do now."""

    claims: Claims
    allowed: tuple[str, ...]
    spec: str
    act: dict[str, Any] | None = None


class ExchangeGrant(BaseGrant, TokenEndpointMixin):  # type: ignore[misc]  # authlib has no types
    """The grant of RFC 8693 for one ``resource``, by confidential clients of the policy only."""

    GRANT_TYPE = TOKEN_EXCHANGE
    TOKEN_ENDPOINT_AUTH_METHODS = (SIGNED,)

    def validate_token_request(self) -> None:
        """Check client, subject, target and scope, in this order."""
        client: Client = self.authenticate_token_endpoint_client()
        if not client.check_grant_type(self.GRANT_TYPE):
            raise refusal("unauthorized_client", "This client may not exchange tokens.")
        self.request.client = client
        payload = self.request.payload
        if payload.get("actor_token") or payload.get("actor_token_type"):
            raise refusal("invalid_request", "The actor is the client; send no actor_token.")
        if payload.get("requested_token_type") not in {"", ACCESS_TOKEN}:
            raise refusal("invalid_request", "Only access tokens are issued.")
        resource = self.server.resources.find(payload.datalist.get("resource", []))
        kind = payload.get("subject_token_type")
        if kind == ACCESS_TOKEN:
            self._subject = self._person(client, resource)
        elif kind == GRANT_TYPE:
            self._subject = self._granted(client, resource)
        else:
            raise refusal("invalid_request", "subject_token_type is an access token or a grant.")
        self._scope = _narrowed(self._subject.allowed, payload.get("scope"))

    def create_token_response(self) -> tuple[int, dict[str, Any], list[tuple[str, str]]]:
        """Return the token response with ``issued_token_type`` (RFC 8693 s.2.2)."""
        body = acting(self.server, self.request.client, self._subject, self._scope)
        return 200, {**body, "issued_token_type": ACCESS_TOKEN}, list(NO_STORE)

    def _person(self, client: Client, target: Resource) -> Subject:
        """Return the subject of an access token that was meant for a server of this client."""
        spec = self.request.payload.get("spec")
        if not _HASH.fullmatch(spec):
            raise refusal("invalid_request", "spec is the SHA-256 of what acts, lower-case hex.")
        held = self._verified(self.request.payload.get("subject_token"))
        if _depth(held.act) >= DEEPEST:
            raise refusal("invalid_request", "Too many act for this person already.")
        allowed = self.server.config.exchangeable(client.client_id, held.aud, target.uri)
        if held.task_id or held.run_id or not allowed:
            raise refusal("invalid_target", "This client may not exchange such a token for that.")
        if all(scope.endswith(":read") for scope in held.scope.split()):
            allowed = tuple(scope for scope in allowed if scope.endswith(":read"))
        now = self.server.now()
        end = min(held.exp, now + self.server.config.lifetimes.exchanged_s)
        claims = _fresh(held, now, end, aud=target.uri, client_id=client.client_id)
        return Subject(claims, _offered(allowed, target), spec, held.act)

    def _verified(self, token: str) -> Claims:
        """Return the claims of a living access token of ours, whatever server it is for."""
        server, now = self.server, self.server.now()
        try:
            source = read_claims(token, server.keys.public, now).aud
            verifier = Verifier(
                issuer=server.config.issuer,
                keys=server.keys.public,
                resource=source,
                families=Families(server.store.family_alive),
            )
            return verifier.verify(token, now)
        except TokenRefusedError:
            raise refusal("invalid_request", "The subject token is not valid.") from None

    def _granted(self, client: Client, target: Resource) -> Subject:
        """Return the subject of a grant that was made for this client."""
        found: tuple[Grant, Family] | None = self.server.store.find_grant(
            self.request.payload.get("subject_token")
        )
        now = self.server.now()
        if found is None or not _usable(found[1], client, now) or self.server.stopped(*found):
            raise refusal("invalid_request", "The grant is unknown, over, revoked or halted.")
        grant, family = found
        if family.resource != target.uri:
            raise refusal("invalid_target", "The grant is for another server.")
        if self.request.payload.get("spec") not in {"", grant.spec}:
            raise refusal("invalid_request", "The grant is for another spec.")
        return subject_of(self.server, grant, family)


def subject_of(server: Any, grant: Grant, family: Family) -> Subject:
    """Return for whom a grant lets its client act; for a job no longer than a lease."""
    lifetimes, now = server.config.lifetimes, server.now()
    longest = lifetimes.job_s if grant.task_id else lifetimes.exchanged_s
    claims: Claims = server.minter.claims(family, family.scope, now).model_copy(
        update={
            "exp": min(now + longest, family.expires_at),
            "task_id": grant.task_id,
            "run_id": grant.run_id,
        }
    )
    return Subject(claims, durable(family.scope.split()), grant.spec)


def acting(server: Any, client: Client, subject: Subject, scope: str) -> dict[str, Any]:
    """Return the token response for ``client`` acting for a person; recorded as an exchange."""
    actor: dict[str, Any] = {"sub": client.client_id}
    if subject.spec:
        actor["spec"] = subject.spec
    if subject.act is not None:
        actor["act"] = subject.act
    claims = subject.claims.model_copy(update={"scope": scope, "act": actor})
    facts: dict[str, Fact] = {
        "client_id": client.client_id,
        "sid": claims.sid,
        "jti": claims.jti,
        "scope": claims.scope,
        "spec": subject.spec,
        "task_id": claims.task_id,
    }
    body: dict[str, Any] = server.minter.signed(claims, EXCHANGE, facts, server.now())
    return body


def _fresh(held: Claims, now: int, end: int, **changes: str) -> Claims:
    """Return a token's claims under a new id and times; sign-in and family are copied."""
    times = {"iat": now, "nbf": now, "exp": end, "jti": secrets.token_urlsafe(16)}
    return held.model_copy(update={**times, **changes, "authorization_details": None})


def _offered(allowed: tuple[str, ...], target: Resource) -> tuple[str, ...]:
    return durable(scope for scope in allowed if scope in target.scopes)


def _narrowed(allowed: tuple[str, ...], asked: str) -> str:
    """Return the scopes to issue: those asked for, all that is allowed where none is named."""
    wanted = set(asked.split()) or set(allowed)
    if not wanted or not wanted <= set(allowed):
        raise refusal("invalid_scope", "Person, policy and server do not all allow this scope.")
    return " ".join(sorted(wanted))


def _usable(family: Family, client: Client, now: int) -> bool:
    mine = family.client_id == client.client_id
    return mine and family.revoked_at is None and family.expires_at > now


def _depth(act: object) -> int:
    depth = 0
    while isinstance(act, dict) and depth <= DEEPEST:
        depth, act = depth + 1, act.get("act")
    return depth
