"""Refresh: every token is used once, and a second use ends the whole family (RFC 9700 s.4.14)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from authlib.oauth2.rfc6749 import TokenMixin
from authlib.oauth2.rfc6749.grants import RefreshTokenGrant

from auth.audit import REPLAY
from auth.clients import AUTH_METHODS, Client
from auth.policy import durable
from auth.store import Family, Refresh, digest
from auth.wire import refusal

CHALLENGED_S = 120
"""How long after a challenge a refresh is taken for an answer to it."""


@dataclass(frozen=True, slots=True)
class Held(TokenMixin):  # type: ignore[misc]  # authlib has no types
    """A stored refresh token with its family, as authlib asks for it."""

    refresh: Refresh
    family: Family

    def check_client(self, client: Client) -> bool:
        """Tell whether the token was issued to this client."""
        return self.family.client_id == client.client_id

    def get_scope(self) -> str:
        """Return what a refresh may carry: the grant without its step-up scopes."""
        return " ".join(durable(self.family.scope.split()))


class RefreshGrant(RefreshTokenGrant):  # type: ignore[misc]  # authlib has no types
    """RFC 6749 s.6 with rotation, an absolute lifetime and no grace window."""

    TOKEN_ENDPOINT_AUTH_METHODS = AUTH_METHODS
    INCLUDE_NEW_REFRESH_TOKEN = True
    _successor = ""

    def authenticate_refresh_token(self, refresh_token: str) -> Held | None:
        """Return the token if it may still be used by this client; a replay revokes its family."""
        found = self.server.store.find_refresh(digest(refresh_token))
        if found is None or found[1].client_id != self.request.client.client_id:
            return None
        held, now = Held(*found), self.server.now()
        if self._challenged(held.family, now):
            return None
        if held.refresh.used_at is not None:
            self.server.revoke(held.family, REPLAY)
            return None
        dead = held.family.revoked_at is not None
        over = min(held.refresh.expires_at, held.family.expires_at) <= now
        return None if dead or over else held

    def _challenged(self, family: Family, now: int) -> bool:
        """Tell whether a server has just asked for a stronger sign-in, and forget that.

        Such a client gets ``invalid_grant`` once, which sends it to the sign-in page; the token
        stays good. Our own command line knows better and is not sent anywhere.
        """
        if family.client_id == self.server.config.local_client:
            return False
        about = (family.username, family.client_id, family.resource)
        found: bool = self.server.store.take_challenge(*about, since=now - CHALLENGED_S)
        return found

    def validate_token_request(self) -> None:
        """Check everything and only then rotate; the loser of a race ends the family."""
        super().validate_token_request()
        held: Held = self.request.refresh_token
        self.server.resources.check_same(self.request.payload, held.family.resource)
        now = self.server.now()
        self._successor, row = self.server.minter.refresh(held.family, now)
        if not self.server.store.rotate_refresh(held.refresh.token_hash, row, now=now):
            self.server.revoke(held.family, REPLAY)
            raise refusal("invalid_grant", "The refresh token was used before.")

    def authenticate_user(self, refresh_token: Held) -> str:
        """Return the person who signed in."""
        return refresh_token.family.username

    def issue_token(self, user: str, refresh_token: Held) -> dict[str, Any]:
        """Return the token response; a narrower scope narrows this access token only."""
        asked = self.request.payload.scope
        scope = " ".join(sorted(set(asked.split()))) if asked else refresh_token.get_scope()
        minter = self.server.minter
        answer: dict[str, Any] = minter.response(
            refresh_token.family, scope, self._successor, self.server.now()
        )
        return answer

    def revoke_old_credential(self, refresh_token: Held) -> None:
        """Do nothing: the old token was used up before the new one was made."""
