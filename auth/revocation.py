"""Revocation (RFC 7009): either token of a family ends the family."""

from __future__ import annotations

from typing import Any

from authlib.oauth2.rfc7009 import RevocationEndpoint

from auth.audit import REVOKE
from auth.clients import AUTH_METHODS, Client
from auth.grants.refresh import Held
from auth.issue import REFRESH_PREFIX
from auth.store import Family, Refresh, digest
from auth.tokens import TokenRefusedError, read_claims
from auth.wire import Request, refusal


class Revocation(RevocationEndpoint):  # type: ignore[misc]  # authlib has no types
    """The hint is ignored (RFC 7009 s.2.1 allows it); an unknown token is answered with 200."""

    CLIENT_AUTH_METHODS = AUTH_METHODS

    def check_params(self, request: Request, client: Client) -> None:
        """Refuse a request without a token."""
        if not request.payload.get("token"):
            raise refusal("invalid_request", "token is required.")

    def query_token(self, token_string: str, token_type_hint: str | None) -> Held | None:
        """Return the family of a refresh token, or of an access token that we signed."""
        family = self._family(token_string)
        return Held(Refresh("", family.sid, 0), family) if family else None

    def revoke_token(self, token: Held, request: Request) -> None:
        """Revoke the family."""
        self.server.revoke(token.family, REVOKE)

    def _family(self, token: str) -> Family | None:
        if token.startswith(REFRESH_PREFIX):
            found: tuple[Any, Family] | None = self.server.store.find_refresh(digest(token))
            return found[1] if found else None
        try:
            claims = read_claims(token, self.server.keys.public, self.server.now())
        except TokenRefusedError:
            return None
        family: Family | None = self.server.store.find_family(claims.sid)
        return family
