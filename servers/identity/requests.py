"""Between Starlette and the core: bytes of a form in, a `Reply` or a page out."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import anyio.to_thread
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from auth.wire import MAX_BYTES, Reply, malformed
from servers.identity.pages import Page

T = TypeVar("T")
FORM = "application/x-www-form-urlencoded"
_PAGE_HEADERS = {
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",  # no-referrer would make the browser send `Origin: null`
    "Cache-Control": "no-store",
}


async def form(request: Request) -> bytes | Reply:
    """Return the bytes of a form, or the refusal of a wrong type, a query or an overlong body.

    A token endpoint has no query parameters (RFC 6749 s.3.2), so a secret in one is not accepted.
    """
    if request.scope["query_string"]:
        return malformed("Parameters go into the body.")
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != FORM:
        return malformed(f"The content type must be {FORM}.")
    return await body(request)


async def body(request: Request) -> bytes | Reply:
    """Return the body, or a refusal where it is longer than 64 KiB; no more than that is read."""
    received = b""
    async for chunk in request.stream():
        received += chunk
        if len(received) > MAX_BYTES:
            return malformed("The request is too long.", status=413)
    return received


def respond(reply: Reply) -> Response:
    """Return JSON, or a redirect that tells the target nothing about us."""
    headers = dict(reply.headers)
    if reply.location is not None:
        return Response(None, reply.status, {**headers, "Referrer-Policy": "no-referrer"})
    return JSONResponse(dict(reply.body), reply.status, headers)


def show(page: Page, status: int = 200) -> Response:
    """Return a page that nobody can frame, cache or send elsewhere."""
    headers = {**_PAGE_HEADERS, "Content-Security-Policy": page.policy()}
    return HTMLResponse(page.html, status, headers)


def redirect(location: str) -> Response:
    """Return a 303, so that a form is not sent on."""
    return Response(None, 303, {"Location": location, "Cache-Control": "no-store"})


async def thread(work: Callable[[], T]) -> T:
    """Run what may block."""
    return await anyio.to_thread.run_sync(work)
