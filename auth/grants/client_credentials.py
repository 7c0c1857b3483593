"""Client credentials (RFC 6749 s.4.4): a confidential client on its own behalf, for one server.

Such a token speaks of a machine, ``client:NAME``, and says so by ``act``: no rule takes it for a
person.
"""

from __future__ import annotations

import secrets
from typing import Any

from authlib.oauth2.rfc6749 import BaseGrant, TokenEndpointMixin

from auth.audit import ISSUE, family_facts
from auth.clients import CLIENT_CREDENTIALS, SIGNED, Client
from auth.policy import durable
from auth.resource import scopes_for
from auth.store import Family
from auth.wire import NO_STORE, refusal


class CredentialsGrant(BaseGrant, TokenEndpointMixin):  # type: ignore[misc]  # authlib has no types
    """The grant of a client that proves itself by a signature; ``resource`` is required."""

    GRANT_TYPE = CLIENT_CREDENTIALS
    TOKEN_ENDPOINT_AUTH_METHODS = (SIGNED,)

    def validate_token_request(self) -> None:
        """Check client, target and scope."""
        client: Client = self.authenticate_token_endpoint_client()
        if not client.check_grant_type(self.GRANT_TYPE):
            raise refusal("unauthorized_client", "This client has nothing of its own.")
        self.request.client = client
        payload = self.request.payload
        resource = self.server.resources.find(payload.datalist.get("resource", []))
        scope = scopes_for(resource, payload.get("scope"))
        if not set(scope.split()) <= set(durable(client.scopes)):
            raise refusal("invalid_scope", "This client does not have that scope.")
        self.request.resource, self._scope = resource.uri, scope

    def create_token_response(self) -> tuple[int, dict[str, Any], list[tuple[str, str]]]:
        """Return the token response; no refresh token (RFC 6749 s.4.4.3)."""
        now, client = self.server.now(), self.request.client
        family = Family(
            sid=secrets.token_urlsafe(16),
            username=f"client:{client.client_id}",
            client_id=client.client_id,
            resource=self.request.resource,
            scope=self._scope,
            acr="",
            auth_time=0,
            created_at=now,
            expires_at=now + self.server.config.lifetimes.access_s,
        )
        self.server.store.add_family(family, None)
        claims = self.server.minter.claims(family, self._scope, now)
        claims = claims.model_copy(update={"act": {"sub": client.client_id}})
        facts = family_facts(family, jti=claims.jti, issued_scope=self._scope)
        return 200, self.server.minter.signed(claims, ISSUE, facts, now), list(NO_STORE)
