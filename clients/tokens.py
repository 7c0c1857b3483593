"""Tokens of the command line: one 0600 file per server in the home's ``secrets/``.

A refresh token works once, and a second use ends the whole grant. So every refresh happens under
the server's file lock, after reading the file again.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from clients.errors import SIGN_IN, abroad, from_body, sign_in
from clients.wire import client, json_of, reaching
from topology.errors import AlphaSwarmError, FaultError
from topology.home import Home, explaining
from topology.services import Face

CLIENT_ID = "alphaswarm-cli"
MARGIN_S = 30
"""A token with less than this left is refreshed before it is used."""


@dataclass(frozen=True, slots=True)
class Grant:
    """What a sign-in at one server gave; ``expires_at`` (seconds) is the access token's."""

    server: str
    audience: str
    issuer: str
    scope: str
    access_token: str = field(repr=False)
    expires_at: float
    refresh_token: str | None = field(default=None, repr=False)
    client_id: str = CLIENT_ID

    def claims(self) -> dict[str, Any]:
        """Return what the access token says, unverified: to show, never to decide."""
        try:
            part = self.access_token.split(".")[1]
            found = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
        except (ValueError, IndexError):
            return {}
        return found if isinstance(found, dict) else {}

    def covers(self, scopes: frozenset[str]) -> bool:
        """Tell whether it holds all of ``scopes``; any scope of a server implies reading."""
        held = set(self.scope.split())
        reads = {f"{scope.partition(':')[0]}:read" for scope in held}
        return scopes <= held | reads


def issuer_of(face: Face) -> str:
    """Return the issuer to ask for a server's tokens; one that is not ours raises an error."""
    if face.foreign:
        raise abroad(face.name, face.issuer)
    return face.issuer


def grant_of(
    face: Face, response: Mapping[str, Any], *, now: float, client_id: str = CLIENT_ID
) -> Grant:
    """Return the grant in a token response for ``face`` (RFC 6749 s.5.1)."""
    try:
        return Grant(
            server=face.name,
            audience=face.audience,
            issuer=face.issuer,
            scope=str(response["scope"]),
            access_token=str(response["access_token"]),
            expires_at=now + float(response["expires_in"]),
            refresh_token=response.get("refresh_token"),
            client_id=client_id,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise from_body(None) from error


class TokenStore:
    """The grants of one home."""

    def __init__(self, home: Home, *, now: Callable[[], float] = time.time) -> None:
        self._home = home
        self.now = now

    def find(self, face: Face) -> Grant | None:
        """Return the grant for exactly this audience and issuer, however old."""
        try:
            data = json.loads((self._home.secrets / _name(face)).read_text(encoding="utf-8"))
            grant = Grant(**data)
        except (OSError, ValueError, TypeError):
            return None
        return grant if (grant.audience, grant.issuer) == (face.audience, face.issuer) else None

    def keep(self, face: Face, grant: Grant) -> None:
        """Store a grant in place of the one before."""
        with self._locked(face):
            self._write(face, grant)

    def forget(self, face: Face) -> Grant | None:
        """Remove the grant and return it."""
        with self._locked(face):
            grant = self.find(face)
            with explaining(self._home.secrets):
                (self._home.secrets / _name(face)).unlink(missing_ok=True)
        return grant

    def access(self, face: Face, scopes: frozenset[str] = frozenset()) -> Grant:
        """Return a grant whose access token still lives, refreshing it where needed.

        Raises ``sign_in_required`` where there is none that covers ``scopes``, or where the issuer
        ended it, and ``unreachable`` where the issuer does not answer.
        """
        grant = self._usable(face, scopes)
        if grant.expires_at - MARGIN_S > self.now():
            return grant
        with self._locked(face):
            grant = self._usable(face, scopes)  # another process may have refreshed it meanwhile
            if grant.expires_at - MARGIN_S > self.now():
                return grant
            return self._refresh(face, grant)

    def _usable(self, face: Face, scopes: frozenset[str]) -> Grant:
        issuer_of(face)
        grant = self.find(face)
        if grant is None:
            raise sign_in(face.name)
        if not grant.covers(scopes):
            raise sign_in(face.name, f"Your sign-in does not cover {' '.join(sorted(scopes))} at")
        return grant

    def _refresh(self, face: Face, grant: Grant) -> Grant:
        try:
            fresh = refreshed(face, grant, now=self.now())
        except AlphaSwarmError as error:
            if error.wire_code == SIGN_IN and grant.refresh_token is not None:
                (self._home.secrets / _name(face)).unlink(missing_ok=True)
            raise
        self._write(face, fresh)
        return fresh

    def _write(self, face: Face, grant: Grant) -> None:
        self._home.write_secret(_name(face), json.dumps(asdict(grant)))

    @contextlib.contextmanager
    def _locked(self, face: Face) -> Iterator[None]:
        path = self._home.secrets / f"{_name(face)}.lock"
        with explaining(path):
            lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)


def refreshed(face: Face, grant: Grant, *, now: float) -> Grant:
    """Return the grant that a refresh token leads to; it works once.

    Raises ``sign_in_required`` where there is none, or where the issuer ended the grant.
    """
    if grant.refresh_token is None:
        raise sign_in(face.name, "Your sign-in has ended at")
    fields = {
        "grant_type": "refresh_token",
        "client_id": grant.client_id,
        "refresh_token": grant.refresh_token,
        "resource": face.audience,
    }
    try:
        response = token_request(face.issuer, fields)
    except AlphaSwarmError as error:
        if error.wire_code != "invalid_grant":
            raise
        raise sign_in(face.name, "Your sign-in has ended at") from None
    return grant_of(face, response, now=now, client_id=grant.client_id)


def token_request(issuer: str, fields: Mapping[str, str]) -> dict[str, Any]:
    """POST to the token endpoint; an OAuth error is raised with its own code."""
    with reaching("The issuer"), client(issuer) as wire:
        response = wire.post(f"{issuer}/token", data=dict(fields))
    body = json_of(response)
    if response.status_code == 200 and isinstance(body, dict):
        return body
    raise oauth_error(body)


def revoke(grant: Grant) -> None:
    """End a grant at its issuer, access tokens included (RFC 7009)."""
    token = grant.refresh_token or grant.access_token
    with reaching("The issuer"), client(grant.issuer) as wire:
        wire.post(f"{grant.issuer}/revoke", data={"token": token, "client_id": grant.client_id})


def oauth_error(body: object) -> AlphaSwarmError:
    """Return the error for an OAuth error object ``{error, error_description}``."""
    if not isinstance(body, Mapping) or not isinstance(body.get("error"), str):
        return from_body(None)
    code = str(body["error"])
    if code == "temporarily_unavailable":
        return FaultError(
            "The issuer cannot answer now.",
            hint="Try again in a moment; `alphaswarm doctor` shows what is wrong.",
            code="store_unreachable",
        )
    text = str(body.get("error_description") or code)
    return AlphaSwarmError(text, hint="Sign in again with `alphaswarm login`.", code=code)


def _name(face: Face) -> str:
    return f"token-{face.name}.json"
