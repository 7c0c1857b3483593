"""Authorization code: bound to client, redirect URI, resource and PKCE, and used once."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Any

from authlib.oauth2.rfc6749 import AuthorizationCodeMixin
from authlib.oauth2.rfc6749.grants import AuthorizationCodeGrant

from auth.audit import REPLAY
from auth.clients import AUTH_METHODS, Client
from auth.issue import may_refresh
from auth.store import Code, Family, digest
from auth.wire import Request, refusal


@dataclass(frozen=True, slots=True)
class Issued(AuthorizationCodeMixin):  # type: ignore[misc]  # authlib has no types
    """A stored code with its family, as authlib asks for it."""

    code: Code
    family: Family

    @property
    def code_challenge(self) -> str:
        """The S256 challenge of the authorization request."""
        return self.code.code_challenge

    def get_redirect_uri(self) -> str:
        """Return the redirect URI of the authorization request."""
        return self.code.redirect_uri

    def get_scope(self) -> str:
        """Return the granted scope."""
        return self.family.scope


class CodeGrant(AuthorizationCodeGrant):  # type: ignore[misc]  # authlib has no types
    """RFC 6749 s.4.1 as OAuth 2.1 and RFC 9700 tighten it."""

    TOKEN_ENDPOINT_AUTH_METHODS = AUTH_METHODS
    _refresh_token: str | None = None

    @staticmethod
    def validate_authorization_redirect_uri(request: Request, client: Client) -> str:
        """Return the redirect URI if it was sent and is the client's."""
        uri = request.payload.get("redirect_uri")
        if not uri:
            raise refusal("invalid_request", "redirect_uri is required.")
        if not client.check_redirect_uri(uri):
            raise refusal("invalid_request", "redirect_uri is not registered for this client.")
        return uri

    def generate_authorization_code(self) -> str:
        """Return 256 random bits."""
        return secrets.token_urlsafe(32)

    def save_authorization_code(self, code: str, request: Request) -> None:
        """Store the family of this sign-in and its code."""
        self.server.save_code(code, request)

    def query_authorization_code(self, code: str, client: Client) -> Issued | None:
        """Return the code if it is this client's; a used one too, so that a replay is noticed."""
        found = self.server.store.find_code(digest(code))
        if found is None or found[1].client_id != client.client_id:
            return None
        issued = Issued(*found)
        expired = issued.code.expires_at <= self.server.now()
        return None if expired and issued.code.used_at is None else issued

    def validate_token_request(self) -> None:
        """Check everything, PKCE included, and only then use the code up.

        Of parallel redemptions one wins; any other revokes the family (RFC 6749 s.4.1.2).
        """
        super().validate_token_request()
        issued: Issued = self.request.authorization_code
        self.server.resources.check_same(self.request.payload, issued.family.resource)
        row = None
        if may_refresh(issued.family, self.request.client.grant_types):
            self._refresh_token, row = self.server.minter.refresh(issued.family, self.server.now())
        if not self.server.store.consume_code(issued.code.code_hash, row, now=self.server.now()):
            self.server.revoke(issued.family, REPLAY)
            raise refusal("invalid_grant", "The code was used before.")

    def authenticate_user(self, authorization_code: Issued) -> str:
        """Return the person who signed in."""
        return authorization_code.family.username

    def generate_token(self, **_: Any) -> dict[str, Any]:
        """Return the token response."""
        family: Family = self.request.authorization_code.family
        minter = self.server.minter
        answer: dict[str, Any] = minter.response(
            family, family.scope, self._refresh_token, self.server.now()
        )
        return answer

    def delete_authorization_code(self, authorization_code: Issued) -> None:
        """Do nothing: the code was used up before the token was made, and its row is kept."""
