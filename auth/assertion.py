"""Clients that prove themselves by a signature (private_key_jwt, RFC 7523 s.2.2 and s.3).

The assertion is ES256 with a key of the client, for this issuer alone, lives at most five minutes
and works once.
"""

from __future__ import annotations

from typing import Any

from authlib.oauth2.rfc6749 import InvalidClientError
from authlib.oauth2.rfc7523 import JWTBearerClientAssertion
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from auth.clients import SIGNED, Client
from auth.policy import CLOCK_SKEW_S
from auth.store import digest
from auth.tokens import ALGORITHM, MAX_BYTES
from auth.wire import Request

LONGEST_S = 300
_LONGEST_ID = 128


class SignedAssertion(JWTBearerClientAssertion):  # type: ignore[misc]  # authlib has no types
    """The client authentication method ``private_key_jwt``; ``issuer`` is our issuer object."""

    CLIENT_AUTH_METHOD = SIGNED

    def __init__(self, issuer: Any) -> None:
        super().__init__()
        self._issuer = issuer

    def __call__(self, query_client: Any, request: Request) -> Client | None:
        """Return the client of a good assertion, None where there is none in the request."""
        if len(request.payload.get("client_assertion")) > MAX_BYTES:
            raise _refused("The assertion is too long.")
        client: Client | None = super().__call__(query_client, request)
        named = request.payload.get("client_id")
        if client is not None and named not in {"", client.client_id}:
            raise _refused("client_id names another client than the assertion.")
        return client

    def resolve_client_public_key(self, client: Client) -> KeySet:
        """Return the keys of a client; a public one has none and cannot sign."""
        if not client.keys:
            raise _refused("This client has no keys.")
        return KeySet.import_key_set({"keys": [dict(key) for key in client.keys]})

    def process_assertion_claims(self, assertion: str, resolve_key: KeySet) -> dict[str, Any]:
        """Return the claims of an assertion whose signature and every claim are right."""
        try:
            token = jwt.decode(assertion, resolve_key, algorithms=[ALGORITHM])
        except (JoseError, ValueError, TypeError, KeyError) as error:
            raise _refused("The assertion is not signed by this client.") from error
        claims: dict[str, Any] = token.claims
        self._check(claims)
        until = int(claims["exp"]) + CLOCK_SKEW_S
        once = digest(f"{claims['sub']} {claims['jti']}")
        if not self._issuer.store.use_once(f"assertion:{once}", until=until):
            raise _refused("The assertion was used before.")
        return claims

    def _check(self, claims: dict[str, Any]) -> None:
        now, end, begin = self._issuer.now(), claims.get("exp"), claims.get("nbf", 0)
        if claims.get("iss") != claims.get("sub"):
            raise _refused("Issuer and subject of an assertion are the client.")
        if claims.get("aud") not in (self._issuer.config.issuer, [self._issuer.config.issuer]):
            raise _refused("The assertion is for another server.")
        if not _seconds(end) or not _seconds(begin):
            raise _refused("The assertion has no end.")
        if not now < end <= now + LONGEST_S + CLOCK_SKEW_S or begin > now + CLOCK_SKEW_S:
            raise _refused("The assertion is over, not yet good, or lives too long.")
        name = claims.get("jti")
        if not isinstance(name, str) or not 0 < len(name) <= _LONGEST_ID:
            raise _refused("The assertion has no usable jti.")


def _seconds(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _refused(text: str) -> InvalidClientError:
    return InvalidClientError(description=text, status_code=401)
