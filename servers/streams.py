"""``/chat/stream/{task_id}``: the frames of a task as server-sent events, or over a WebSocket.

Each frame's ``seq`` is its event id; ``Last-Event-ID`` or ``?after=`` resumes behind it. A token of
``control``, or of the server that owns the run, with its read scope opens the stream; it is looked
at again each second, so a revoked one closes it.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass

import anyio.to_thread
from starlette.datastructures import Headers, QueryParams
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from auth.policy import Allow, Challenge, Rule, admitted, decide
from auth.tokens import Claims
from ledger.pool import Pool
from ledger.progress.bus import Bus
from ledger.progress.follow import TaskInfo, follow, last_frame, task
from servers.answers import plain
from servers.bearer import Bearer, bearer_token, problem
from servers.gate import challenge, unauthenticated
from topology.clock import Clock
from topology.errors import (
    AlphaSwarmError,
    BadInputError,
    MissingError,
    StoreUnreachableError,
)
from topology.frames import Frame
from topology.services import Face

PATH = "/chat/stream/"
EVERY_RUN = "control"
MOST_DIGITS = 18
LOOK_S = 0.9
"""How long a grant that was alive is taken to be so; quiet streams wake about each second."""
_HEADERS = {"cache-control": "no-store", "x-accel-buffering": "no"}


@dataclass(frozen=True)
class Door:
    """One server's way to a stream: its face and its verifier."""

    face: Face
    bearer: Bearer


@dataclass(frozen=True)
class Opened:
    """A stream that may begin: whose, of what, and behind which frame."""

    claims: Claims
    bearer: Bearer
    info: TaskInfo
    after: int


class Streams:
    """The streams of a suite."""

    def __init__(
        self, pool: Pool, bus: Bus | None, doors: Mapping[str, Door], clock: Clock
    ) -> None:
        self._pool = pool
        self._bus = bus
        self._doors = dict(doors)
        self._clock = clock
        self._closing = asyncio.Event()

    def routes(self) -> list[BaseRoute]:
        """Return the two routes, one per transport."""
        path = f"{PATH}{{task_id}}"
        return [Route(path, self._events, methods=["GET"]), WebSocketRoute(path, self._socket)]

    def close(self) -> None:
        """End every open stream, so that the process can stop."""
        self._closing.set()

    async def _events(self, request: Request) -> Response:
        opened = await self._open(request)
        if isinstance(opened, Response):
            return opened
        last = await anyio.to_thread.run_sync(last_frame, self._pool, opened.info.task_id)
        if last is not None and last.terminal and last.seq <= opened.after:
            return Response(status_code=204, headers=_HEADERS)  # an EventSource stops on 204
        return StreamingResponse(
            self._lines(opened), media_type="text/event-stream", headers=_HEADERS
        )

    async def _socket(self, socket: WebSocket) -> None:
        opened = await self._open(socket)
        if isinstance(opened, Response):
            await socket.send_denial_response(opened)
            return
        await socket.accept()
        with contextlib.suppress(WebSocketDisconnect):
            async with contextlib.aclosing(self._frames(opened)) as frames:
                async for frame in frames:
                    if frame is not None:
                        await socket.send_text(frame.model_dump_json())
            await socket.close(1000)

    async def _lines(self, opened: Opened) -> AsyncGenerator[str, None]:
        async with contextlib.aclosing(self._frames(opened)) as frames:
            async for frame in frames:
                if frame is None:
                    yield ": still here\n\n"
                else:
                    yield f"id: {frame.seq}\ndata: {frame.model_dump_json()}\n\n"

    async def _frames(self, opened: Opened) -> AsyncGenerator[Frame | None, None]:
        """Yield frames until the task ends, the grant dies, the store does, or we stop."""
        frames = follow(self._pool, self._bus, opened.info.task_id, after=opened.after)
        looked = time.monotonic()
        async with contextlib.aclosing(frames):
            with contextlib.suppress(StoreUnreachableError):
                async for frame in frames:
                    if time.monotonic() - looked >= LOOK_S:  # however many frames come
                        looked = time.monotonic()
                        if not await opened.bearer.alive(opened.claims):
                            return
                    yield frame
                    if self._closing.is_set():
                        return

    async def _open(self, connection: HTTPConnection) -> Opened | Response:
        try:
            return await self._admit(connection)
        except MissingError as error:
            return JSONResponse(plain(error), 404)
        except AlphaSwarmError as error:
            return problem(error)

    async def _admit(self, connection: HTTPConnection) -> Opened | Response:
        found = await self._holder(connection)
        if found is None:
            return unauthenticated(self._fallback(), connection.headers)
        server, claims = found
        after = _after(connection.headers, connection.query_params)
        info = await anyio.to_thread.run_sync(task, self._pool, connection.path_params["task_id"])
        verdict = self._decide(server, claims, info)
        if isinstance(verdict, Challenge):
            return challenge(self._doors.get(info.kind, self._doors[server]).face, verdict)
        return Opened(claims, self._doors[server].bearer, info, after)

    async def _holder(self, connection: HTTPConnection) -> tuple[str, Claims] | None:
        """Return which server's token came, and its claims."""
        token = bearer_token(connection)
        for server, door in self._doors.items() if token else ():
            claims = await door.bearer.claims(token or "")
            if claims is not None:
                return server, claims
        return None

    def _decide(self, server: str, claims: Claims, info: TaskInfo) -> Allow | Challenge:
        if server not in (EVERY_RUN, info.kind):
            return Challenge(403, "insufficient_scope", scope=f"{info.kind}:read")
        caller, known = claims.principal(), self._doors[server].face.actors
        if claims.task_id not in ("", info.task_id) or not admitted(caller, known):
            return Challenge(403, "access_denied")
        rule = Rule(scopes=(f"{server}:read",), actor="any")
        return decide(rule, caller, self._clock.now().timestamp())

    def _fallback(self) -> Face:
        name = EVERY_RUN if EVERY_RUN in self._doors else next(iter(self._doors))
        return self._doors[name].face


def _after(headers: Headers, query: QueryParams) -> int:
    text = headers.get("last-event-id") or query.get("after") or "0"
    if not (text.isascii() and text.isdigit() and len(text) <= MOST_DIGITS):
        raise BadInputError(
            f"{text[:32]!r} is not the number of a frame.",
            hint="Give Last-Event-ID or ?after= the `seq` of the last frame you have.",
        )
    return int(text)
