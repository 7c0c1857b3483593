"""The only way out of the gateway: an HTTP client that reaches one origin and says little.

The name is resolved and judged before every request, and the connection goes to an address that was
judged. Redirects are answers, not journeys; proxies and settings of the environment mean nothing.
"""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
from collections.abc import AsyncIterator

import httpx

from topology.egress import Guard, Target
from topology.errors import EgressDeniedError

HEADERS = frozenset(
    {"accept", "content-type", "content-length", "host", "authorization", "user-agent"}
)
"""All that a model's server is told besides the prompt; vendors' libraries would say more."""
LARGEST_BYTES = 8 * 2**20


class TooLargeError(Exception):
    """A response has more than ``LARGEST_BYTES``."""


class GuardedTransport(httpx.AsyncBaseTransport):
    """Send requests of one origin to its judged addresses.

    Raises `EgressDeniedError` before a byte leaves where the request names another origin or an
    address is of the wrong kind, `httpx.ConnectError` where none answers.
    """

    def __init__(self, guard: Guard, origin: str, *, verify: ssl.SSLContext | None = None) -> None:
        self._guard = guard
        self._origin = httpx.URL(origin)
        self._inner = httpx.AsyncHTTPTransport(
            verify=verify or ssl.create_default_context(), trust_env=False, retries=0
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Judge, strip, connect; the response's body is cut at ``LARGEST_BYTES``."""
        target = await self._judged(request.url)
        trouble: httpx.ConnectError | None = None
        for address in target.addresses:
            try:
                response = await self._inner.handle_async_request(_towards(address, request))
            except httpx.ConnectError as error:
                trouble = error
                continue
            assert isinstance(response.stream, httpx.AsyncByteStream)  # noqa: S101  by its type
            response.stream = _Bounded(response.stream)
            return response
        raise trouble or httpx.ConnectError(f"{target.host} has no address")

    async def aclose(self) -> None:
        """Close the connections."""
        await self._inner.aclose()

    async def _judged(self, url: httpx.URL) -> Target:
        asked = (url.scheme, url.host, url.port)
        if asked != (self._origin.scheme, self._origin.host, self._origin.port) or url.userinfo:
            raise EgressDeniedError(
                "A library wanted to reach another place than the model's origin.",
                hint="Nothing was sent. Name every model that may be asked in topology.yaml.",
                origin=str(self._origin),
            )
        origin = str(self._origin)
        if _is_address(url.host):
            return self._guard.check(origin)
        try:
            return await asyncio.to_thread(self._guard.check, origin)
        except OSError as error:
            raise httpx.ConnectError(f"{url.host} cannot be resolved") from error


class _Bounded(httpx.AsyncByteStream):
    """A response's body that ends in an error where it grows too large."""

    def __init__(self, stream: httpx.AsyncByteStream) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        seen = 0
        async for chunk in self._stream:
            seen += len(chunk)
            if seen > LARGEST_BYTES:
                raise TooLargeError
            yield chunk

    async def aclose(self) -> None:
        await self._stream.aclose()


def client(guard: Guard, origin: str, *, timeout_s: float) -> httpx.AsyncClient:
    """Return a client for one origin; silence of ``timeout_s`` seconds ends a request."""
    return httpx.AsyncClient(
        transport=GuardedTransport(guard, origin),
        trust_env=False,
        follow_redirects=False,
        timeout=httpx.Timeout(timeout_s, connect=min(timeout_s, 10.0)),
    )


def _towards(address: str, request: httpx.Request) -> httpx.Request:
    """Return the request for one address: the name stays in the Host header and in TLS."""
    host = request.url.host
    headers = [(k, v) for k, v in request.headers.raw if k.decode().lower() in HEADERS]
    extensions = {**request.extensions, "sni_hostname": host}
    return httpx.Request(
        request.method,
        request.url.copy_with(host=address),
        headers=headers,
        stream=request.stream,
        extensions=extensions,
    )


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
