"""Access tokens: minted for exactly one audience, and verified by somebody who trusts nothing.

RFC 9068 tokens signed with ES256. Stock verifiers take tokens without ``exp``, ID tokens, several
audiences; this one refuses whatever it was not told to accept.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Sequence
from typing import Any
from urllib.parse import urlsplit

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, GuestProtocol, RSAKey
from pydantic import BaseModel, ConfigDict, Field, StrictInt, ValidationError

from auth.binding import bound_to
from auth.policy import CLOCK_SKEW_S
from topology.errors import RefusedError
from topology.principal import Principal

ALGORITHM = "ES256"
TYPES = frozenset({"at+jwt", "application/at+jwt"})
MAX_BYTES = 8192
MAX_LIFETIME_S = 900
SIGNATURE_CACHE_S = 30.0
FAMILY_CACHE_S = 1.0
_CACHE_ENTRIES = 4096
_OF_JOBS = frozenset({"task_id", "run_id"})

Key = ECKey | RSAKey
Keys = Callable[[str, float], Key | None]
"""Return the public key of a kid at a time (seconds since the epoch), or None."""


class TokenRefusedError(RefusedError):
    """A token that is not accepted here; ``reason`` is for logs and tests, never for the wire."""

    code = "invalid_token"

    def __init__(self, reason: str) -> None:
        super().__init__("The access token is not valid here.", hint="Sign in again.")
        self.reason = reason


class Claims(BaseModel):
    """The claims of one access token (RFC 9068 s.2.2); ``sid`` names its grant family."""

    model_config = ConfigDict(frozen=True, strict=True, hide_input_in_errors=True)

    iss: str = Field(min_length=1)
    sub: str = Field(min_length=1)
    aud: str = Field(min_length=1)
    client_id: str = Field(min_length=1)
    scope: str
    iat: StrictInt
    nbf: StrictInt
    exp: StrictInt
    jti: str = Field(min_length=1)
    sid: str = Field(min_length=1)
    acr: str = ""
    auth_time: StrictInt = 0
    amr: tuple[str, ...] = Field(default=(), strict=False)
    act: dict[str, Any] | None = None
    task_id: str = ""
    run_id: str = ""
    authorization_details: list[dict[str, Any]] | None = None

    def principal(self) -> Principal:
        """Return the caller these claims speak of; an ``act`` without a name is an agent too."""
        actor = None if self.act is None else str(self.act.get("sub") or "unknown")
        return Principal(
            subject=self.sub,
            client_id=self.client_id,
            scopes=frozenset(self.scope.split()),
            actor=actor,
            acr=self.acr,
            auth_time=self.auth_time,
            jti=self.jti,
            sid=self.sid,
            bound=bound_to(self.authorization_details),
            task_id=self.task_id,
            run_id=self.run_id,
        )


def canonical_resource(resource: str) -> str:
    """Return a resource URI with lower-case scheme and host, no default port and no bare ``/``.

    Nothing more is changed (RFC 8707 s.2). A relative URI, another scheme than http or https, a
    fragment, a query, user information or characters outside visible ASCII raise ValueError.
    """
    parts = urlsplit(resource)
    plain = resource.isascii() and resource.isprintable() and " " not in resource
    refused = "#" in resource or "?" in resource or "@" in parts.netloc
    if not plain or refused or parts.scheme not in {"http", "https"} or not parts.hostname:
        msg = "A resource is an absolute http or https URI without query, fragment or user."
        raise ValueError(msg)
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    default = {"http": 80, "https": 443}[parts.scheme]
    port = "" if parts.port in {None, default} else f":{parts.port}"
    return f"{parts.scheme}://{host}{port}{'' if parts.path == '/' else parts.path}"


def mint(claims: Claims, key: ECKey) -> str:
    """Sign claims with a private key that knows its ``kid``; claims of nobody are left out."""
    header = {"alg": ALGORITHM, "typ": "at+jwt", "kid": key.kid}
    body = claims.model_dump(mode="json", exclude_none=True)
    body = {name: value for name, value in body.items() if value or name not in _OF_JOBS}
    return jwt.encode(header, body, key, algorithms=[ALGORITHM])


class Families:
    """Whether grant families live, read from the store and remembered for under a second."""

    def __init__(self, read: Callable[[str], bool]) -> None:
        self._read = read
        self._seen: dict[str, tuple[bool, float]] = {}

    def recall(self, sid: str, now: float) -> bool | None:
        """Return what is known without asking the store, or None when it is too old."""
        alive, at = self._seen.get(sid, (False, float("-inf")))
        return alive if 0 <= now - at < FAMILY_CACHE_S else None

    def alive(self, sid: str, now: float) -> bool:
        """Return whether the family lives; an unreachable store raises, it never means yes."""
        known = self.recall(sid, now)
        if known is None:
            known = self._read(sid)
            _remember(self._seen, sid, (known, now))
        return known


class Verifier:
    """Accepts tokens of one issuer for one resource and nothing else.

    ``resource`` is compared byte for byte; `families` is shared by all verifiers of a process.
    """

    def __init__(self, *, issuer: str, keys: Keys, resource: str, families: Families) -> None:
        self._issuer = issuer
        self._keys = keys
        self._resource = resource
        self._families = families
        self._checked: dict[bytes, tuple[Claims, float]] = {}

    def verify(self, token: str, now: float) -> Claims:
        """Return the claims of an acceptable token at ``now``, or raise `TokenRefusedError`.

        Expiry has no leeway, ``iat`` and ``nbf`` have 30 s. A checked signature is remembered for
        30 s, never past ``exp``. A store that does not answer raises `StoreUnreachableError`.
        """
        claims = self._recall(token, now)
        if claims is None:
            claims = self.read(token, now)
            _remember(self._checked, _fingerprint(token), (claims, now))
        if not self.alive(claims, now):
            raise TokenRefusedError("revoked")
        return claims

    def recall(self, token: str, now: float) -> Claims | None:
        """Return the claims if that takes neither a signature check nor the store, else None.

        None is no verdict: call `verify`, which may block, in a thread.
        """
        claims = self._recall(token, now)
        return claims if claims and self.still_alive(claims, now) else None

    def alive(self, claims: Claims, now: float) -> bool:
        """Return whether what was granted by these claims still stands; may block."""
        return self._families.alive(claims.sid, now)

    def still_alive(self, claims: Claims, now: float) -> bool:
        """Return the same where that is known without asking anybody, else False."""
        return self._families.recall(claims.sid, now) or False

    def _recall(self, token: str, now: float) -> Claims | None:
        claims, at = self._checked.get(_fingerprint(token), (None, 0.0))
        if claims is None or claims.exp <= now or not 0 <= now - at < SIGNATURE_CACHE_S:
            return None
        return claims

    def read(self, token: str, now: float) -> Claims:
        """Return the claims of a token of this issuer for this resource at this time."""
        claims = read_claims(token, self._keys, now)
        check_names(claims.iss, claims.aud, issuer=self._issuer, audience=self._resource)
        check_times(claims, now)
        if claims.exp - claims.iat > MAX_LIFETIME_S:
            raise TokenRefusedError("lifetime")
        return claims


def read_claims(token: str, keys: Keys, now: float) -> Claims:
    """Return the claims of a token whose signature, type and shape are right, and only that.

    Neither issuer, audience, times nor family are looked at. Anything else raises
    `TokenRefusedError`.
    """
    body = decode(token, keys, now, algs=(ALGORITHM,), types=TYPES)
    try:
        return Claims.model_validate(body)
    except ValidationError as error:
        raise TokenRefusedError("claims") from error


def decode(
    token: str, keys: Keys, now: float, *, algs: Sequence[str], types: Collection[str]
) -> dict[str, Any]:
    """Return what a token says whose signature and type are right, and nothing of it checked.

    The key is chosen by ``kid`` among ours, never taken from the header. A token that asks for a
    proof of possession (``cnf``) and anything else raise `TokenRefusedError`.
    """
    if len(token) > MAX_BYTES:
        raise TokenRefusedError("size")

    def key_of(signed: GuestProtocol) -> Key:
        kid = signed.headers().get("kid")
        key = keys(kid, now) if isinstance(kid, str) else None
        if key is None:
            raise TokenRefusedError("kid")
        return key

    try:
        decoded = jwt.decode(token, key_of, algorithms=list(algs))
        if decoded.header.get("typ") not in types:
            raise TokenRefusedError("typ")
        if "cnf" in decoded.claims:
            raise TokenRefusedError("cnf")
        return dict(decoded.claims)
    except (JoseError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise TokenRefusedError("signature") from error


def check_names(iss: str, aud: str, *, issuer: str, audience: str) -> None:
    """Raise `TokenRefusedError` unless issuer and audience are these, byte for byte."""
    if iss != issuer:
        raise TokenRefusedError("issuer")
    if aud != audience:
        raise TokenRefusedError("audience")


def check_times(claims: Claims, now: float) -> None:
    """Raise `TokenRefusedError` for an expired token, or one from the future (30 s pass)."""
    if claims.exp <= now:
        raise TokenRefusedError("expired")
    if max(claims.iat, claims.nbf, claims.auth_time) > now + CLOCK_SKEW_S:
        raise TokenRefusedError("not yet valid")


def _fingerprint(token: str) -> bytes:
    return hashlib.sha256(token.encode(errors="surrogatepass")).digest()


def _remember(cache: dict[Any, Any], key: Any, value: Any) -> None:
    if len(cache) >= _CACHE_ENTRIES:
        cache.clear()
    cache[key] = value
