"""Token responses: the access token of a grant family, and the refresh token that follows it."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Any

from auth.audit import ISSUE, Fact, Sink, family_facts
from auth.binding import TYPE
from auth.config import IssuerConfig
from auth.keys import KeyRing
from auth.policy import durable
from auth.store import Family, Refresh, digest
from auth.tokens import Claims, mint

REFRESH_PREFIX = "asw_rt_"


@dataclass(frozen=True, slots=True)
class Minter:
    """Signs access tokens and records every one of them."""

    config: IssuerConfig
    keys: KeyRing
    audit: Sink

    def response(
        self, family: Family, scope: str, refresh_token: str | None, now: int
    ) -> dict[str, Any]:
        """Return the token response (RFC 6749 s.5.1) of a family for ``scope``.

        The access token never outlives the family. ``acr`` and ``auth_time`` are copied from the
        sign-in, never renewed (RFC 9068 s.2.2.1).
        """
        claims = self.claims(family, scope, now)
        facts = family_facts(family, jti=claims.jti, issued_scope=scope)
        body = self.signed(claims, ISSUE, facts, now)
        return body if refresh_token is None else {**body, "refresh_token": refresh_token}

    def signed(
        self, claims: Claims, action: str, facts: dict[str, Fact], now: int
    ) -> dict[str, Any]:
        """Sign claims, record that as ``action``, and return the token response."""
        token = mint(claims, self.keys.current(now))
        self.audit(actor=claims.sub, action=action, target=claims.aud, decision="done", facts=facts)
        return {
            "access_token": token,
            "token_type": "Bearer",
            "expires_in": claims.exp - now,
            "scope": claims.scope,
        }

    def refresh(self, family: Family, now: int) -> tuple[str, Refresh]:
        """Return a new refresh token and its row; it never outlives the family."""
        token = REFRESH_PREFIX + secrets.token_urlsafe(32)
        end = min(now + self.config.lifetimes.refresh_s, family.expires_at)
        return token, Refresh(digest(token), family.sid, end)

    def claims(self, family: Family, scope: str, now: int) -> Claims:
        """Return the claims of a family's token for ``scope``."""
        return Claims(
            iss=self.config.issuer,
            sub=family.username,
            aud=family.resource,
            client_id=family.client_id,
            scope=scope,
            iat=now,
            nbf=now,
            exp=min(now + self.config.lifetimes.access_s, family.expires_at),
            jti=secrets.token_urlsafe(16),
            sid=family.sid,
            acr=family.acr,
            auth_time=family.auth_time,
            amr=tuple(family.amr.split()),
            authorization_details=(
                [{"type": TYPE, "action_sha256": family.action}] if family.action else None
            ),
        )


def may_refresh(family: Family, grant_types: tuple[str, ...]) -> bool:
    """Tell whether a family gets refresh tokens: its client uses them and a scope outlives it."""
    return "refresh_token" in grant_types and bool(durable(family.scope.split()))
