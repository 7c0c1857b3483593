"""The console's routes: one page, its files, and the calls that its scripts make.

The browser holds a secret in an HttpOnly cookie and nothing else. What a script asks for must come
from a page of ours (Sec-Fetch-Site), and what acts must carry the token that only such a page has.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from clients.errors import SIGN_IN, UNREACHABLE, sign_in
from servers import bodies
from servers.answers import plain
from servers.console import calls, files, frames, health
from servers.console.sessions import Session, Sessions, csrf_token
from servers.console.signing import HOME, Signing
from topology.clock import Clock
from topology.errors import (
    AlphaSwarmError,
    BadInputError,
    FaultError,
    MissingError,
    RefusedError,
    UnknownNameError,
    did_you_mean,
)
from topology.services import Face, Topology

CSRF = "x-csrf-token"
PAGES = ("", "/", "/runs", "/runs/{id}", "/specs", "/specs/{kind}/{name}", "/audit", "/map")
Handler = Callable[[Request], Awaitable[Response]]
_STATUS = {SIGN_IN: 401, UNREACHABLE: 503, "store_unreachable": 503}
_STREAM = {**files.PLAIN, "x-accel-buffering": "no"}


class Console:
    """The console of a suite."""

    def __init__(self, topology: Topology, clock: Clock) -> None:
        self._topology = topology
        self._clock = clock
        self._sessions = Sessions(clock)
        self._signing = Signing(topology, self._sessions, clock)
        self._faces = calls.faces(topology)
        base = urlsplit(topology.base_url)
        digest = hashlib.sha256(topology.base_url.encode()).hexdigest()[:12]
        self._host, self._secure = base.netloc, base.scheme == "https"
        self._cookie = f"asw_console_{digest}"  # cookies ignore ports, and homes share a host

    def routes(self) -> list[BaseRoute]:
        """Return every route, with absolute paths for the root application.

        There is no console where an issuer other than ours signs people in at ``control``.
        """
        if calls.CONTROL not in self._faces:
            return []
        return [
            *(Route(HOME + path, self._page, methods=["GET"]) for path in PAGES),
            Route(f"{HOME}/static/{{name:path}}", self._static, methods=["GET"]),
            Route(f"{HOME}/sign-in", self._sign_in, methods=["GET"]),
            Route(f"{HOME}/callback", self._callback, methods=["GET"]),
            self._asked("session", self._session, "GET"),
            self._asked("health", self._health, "GET"),
            self._asked("frames", self._frames, "GET"),
            self._asked("view/{server}", self._view, "GET"),
            self._asked("call/{server}/{tool}", self._call, "POST"),
            self._asked("step-up", self._step_up, "POST"),
            self._asked("sign-out", self._sign_out, "POST"),
            Route(f"{HOME}/{{rest:path}}", self._nothing, methods=["GET"]),
        ]

    def _asked(self, path: str, handler: Handler, method: str) -> Route:
        """Return the route of what a script asks for: refused to every page but ours."""

        async def endpoint(request: Request) -> Response:
            try:
                self._check(request)
                return await handler(request)
            except AlphaSwarmError as error:
                return self._refused(request, error)

        return Route(f"{HOME}/{path}", endpoint, methods=[method])

    def _check(self, request: Request) -> None:
        """Raise ``access_denied`` for a request that no page of ours has made."""
        origin = request.headers.get("origin")
        ours = origin in (None, self._topology.base_url)
        if not ours or request.headers.get("sec-fetch-site", "same-origin") != "same-origin":
            raise _stranger("This page may not use the console.")
        if request.method == "POST":
            sent = request.headers.get(CSRF, "").encode()
            if not hmac.compare_digest(sent, csrf_token(self._secret(request)).encode()):
                raise _stranger("The request does not carry this session's token.")

    def _refused(self, request: Request, error: AlphaSwarmError) -> Response:
        if error.wire_code == SIGN_IN:
            self._sessions.end(self._secret(request))
        return JSONResponse(plain(error), _status(error), headers=files.PLAIN)

    async def _page(self, request: Request) -> Response:
        return self._elsewhere(request) or files.shell()

    async def _nothing(self, request: Request) -> Response:
        return self._elsewhere(request) or files.shell(404)

    async def _static(self, request: Request) -> Response:
        found = files.static(request, request.path_params["name"])
        return found or Response("Not found.", 404, files.PLAIN, media_type="text/plain")

    async def _sign_in(self, request: Request) -> Response:
        elsewhere = self._elsewhere(request)
        if elsewhere is not None:
            return elsewhere
        query = request.query_params
        known = self._secret(request)
        url, secret = self._signing.begin(
            known, query.get("next", HOME), fresh=query.get("fresh") == "1"
        )
        return self._led(url, secret)

    async def _callback(self, request: Request) -> Response:
        if not self._secret(request) and "again" not in request.query_params:
            return files.bounce(f"{HOME}/callback?{request.url.query}&again=1")
        answer = dict(request.query_params)
        return self._led(*await self._signing.answered(self._secret(request), answer))

    async def _session(self, request: Request) -> Response:
        session = self._required(request)
        notices, session.notices = session.notices, []
        body = {
            "user": session.user,
            "csrf": csrf_token(self._secret(request)),
            "servers": sorted(session.grants),
            "notices": notices,
        }
        return JSONResponse(body, headers=files.PLAIN)

    async def _health(self, request: Request) -> Response:
        self._required(request)
        return JSONResponse(await health.seen(self._topology), headers=files.PLAIN)

    async def _call(self, request: Request) -> Response:
        session, face = self._required(request), self._face(request)
        tool, arguments = request.path_params["tool"], await _object(request)
        result = await calls.call(session, face, tool, arguments, self._clock)
        return JSONResponse(result, headers=files.PLAIN)

    async def _view(self, request: Request) -> Response:
        session, face = self._required(request), self._face(request)
        return files.app(await calls.view(session, face, self._clock))

    async def _frames(self, request: Request) -> Response:
        session = self._required(request)
        seen = frames.cursor_of(
            request.query_params.get("tasks", ""), request.headers.get("last-event-id", "")
        )
        token = await session.token(self._faces[calls.CONTROL], self._clock)
        lines = frames.merged(self._topology.base_url, token, seen)
        return StreamingResponse(_closing(lines), media_type="text/event-stream", headers=_STREAM)

    async def _step_up(self, request: Request) -> Response:
        self._required(request)
        asked = await _object(request)
        tool, arguments = str(asked.get("tool", "")), asked.get("arguments")
        if not isinstance(arguments, dict):
            raise BadInputError("A step-up is for one call.", hint="Send tool and arguments.")
        target = str(asked.get("next", HOME))
        url = self._signing.step_up(self._secret(request), tool, arguments, target)
        return JSONResponse({"location": url}, headers=files.PLAIN)

    async def _sign_out(self, request: Request) -> Response:
        await self._signing.sign_out(self._secret(request))
        response = JSONResponse({}, headers=files.PLAIN)
        response.delete_cookie(self._cookie, path=HOME, httponly=True, samesite="strict")
        return response

    def _required(self, request: Request) -> Session:
        session = self._sessions.find(self._secret(request))
        if session is None:
            raise sign_in("console")
        return session

    def _face(self, request: Request) -> Face:
        name = request.path_params["server"]
        if name not in self._faces:
            raise UnknownNameError(
                f"The console does not call {name[:64]!r}.", hint=did_you_mean(name, self._faces)
            )
        return self._faces[name]

    def _elsewhere(self, request: Request) -> Response | None:
        """Return the way to the canonical address: cookies and passkeys belong to that."""
        if request.headers.get("host") == self._host:
            return None
        query = f"?{request.url.query}" if request.url.query else ""
        return RedirectResponse(f"{self._topology.base_url}{request.url.path}{query}", 307)

    def _led(self, url: str, secret: str) -> Response:
        response = Response(None, 303, {**files.PLAIN, "Location": url})
        if secret:
            response.set_cookie(
                self._cookie,
                secret,
                path=HOME,
                httponly=True,
                samesite="strict",
                secure=self._secure,
            )
        return response

    def _secret(self, request: Request) -> str:
        return request.cookies.get(self._cookie, "")


async def _object(request: Request) -> dict[str, Any]:
    """Return the JSON object of a request; anything else raises `BadInputError`."""
    try:
        raw = await bodies.read(request.receive, request.headers.get("content-length"))
        return bodies.parse(raw or b"{}")
    except bodies.UnreadableError as error:
        raise BadInputError(error.message, hint="Send one JSON object.") from error


async def _closing(lines: AsyncGenerator[str, None]) -> AsyncGenerator[str, None]:
    async with contextlib.aclosing(lines):
        async for line in lines:
            yield line


def _stranger(message: str) -> RefusedError:
    return RefusedError(message, hint="Open the console at its own address.")


def _status(error: AlphaSwarmError) -> int:
    if error.wire_code in _STATUS:
        return _STATUS[error.wire_code]
    kinds = ((MissingError, 404), (RefusedError, 403), (FaultError, 502))
    return next((status for kind, status in kinds if isinstance(error, kind)), 400)
