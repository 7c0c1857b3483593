"""Who may knock: exact Host for everything, known Origin for what acts, CORS for what is public.

Against DNS rebinding and pages that call a server on the reader's own machine. It stands in front
of the whole application: metadata routes lie outside any server's own guard.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from servers.answers import plain
from topology.errors import BadInputError
from topology.render.prm import document
from topology.services import Face, Topology

EXPOSED = ("Mcp-Session-Id", "Mcp-Protocol-Version", "WWW-Authenticate")
HOUR_S = "max-age=3600"


class Hosts:
    """ASGI middleware: 421 for another Host, 403 for another Origin on guarded paths."""

    def __init__(
        self, app: ASGIApp, *, hosts: Collection[str], origins: Collection[str], guarded: Guarded
    ) -> None:
        self._hosts = frozenset(hosts)
        self._origins = frozenset(origins)
        self._guarded = guarded
        self._app = app
        self._shared = CORSMiddleware(
            app,
            allow_origins=sorted(origins),
            allow_methods=["GET", "POST", "DELETE"],
            allow_headers=["*"],
            expose_headers=EXPOSED,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request on, or answer it."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        # RFC 9110 s.5.5: white space around a value is no part of it; not every parser removes it.
        scope["headers"] = [(name, value.strip(b" \t")) for name, value in scope["headers"]]
        headers = Headers(scope=scope)
        if headers.getlist("host") not in ([host] for host in self._hosts):
            await _refuse(421, "This host is not served here.")(scope, receive, send)
            return
        guard = self._guarded.of(scope["path"])
        origins = headers.getlist("origin")
        if guard is None or not origins:
            await self._app(scope, receive, send)
        elif len(origins) > 1 or origins[0] not in self._origins:
            await _refuse(403, "This page may not call this server.")(scope, receive, send)
        else:
            await (self._shared if guard == "shared" else self._app)(scope, receive, send)


class Guarded:
    """The paths on which an Origin must be known.

    ``shared`` ones (MCP, streams) answer the allowed pages with CORS headers; ``own`` ones (the
    issuer's pages) never do, and everything below them counts.
    """

    def __init__(
        self, *, shared: Iterable[str], prefixes: Iterable[str], own: Iterable[str]
    ) -> None:
        self._shared = frozenset(shared)
        self._prefixes = tuple(prefixes)
        self._own = frozenset(own)

    def of(self, path: str) -> str | None:
        """Return ``"shared"``, ``"own"``, or None where every Origin may read."""
        if path in self._own:
            return "own"
        return "shared" if path in self._shared or path.startswith(self._prefixes) else None


def guarded_hosts(topology: Topology) -> frozenset[str]:
    """Return the Host values that mean us: of every URL of ours, and of the addresses we bind."""
    urls = [topology.base_url, *(face.url for face in topology.faces.values())]
    port = topology.listen.port
    bound = [
        f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host in topology.listen.hosts
    ]
    return frozenset([*(urlsplit(url).netloc for url in urls), *bound])


def guarded_origins(topology: Topology) -> frozenset[str]:
    """Return the origins whose pages may call us: our own, and those the topology lists."""
    urls = [topology.base_url, *(face.url for face in topology.faces.values())]
    return frozenset([*(_origin(url) for url in urls), *topology.listen.origins])


def prm(face: Face) -> Route:
    """Return the route of a server's RFC 9728 document, readable by every page."""
    described = document(face)

    async def metadata(request: Request) -> Response:
        del request
        return JSONResponse(
            described, headers={"access-control-allow-origin": "*", "cache-control": HOUR_S}
        )

    return Route(urlsplit(face.prm_url).path, metadata, methods=["GET"])


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _refuse(status: int, message: str) -> Response:
    error = BadInputError(
        message, hint="Use the addresses that `alphaswarm status` prints.", code="access_denied"
    )
    return JSONResponse(plain(error), status)
