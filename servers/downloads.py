"""Downloads of exported files over plain HTTP, behind the gate of the server that made them.

The path lies below the server's own address, so its token, its audience and its read scope are the
ones asked for. One range is served (RFC 9110 s.14); anything else asks for the whole file.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import anyio.to_thread
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from auth.policy import Challenge, Rule, admitted, decide
from servers.answers import plain
from servers.bearer import Bearer, bearer_token, problem
from servers.gate import challenge, unauthenticated
from tools import exports
from tools.exports import Export, ExportExpiredError
from tools.registry import Office
from topology.errors import AlphaSwarmError, BadInputError, MissingError
from topology.services import Face

PIECE = 262_144
_RANGE = re.compile(r"bytes=\s*(\d{0,18})-(\d{0,18})\s*", re.IGNORECASE)


class Downloads:
    """The files of one server's exports."""

    def __init__(self, office: Office, face: Face, bearer: Bearer) -> None:
        self._office = office
        self._face = face
        self._bearer = bearer
        self._rule = Rule(scopes=(face.read_scope,), actor="any")

    @property
    def prefix(self) -> str:
        """Return the path below which the files are."""
        return f"{self._face.path}/exports/"

    def routes(self) -> list[BaseRoute]:
        """Return the route of the files."""
        return [Route(f"{self.prefix}{{export_id}}", self._file, methods=["GET"])]

    async def _file(self, request: Request) -> Response:
        try:
            return await self._refusal(request) or await self._answer(request)
        except ExportExpiredError as error:
            return _error(error, 410)
        except MissingError as error:
            return _error(error, 404)
        except AlphaSwarmError as error:
            return problem(error)

    async def _refusal(self, request: Request) -> Response | None:
        token = bearer_token(request)
        claims = await self._bearer.claims(token) if token else None
        if claims is None:
            return unauthenticated(self._face, request.headers)
        caller = claims.principal()
        if not admitted(caller, self._face.actors):
            return challenge(self._face, Challenge(403, "access_denied"))
        verdict = decide(self._rule, caller, self._office.clock.now().timestamp())
        return challenge(self._face, verdict) if isinstance(verdict, Challenge) else None

    async def _answer(self, request: Request) -> Response:
        export_id = request.path_params["export_id"]
        found = await anyio.to_thread.run_sync(partial(exports.find, self._office, export_id))
        headers = _headers(found)
        if headers["etag"] in _listed(request.headers.get("if-none-match")):
            return Response(status_code=304, headers=headers)
        try:
            part = _part(request, found, headers["etag"])
        except BadInputError as error:
            return _error(error, 416, {**headers, "content-range": f"bytes */{found.bytes}"})
        start, stop = part or (0, found.bytes)
        headers["content-length"] = str(stop - start)
        if part is not None:
            headers["content-range"] = f"bytes {start}-{stop - 1}/{found.bytes}"
        status = 200 if part is None else 206
        if request.method == "HEAD":
            return Response(status_code=status, headers=headers)
        return StreamingResponse(_pieces(found.path, start, stop), status, headers)


def _headers(found: Export) -> dict[str, str]:
    digest = base64.b64encode(bytes.fromhex(found.sha256)).decode()
    return {
        "content-type": exports.MIME,
        "content-disposition": f'attachment; filename="{found.filename}"',
        "accept-ranges": "bytes",
        "etag": f'"{found.sha256}"',
        "repr-digest": f"sha-256=:{digest}:",
        "cache-control": "private, no-cache",
    }


def _part(request: Request, found: Export, etag: str) -> tuple[int, int] | None:
    """Return the one range asked for as ``start, stop``; None means the whole file.

    A range of a file that has changed (``If-Range``), of another unit, of several parts or one
    that cannot be read counts as none (RFC 9110 s.13.1.5, s.14.2). One that begins behind the end
    raises `BadInputError`.
    """
    match = _RANGE.fullmatch(request.headers.get("range", ""))
    if match is None or request.headers.get("if-range", etag) != etag:
        return None
    first, last = match.groups()
    if not first:
        if not last:
            return None
        start, stop = max(0, found.bytes - int(last)), found.bytes
    else:
        start, stop = int(first), min(int(last or found.bytes) + 1, found.bytes)
        if last and int(last) < start:
            return None
    if start >= found.bytes:
        raise BadInputError(
            f"The file ends at byte {found.bytes}.",
            hint="Ask for a range that begins before its end.",
            bytes=found.bytes,
        )
    return start, stop


def _pieces(path: Path, start: int, stop: int) -> Iterator[bytes]:
    with path.open("rb") as file:
        file.seek(start)
        while start < stop and (piece := file.read(min(PIECE, stop - start))):
            start += len(piece)
            yield piece


def _listed(header: str | None) -> set[str]:
    return {one.strip().removeprefix("W/") for one in (header or "").split(",")}


def _error(
    error: AlphaSwarmError, status: int, headers: dict[str, str] | None = None
) -> JSONResponse:
    kept = {k: v for k, v in (headers or {}).items() if k not in ("content-type", "etag")}
    return JSONResponse(plain(error), status, headers={**kept, "cache-control": "no-store"})
