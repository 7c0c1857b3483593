"""An MCP session with one server: its token only, for its audience only, errors as ours.

Everything a caller gets back is plain JSON; an error object of the server is raised as the error it
stands for.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Mapping
from typing import Any, Protocol, cast

# fastmcp reads settings from the current folder and asks for updates unless told not to.
os.environ.setdefault("FASTMCP_ENV_FILE", os.devnull)
os.environ.setdefault("FASTMCP_CHECK_FOR_UPDATES", "off")
os.environ.setdefault("FASTMCP_ENABLE_RICH_LOGGING", "false")

import httpx2
import mcp_types as mt
from fastmcp import Client
from fastmcp.client.progress import ProgressHandler
from fastmcp.client.transports import StreamableHttpTransport
from mcp import MCPError

from clients.errors import from_body, refusal, unreachable
from clients.wire import CONNECT_S, json_of, local
from topology.errors import AlphaSwarmError, BadInputError, FaultError, MissingError
from topology.services import Face

REQUEST_S = 120.0
"""How long an answer may take; ``get_run`` waits at most 50 s of it."""
_INVALID_PARAMS = -32602
_METHOD_NOT_FOUND = -32601

Report = Callable[[float, float | None, str | None], Awaitable[None]]


class Tokens(Protocol):
    """Where the access token for a server comes from; may block and refresh."""

    def __call__(self) -> str:
        """Return an access token for this session's audience, or raise ``sign_in_required``."""


class Bearer(httpx2.Auth):
    """Adds the token to each request and remembers what was refused, and why."""

    def __init__(self, server: str, tokens: Tokens) -> None:
        self._server = server
        self._tokens = tokens
        self.refused: AlphaSwarmError | None = None

    def forget(self) -> None:
        """Begin a new exchange: what was refused before is not its answer."""
        self.refused = None

    def note(self, error: AlphaSwarmError | None) -> None:
        """Remember what was refused."""
        self.refused = error

    async def async_auth_flow(
        self, request: httpx2.Request
    ) -> AsyncGenerator[httpx2.Request, httpx2.Response]:
        """Authorize one request; a refusal is read here, for the MCP library drops its body."""
        try:
            token = await asyncio.to_thread(self._tokens)
        except AlphaSwarmError as error:
            self.note(error)
            raise
        request.headers["Authorization"] = f"Bearer {token}"
        response = yield request
        if response.status_code >= 400:
            await response.aread()
            self.note(self._read(response))

    def _read(self, response: httpx2.Response) -> AlphaSwarmError | None:
        body = json_of(response)
        if response.status_code in (401, 403):
            challenge = response.headers.get("www-authenticate", "")
            return refusal(response.status_code, challenge, body, server=self._server)
        ours = isinstance(body, Mapping) and "code" in body  # else it is the protocol's own error
        return from_body(body) if ours else None


class Session:
    """Calls to one server; made by `open_session`."""

    def __init__(self, face: Face, client: Client[StreamableHttpTransport], bearer: Bearer) -> None:
        self.face = face
        self._client = client
        self._bearer = bearer

    async def call(
        self,
        tool: str,
        arguments: Mapping[str, Any] | None = None,
        *,
        report: Report | None = None,
        meta: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Call a tool and return its structured result.

        ``report`` gets the server's progress: current, total or None, message. ``meta`` goes into
        the request's ``_meta``. A result that is an error object is raised; an unknown tool is
        ``unknown_tool``.
        """
        with self._explaining():
            result = await self._client.call_tool_mcp(
                tool,
                dict(arguments or {}),
                progress_handler=cast("ProgressHandler", report),
                meta=dict(meta) if meta else None,
            )
        structured = result.structured_content
        if result.is_error:
            raise from_body(structured)
        if structured is None:
            raise from_body(None)
        return dict(structured)

    async def tools(self) -> list[dict[str, Any]]:
        """Return every tool as the protocol describes it."""
        with self._explaining():
            found = await self._client.list_tools()
        return [tool.model_dump(mode="json", by_alias=True, exclude_none=True) for tool in found]

    async def read(self, uri: str) -> str | bytes:
        """Return the content of a resource: text, or bytes where it is binary."""
        with self._explaining():
            contents = await self._client.read_resource(uri)
        if not contents:
            raise MissingError(f"The resource {uri!r} is empty.", hint="Check its name.", uri=uri)
        first = contents[0]
        if isinstance(first, mt.TextResourceContents):
            return first.text
        return base64.b64decode(first.blob)

    @contextlib.contextmanager
    def _explaining(self) -> Iterator[None]:
        with explaining(self.face, self._bearer):
            yield


@contextlib.asynccontextmanager
async def open_session(
    face: Face, tokens: Tokens, *, timeout_s: float = REQUEST_S
) -> AsyncIterator[Session]:
    """Open a session with ``face``; its tokens go to that URL and nowhere else.

    Speaks the era that the server offers. Raises ``sign_in_required``, ``unreachable`` and what
    the server answers.
    """
    await asyncio.to_thread(tokens)  # nothing is dialled without a sign-in
    bearer = Bearer(face.name, tokens)
    transport = StreamableHttpTransport(
        face.url, auth=bearer, httpx_client_factory=http_factory(face.url)
    )
    client = Client(transport, mode="auto", timeout=timeout_s)
    async with contextlib.AsyncExitStack() as stack:
        with explaining(face, bearer):
            await stack.enter_async_context(client)
        yield Session(face, client, bearer)


@contextlib.contextmanager
def explaining(face: Face, bearer: Bearer) -> Iterator[None]:
    """Turn what the libraries raise into our errors; what the gate refused comes first."""
    bearer.forget()
    try:
        yield
    except AlphaSwarmError:
        raise
    except MCPError as error:
        raise bearer.refused or protocol_error(error, face) from error
    except (httpx2.HTTPError, RuntimeError, OSError) as error:
        raise bearer.refused or unreachable(f"The server {face.name!r}") from error


def protocol_error(error: MCPError, face: Face) -> AlphaSwarmError:
    """Return the error of ours that an error of the protocol stands for."""
    data = error.data
    if isinstance(data, Mapping) and "code" in data:
        return from_body(data)
    if isinstance(data, Mapping) and "uri" in data:
        return MissingError(
            f"The server {face.name!r} has no resource {str(data['uri'])[:200]!r}.",
            hint="Check the address; a run's resources are there when it has ended.",
        )
    if error.code in (_INVALID_PARAMS, _METHOD_NOT_FOUND):
        return BadInputError(
            f"The server {face.name!r} refuses this request: {error.message[:200]}.",
            hint=f"See `alphaswarm tools {face.name}`.",
            server=face.name,
        )
    if error.code == httpx2.codes.REQUEST_TIMEOUT:
        return unreachable(f"The server {face.name!r}", "it took too long")
    return FaultError(
        f"The server {face.name!r} failed: {error.message[:200]}.",
        hint="Its log is in the home's logs folder.",
        server=face.name,
    )


def http_factory(url: str) -> Any:
    """Return what makes the HTTP client of a transport, as `clients.wire.client` does."""

    def make(
        headers: dict[str, str] | None = None,
        timeout: httpx2.Timeout | None = None,
        auth: httpx2.Auth | None = None,
        **_: Any,
    ) -> httpx2.AsyncClient:
        read = timeout.read if timeout is not None else REQUEST_S
        return httpx2.AsyncClient(
            headers=headers,
            auth=auth,
            timeout=httpx2.Timeout(read, connect=CONNECT_S),
            follow_redirects=False,
            trust_env=not local(url),
            verify=url.startswith("https:"),
        )

    return make
