"""The console's files, package data of ``clients/console``, and the headers around them."""

from __future__ import annotations

import hashlib
from functools import cache
from html import escape
from importlib.resources import files

from starlette.requests import Request
from starlette.responses import Response

SHELL = "index.html"
TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
POLICY = (
    "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)
APP_POLICY = (
    "sandbox allow-scripts; default-src 'none'; script-src 'unsafe-inline'; "
    "style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'"
)
"""Of an MCP App: an origin of its own, no network. A ``srcdoc`` would inherit our policy, which
refuses inline scripts; so the frame has an address, and its policy comes with it."""
PLAIN = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_PAGE = {
    **PLAIN,
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}


def shell(status: int = 200) -> Response:
    """Return the one page, which draws every other."""
    text, _ = _read(SHELL)
    return Response(text, status, _PAGE, media_type=TYPES[".html"])


def app(page: str) -> Response:
    """Return an MCP App for a sandboxed frame."""
    headers = {**PLAIN, "Content-Security-Policy": APP_POLICY}
    return Response(page, 200, headers, media_type=TYPES[".html"])


def bounce(location: str) -> Response:
    """Return a page that goes on to ``location`` by itself.

    A cookie of ``SameSite=Strict`` does not come with an answer that another site sent; it comes
    with a request that a page of ours makes.
    """
    text = (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>AlphaSwarm</title>'
        f'<meta http-equiv="refresh" content="0;url={escape(location)}"><p>One moment.</p></html>'
    )
    headers = {**PLAIN, "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'"}
    return Response(text, 200, headers, media_type=TYPES[".html"])


def static(request: Request, name: str) -> Response | None:
    """Return a file by its path below the folder, None where there is none."""
    if name not in _names():
        return None
    body, etag = _read(name)
    headers = {**PLAIN, "Cache-Control": "no-cache", "ETag": etag}
    if request.headers.get("if-none-match") == etag:
        return Response(None, 304, headers)
    return Response(body, 200, headers, media_type=TYPES[name[name.rindex(".") :]])


@cache
def _names() -> frozenset[str]:
    root = files("clients").joinpath("console")
    found = [entry.name for entry in root.iterdir() if entry.is_file()]
    folder = root.joinpath("pages")
    found += [f"pages/{entry.name}" for entry in folder.iterdir() if entry.is_file()]
    return frozenset(name for name in found if name.endswith(tuple(TYPES)))


@cache
def _read(name: str) -> tuple[bytes, str]:
    body = files("clients").joinpath("console").joinpath(*name.split("/")).read_bytes()
    return body, f'"{hashlib.sha256(body).hexdigest()[:32]}"'
