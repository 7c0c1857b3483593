"""From an ``Authorization`` header to a verified caller, by our own verifier and nothing else."""

from __future__ import annotations

from functools import partial
from typing import Any, Protocol

import anyio.to_thread
from fastmcp.server.auth import AccessToken, AuthProvider
from mcp.server.auth.middleware.auth_context import AuthContextMiddleware
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from pydantic import Field
from starlette.authentication import AuthCredentials, AuthenticationBackend, AuthenticationError
from starlette.middleware import Middleware
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse, Response

from auth.tokens import Claims, TokenRefusedError
from servers.actions import Actions
from servers.answers import plain
from topology.clock import Clock
from topology.errors import AlphaSwarmError, BadInputError, StoreUnreachableError
from topology.principal import Principal


class VerifiedToken(AccessToken):
    """An access token that our verifier accepted, with the caller it speaks of."""

    token: str = Field(repr=False)
    principal: Principal


class Judge(Protocol):
    """What checks the tokens of one audience; see `auth.tokens.Verifier`."""

    def verify(self, token: str, now: float) -> Claims:
        """Return the claims of an acceptable token, or raise `TokenRefusedError`; may block."""

    def recall(self, token: str, now: float) -> Claims | None:
        """Return the same where that is known already."""

    def alive(self, claims: Claims, now: float) -> bool:
        """Return whether what was granted by these claims still stands; may block."""


class Bearer:
    """The tokens of one audience; ``actions`` is where bound ones are used up."""

    def __init__(self, verifier: Judge, clock: Clock, actions: Actions) -> None:
        self._verifier = verifier
        self.actions = actions
        self._clock = clock

    async def claims(self, token: str) -> Claims | None:
        """Return the claims of an acceptable token, or None.

        A signature check, and a look at whether the grant lives, may take a thread; a token seen
        within the last second takes neither. A store that does not answer raises
        `StoreUnreachableError`: it never means yes.
        """
        now = self._clock.now().timestamp()
        known = self._verifier.recall(token, now)
        if known is not None:
            return known
        try:
            return await anyio.to_thread.run_sync(partial(self._verifier.verify, token, now))
        except TokenRefusedError:
            return None

    async def alive(self, claims: Claims) -> bool:
        """Return whether claims that were accepted still stand; may take a thread."""
        now = self._clock.now().timestamp()
        return await anyio.to_thread.run_sync(partial(self._verifier.alive, claims, now))


def bearer_token(connection: HTTPConnection) -> str | None:
    """Return the bearer token of a request, or None; two such headers are refused.

    Two headers are two readings: which of them was judged would depend on the reader.
    """
    headers = connection.headers.getlist("authorization")
    if len(headers) > 1:
        raise BadInputError(
            "The request has more than one Authorization header.", hint="Send exactly one."
        )
    scheme, _, token = headers[0].partition(" ") if headers else ("", "", "")
    return token.strip() if scheme.lower() == "bearer" and token.strip() else None


def problem(error: AlphaSwarmError) -> Response:
    """Return 503 for a store that does not answer, 400 for a request that cannot be read."""
    status = 503 if isinstance(error, StoreUnreachableError) else 400
    return JSONResponse(plain(error), status, headers={"cache-control": "no-store"})


class BearerBackend(AuthenticationBackend):
    """Starlette's door to `Bearer`."""

    def __init__(self, bearer: Bearer) -> None:
        self._bearer = bearer

    async def authenticate(
        self, conn: HTTPConnection
    ) -> tuple[AuthCredentials, AuthenticatedUser] | None:
        """Return who calls, or None where no acceptable token came."""
        try:
            token = bearer_token(conn)
            claims = await self._bearer.claims(token) if token else None
        except (BadInputError, StoreUnreachableError) as error:
            raise AuthenticationError(error) from error
        if token is None or claims is None:
            return None
        return AuthCredentials(claims.scope.split()), AuthenticatedUser(_access(token, claims))


class Audience(AuthProvider):
    """What FastMCP asks about tokens; routes and challenges are the gate's."""

    def __init__(self, bearer: Bearer) -> None:
        super().__init__()
        self._bearer = bearer

    async def verify_token(self, token: str) -> AccessToken | None:
        """Return an acceptable token, or None."""
        claims = await self._bearer.claims(token)
        return None if claims is None else _access(token, claims)

    def get_middleware(self) -> list[Any]:
        """Return authentication by `Bearer`, then the library's own context."""
        return [
            Middleware(
                AuthenticationMiddleware, backend=BearerBackend(self._bearer), on_error=_on_error
            ),
            Middleware(AuthContextMiddleware),
        ]


def _access(token: str, claims: Claims) -> VerifiedToken:
    return VerifiedToken(
        token=token,
        client_id=claims.client_id,
        scopes=claims.scope.split(),
        expires_at=claims.exp,
        resource=claims.aud,
        subject=claims.sub,
        claims={"iss": claims.iss, "sub": claims.sub, "sid": claims.sid},
        principal=claims.principal(),
    )


def _on_error(connection: HTTPConnection, error: AuthenticationError) -> Response:
    del connection
    cause = error.__cause__
    return problem(cause if isinstance(cause, AlphaSwarmError) else BadInputError(str(error)))
