"""One server behind a bridge: a session for every request, and what went wrong with each as ours.

The requests of a client overlap and share one transport, so what was refused is kept by request and
not by session.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import anyio
import httpx2
import mcp_types as mt
from fastmcp.client.transports import StreamableHttpTransport
from fastmcp.server.dependencies import get_context
from fastmcp.server.providers.proxy import ProxyClient
from mcp import MCPError
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from clients.errors import unreachable
from clients.session.calls import Bearer, Tokens, http_factory, protocol_error
from clients.session.entering import Entrance
from topology.errors import AlphaSwarmError
from topology.services import Face

_log = logging.getLogger(__name__)
_BROKEN = (
    httpx2.HTTPError,
    RuntimeError,
    OSError,
    anyio.ClosedResourceError,
    anyio.BrokenResourceError,
    anyio.EndOfStream,
)


@dataclass(slots=True)
class Exchange:
    """One request: the token that it must use, if not the stored one, and what was refused."""

    token: str | None = None
    refused: AlphaSwarmError | None = None


_exchange: ContextVar[Exchange | None] = ContextVar("exchange", default=None)


class Relay:
    """A server as the bridge sees it."""

    def __init__(self, face: Face, tokens: Tokens, entrance: Entrance | None = None) -> None:
        self.face = face
        self._entrance = entrance
        self._tokens = tokens
        bearer = _SharedBearer(face.name, self._token)
        transport = StreamableHttpTransport(
            face.url, auth=bearer, httpx_client_factory=http_factory(face.url)
        )
        plain: dict[str, Any] = {"roots": None, "sampling_handler": None}
        self._asking = ProxyClient(transport, **plain)
        self._mute = ProxyClient(transport, **plain, elicitation_handler=None)

    def client(self) -> ProxyClient[StreamableHttpTransport]:
        """Return a client for one request, of the era that its sender speaks.

        It offers to ask the person only where the sender does: the server answers accordingly.
        """
        context = get_context()
        offered, request = context.session.client_capabilities, context.request_context
        asks = offered is not None and offered.elicitation is not None
        fresh = (self._asking if asks else self._mute).new()
        version = request.protocol_version if request is not None else ""
        fresh.mode = version if version in MODERN_PROTOCOL_VERSIONS else "legacy"
        return fresh

    @contextlib.asynccontextmanager
    async def session(self) -> AsyncIterator[Any]:
        """Open a session, as `exchange` does."""
        with self.exchange():
            await self.checked()
            async with self.client() as client:
                yield client

    @contextlib.contextmanager
    def exchange(self, token: str | None = None) -> Iterator[None]:
        """Turn what a request raises into our errors; what the gate refused comes first.

        ``token`` is used instead of the stored sign-in. What the server itself answers stays the
        `MCPError` that it is.
        """
        opened = Exchange(token)
        mark = _exchange.set(opened)
        try:
            yield
        except MCPError as error:
            if opened.refused is None and error.error.code != httpx2.codes.REQUEST_TIMEOUT:
                raise
            raise self._said(opened.refused or protocol_error(error, self.face)) from error
        except _BROKEN as error:
            raise self._said(opened.refused or self._silent()) from error
        finally:
            _exchange.reset(mark)

    async def checked(self) -> None:
        """Raise ``sign_in_required`` before anything is dialled without a sign-in."""
        await asyncio.to_thread(self._tokens)

    async def cured(self, error: AlphaSwarmError) -> AlphaSwarmError:
        """Return an error with its cure: a missing sign-in begins one, and says where."""
        return error if self._entrance is None else await self._entrance.led(error)

    def _token(self) -> str:
        opened = _exchange.get()
        if opened is not None and opened.token is not None:
            return opened.token
        try:
            return self._tokens()
        except AlphaSwarmError as error:
            if opened is not None:
                opened.refused = error
            # The library knows what to do with a connection that fails, and with nothing else.
            raise httpx2.RequestError(error.message) from error

    def _silent(self) -> AlphaSwarmError:
        return unreachable(f"The server {self.face.name!r}")

    def _said(self, error: AlphaSwarmError) -> AlphaSwarmError:
        _log.warning("%s: %s %s", self.face.name, error.wire_code, error.message)
        return error


class _SharedBearer(Bearer):
    def note(self, error: AlphaSwarmError | None) -> None:
        opened = _exchange.get()
        if opened is not None:
            opened.refused = error


def as_protocol(error: AlphaSwarmError) -> MCPError:
    """Return the protocol's error that carries our error object, for what has no error result."""
    return MCPError(
        code=mt.INTERNAL_ERROR, message=f"{error.message} {error.hint}".strip(), data=error.body()
    )
