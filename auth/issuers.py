"""Tokens of an issuer that somebody else runs, read by a claim map into claims of ours.

Nothing is taken on trust that our own tokens would have to prove: one audience, a listed algorithm
and type, an identity, times. What an external issuer says of people is marked with its name, so
that none of them is ever taken for one of ours.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, StrictInt, ValidationError

from auth.policy import ACR_MFA, ACR_PASSKEY, ACR_PASSWORD
from auth.tokens import (
    MAX_BYTES,
    TYPES,
    Claims,
    Families,
    Keys,
    TokenRefusedError,
    Verifier,
    check_names,
    check_times,
    decode,
)

OUR_NAMES = {1: ACR_PASSWORD, 2: ACR_MFA, 3: ACR_PASSKEY}
"""What a kind of sign-in of this worth is called here."""
OF_ID_TOKENS = frozenset({"nonce", "at_hash", "c_hash"})
"""An ID token tells a client who somebody is; it opens nothing (OpenID Connect Core s.2)."""
_NAMED = ("sub", "client_id", "scope", "jti", "acr", "auth_time")
_FIXED = ("iss", "aud", "iat", "nbf", "exp", "act", "authorization_details")


@dataclass(frozen=True, slots=True)
class ClaimMap:
    """How an external issuer, called ``name`` here, writes what our tokens say.

    ``names`` maps our claims to its own where they differ, ``scopes`` the values of its scope claim
    to our scopes (empty: they are ours), ``levels`` its kinds of sign-in to their worth, 1 to 3.
    ``listed`` tells whether the scope claim is a list. A token counts for ``lifetime_s`` at most.
    """

    name: str
    issuer: str
    algs: tuple[str, ...] = ("RS256",)
    types: frozenset[str] = TYPES
    names: Mapping[str, str] = field(default_factory=dict)
    listed: bool = False
    scopes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    levels: Mapping[str, int] = field(default_factory=dict)
    lifetime_s: int = 300

    def claims(self, raw: Mapping[str, Any], offered: frozenset[str]) -> Claims:
        """Return what ``raw`` says in our words; of its scopes those that are ``offered``.

        A claim that is missing, or of another kind than it must be, raises `TokenRefusedError`.
        """
        if OF_ID_TOKENS & raw.keys():
            raise TokenRefusedError("typ")
        named = {claim: claim for claim in _FIXED} | {n: self.names.get(n, n) for n in _NAMED}
        body = {ours: raw[its] for ours, its in named.items() if raw.get(its) is not None}
        try:
            said = _Said.model_validate(body)
        except ValidationError as error:
            raise TokenRefusedError("claims") from error
        return Claims(
            iss=said.iss,
            sub=self._mine(said.sub),
            aud=said.aud,
            client_id=self._mine(said.client_id),
            scope=" ".join(sorted(self._granted(said.scope) & offered)),
            iat=said.iat,
            nbf=said.iat if said.nbf is None else said.nbf,
            exp=min(said.exp, said.iat + self.lifetime_s),
            jti=self._mine(said.jti),
            sid=self._mine(said.jti),
            acr=OUR_NAMES.get(self._worth(said.acr), ""),
            auth_time=said.auth_time,
            act=self._actor(said),
            authorization_details=said.authorization_details,
        )

    def _mine(self, name: str) -> str:
        return f"{self.name}:{name}"

    def _worth(self, acr: str | list[str]) -> int:
        kinds = [acr] if isinstance(acr, str) else acr
        return max((self.levels.get(kind, 0) for kind in kinds), default=0)

    def _granted(self, value: str | list[str] | None) -> set[str]:
        if value is None:
            return set()
        if isinstance(value, list) != self.listed:
            raise TokenRefusedError("claims")
        values = value if isinstance(value, list) else value.split()
        if not self.scopes:
            return set(values)
        return {scope for one in values for scope in self.scopes.get(one, ())}

    def _actor(self, said: _Said) -> dict[str, Any] | None:
        """Return who acts; a client whose token is about itself is a machine (RFC 9068 s.2.2)."""
        if said.act is not None:
            return {"sub": self._mine(str(said.act.get("sub") or "unknown"))}
        return {"sub": self._mine(said.client_id)} if said.sub == said.client_id else None


class _Said(BaseModel):
    """The claims that are read, under our names."""

    model_config = ConfigDict(frozen=True, strict=True, hide_input_in_errors=True)

    iss: str = Field(min_length=1)
    sub: str = Field(min_length=1, max_length=255)
    aud: str = Field(min_length=1)
    client_id: str = Field(min_length=1, max_length=255)
    scope: str | list[str] | None = None
    iat: StrictInt
    nbf: StrictInt | None = None
    exp: StrictInt
    jti: str = Field(min_length=1, max_length=255)
    acr: str | list[str] = ""
    auth_time: StrictInt = 0
    act: dict[str, Any] | None = None
    authorization_details: list[dict[str, Any]] | None = None


class ExternalVerifier(Verifier):
    """Accepts tokens of one external issuer for one server; nobody tells us of revocations."""

    def __init__(
        self, claim_map: ClaimMap, *, keys: Keys, audience: str, offered: frozenset[str]
    ) -> None:
        super().__init__(
            issuer=claim_map.issuer, keys=keys, resource=audience, families=Families(_never)
        )
        self._map = claim_map
        self._offered = offered

    def read(self, token: str, now: float) -> Claims:
        """Return the claims of a token of this issuer, in our words."""
        raw = decode(token, self._keys, now, algs=self._map.algs, types=self._map.types)
        claims = self._map.claims(raw, self._offered)
        check_names(claims.iss, claims.aud, issuer=self._issuer, audience=self._resource)
        check_times(claims, now)
        return claims

    def alive(self, claims: Claims, now: float) -> bool:
        """Return whether the claims have not expired: there is nothing else to ask."""
        return claims.exp > now

    def still_alive(self, claims: Claims, now: float) -> bool:
        """Return the same."""
        return claims.exp > now


class Trusted:
    """The verifiers of one server, by issuer: each token meets the one that its ``iss`` names."""

    def __init__(self, verifiers: Mapping[str, Verifier]) -> None:
        self._verifiers = dict(verifiers)
        self._only = next(iter(verifiers.values())) if len(verifiers) == 1 else None

    def verify(self, token: str, now: float) -> Claims:
        """Return the claims of an acceptable token, or raise as `Verifier.verify` does."""
        return (self._only or self._of(token)).verify(token, now)

    def recall(self, token: str, now: float) -> Claims | None:
        """Return the claims of a token that was accepted lately, as `Verifier.recall` does."""
        known = (verifier.recall(token, now) for verifier in self._verifiers.values())
        return next((claims for claims in known if claims is not None), None)

    def alive(self, claims: Claims, now: float) -> bool:
        """Return whether what was granted by these claims still stands; may block."""
        return self._verifiers[claims.iss].alive(claims, now)

    def _of(self, token: str) -> Verifier:
        found = self._verifiers.get(issuer_named(token))
        if found is None:
            raise TokenRefusedError("issuer")
        return found


def issuer_named(token: str) -> str:
    """Return the ``iss`` that an unverified token names, empty where none can be read."""
    parts: Sequence[str] = token.split(".") if len(token) <= MAX_BYTES else ()
    if len(parts) != 3:
        return ""
    try:
        body = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (ValueError, RecursionError):
        return ""
    named = body.get("iss") if isinstance(body, dict) else None
    return named if isinstance(named, str) else ""


def _never(sid: str) -> bool:
    del sid
    return False
