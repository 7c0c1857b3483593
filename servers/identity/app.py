"""The issuer's routes: public documents that any origin may read, and pages that none may."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Awaitable, Callable
from functools import cached_property
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit

import anyio
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from auth import metadata, registration, signin
from auth.core import Issuer
from auth.keys import JWKS_MAX_AGE_S
from auth.wire import Reply, malformed
from servers.identity import pages
from servers.identity.requests import body, form, respond, show
from topology.errors import StoreUnreachableError

T = TypeVar("T")
Handler = Callable[[Request], Awaitable[Response]]
_UNAVAILABLE = "A store does not answer. Try again in a moment."
_CORS = (Middleware(CORSMiddleware, allow_origins=["*"], allow_methods=["GET", "POST"],
                    allow_headers=["*"], max_age=600),)  # fmt: skip


class IdentityApp:
    """Handlers around one issuer; the core is synchronous and runs in threads."""

    def __init__(self, issuer: Issuer) -> None:
        self.issuer = issuer
        self.base = urlsplit(issuer.config.issuer).path
        digest = hashlib.sha256(issuer.config.issuer.encode()).hexdigest()[:12]
        self.cookie = f"asw_login_{digest}"  # cookies ignore ports, and homes share a host
        self.secure = issuer.config.issuer.startswith("https:")

    def routes(self) -> list[Route]:
        """Return every route, with absolute paths for the root application."""
        base = self.base
        return [
            _public(f"/.well-known/oauth-authorization-server{base}", self.metadata, "GET"),
            _public(f"{base}/.well-known/openid-configuration", self.openid, "GET"),
            _public(f"{base}/jwks.json", self.jwks, "GET"),
            _public(f"{base}/token", self.token, "POST"),
            _public(f"{base}/revoke", self.revoke, "POST"),
            _public(f"{base}/register", self.register, "POST"),
            self._page("authorize", self.authorize, "GET"),
            self._page("authorize", self.decide, "POST"),
            self._page("login", self.login_page, "GET"),
            self._page("login", self.login, "POST"),
            self._page("factor", self.factor_page, "GET"),
            self._page("factor", self.factor, "POST"),
            self._page("style.css", self.style, "GET"),
        ]

    def _page(self, name: str, handler: Handler, method: str) -> Route:
        async def endpoint(request: Request) -> Response:
            try:
                return await handler(request)
            except StoreUnreachableError:
                return self._message("Not now", _UNAVAILABLE, 503)

        return Route(f"{self.base}/{name}", endpoint, methods=[method])

    @cached_property
    def _hashing(self) -> anyio.CapacityLimiter:
        return anyio.CapacityLimiter(2)  # argon2 takes 64 MiB each

    async def metadata(self, _: Request) -> Response:
        """RFC 8414 document."""
        return JSONResponse(metadata.describe(self.issuer.config))

    async def openid(self, _: Request) -> Response:
        """Serve the same document for clients that look under OpenID Connect's address."""
        return JSONResponse(metadata.describe_openid(self.issuer.config))

    async def jwks(self, _: Request) -> Response:
        """Public signing keys."""
        keys = await _thread(lambda: self.issuer.keys.jwks(self.issuer.now()))
        return JSONResponse(keys, headers={"Cache-Control": f"public, max-age={JWKS_MAX_AGE_S}"})

    async def token(self, request: Request) -> Response:
        """Token endpoint."""
        return await _answer(await form(request), self.issuer.token)

    async def revoke(self, request: Request) -> Response:
        """Revocation endpoint."""
        return await _answer(await form(request), self.issuer.revocation)

    async def register(self, request: Request) -> Response:
        """Registration endpoint."""
        raw = await body(request)
        return await _answer(raw, lambda data: registration.register(self.issuer, data))

    async def authorize(self, request: Request) -> Response:
        """Authorization endpoint: the code, the error, or the page that is missing."""
        query, cookie = request.scope["query_string"], self._cookie(request)
        return self._show(await _thread(lambda: signin.visit(self.issuer, query, cookie)), cookie)

    async def decide(self, request: Request) -> Response:
        """Consent form."""
        raw, cookie = await self._page_form(request), self._cookie(request)
        if isinstance(raw, Reply):
            return self._show(raw, cookie)
        return self._show(await _thread(lambda: signin.decide(self.issuer, raw, cookie)), cookie)

    async def login_page(self, request: Request) -> Response:
        """Sign-in form."""
        target = request.query_params.get("next", "")
        cookie = self._cookie(request) or secrets.token_urlsafe(32)
        response = await self._login_form(cookie, target)
        self._set_cookie(response, cookie)
        return response

    async def login(self, request: Request) -> Response:
        """Check a password; the session gets a new secret."""
        raw, cookie = await self._page_form(request), self._cookie(request)
        if isinstance(raw, Reply):
            return self._show(raw, cookie)
        outcome = await anyio.to_thread.run_sync(
            lambda: signin.sign_in(self.issuer, raw, cookie), limiter=self._hashing
        )
        if isinstance(outcome, signin.Wrong):
            return await self._refused_login(cookie, outcome)
        if isinstance(outcome, Reply):
            return self._show(outcome, cookie)
        response = self._signed_in(outcome)
        self._set_cookie(response, outcome.secret)
        return response

    async def factor_page(self, request: Request) -> Response:
        """Form of the second factor."""
        target, cookie = request.query_params.get("next", ""), self._cookie(request)
        return await self._factor_form(cookie, target)

    async def factor(self, request: Request) -> Response:
        """Check a code; the session gets a new secret."""
        raw, cookie = await self._page_form(request), self._cookie(request)
        if isinstance(raw, Reply):
            return self._show(raw, cookie)
        outcome = await anyio.to_thread.run_sync(
            lambda: signin.second(self.issuer, raw, cookie), limiter=self._hashing
        )
        if isinstance(outcome, signin.Wrong):
            return await self._refused_factor(cookie, outcome)
        if isinstance(outcome, Reply):
            return self._show(outcome, cookie)
        response = self._signed_in(outcome)
        self._set_cookie(response, outcome.secret)
        return response

    async def style(self, _: Request) -> Response:
        """Serve the style sheet of the pages."""
        headers = {"Cache-Control": "public, max-age=3600", "X-Content-Type-Options": "nosniff"}
        return Response(pages.STYLE, media_type="text/css", headers=headers)

    def _show(self, outcome: Reply | signin.Ask, cookie: str) -> Response:
        if isinstance(outcome, signin.Ask):
            if outcome.kind == "login":
                return _redirect(f"{self.base}/login?next={quote(outcome.next, safe='')}")
            if outcome.kind == "factor":
                return _redirect(f"{self.base}/factor?next={quote(outcome.next, safe='')}")
            csrf = signin.csrf_token(cookie)
            page = pages.consent(self.base, outcome.question, csrf=csrf, action=outcome.action)
            return show(page)
        if outcome.location is not None:
            return respond(outcome)
        text = str(outcome.body.get("error_description") or outcome.body.get("error", ""))
        return show(
            pages.message(self.base, "This request cannot be answered", text), outcome.status
        )

    async def _login_form(self, cookie: str, target: str, **more: Any) -> Response:
        status = more.pop("status", 200)
        redirect_uri = await _thread(lambda: signin.destination(self.issuer, target))
        csrf = signin.csrf_token(cookie)
        page = pages.login(self.base, csrf=csrf, target=target, redirect_uri=redirect_uri, **more)
        return show(page, status)

    async def _refused_login(self, cookie: str, wrong: signin.Wrong) -> Response:
        if wrong.locked_s:
            error = f"Too many wrong passwords. Try again in {wrong.locked_s} seconds."
        else:
            error = "This name and password do not belong together."
        status = 429 if wrong.locked_s else 400
        response = await self._login_form(
            cookie, wrong.next, username=wrong.username, error=error, status=status
        )
        if wrong.locked_s:
            response.headers["Retry-After"] = str(wrong.locked_s)
        return response

    async def _factor_form(self, cookie: str, target: str, error: str = "") -> Response:
        redirect_uri = await _thread(lambda: signin.destination(self.issuer, target))
        csrf = signin.csrf_token(cookie)
        page = pages.factor(
            self.base, csrf=csrf, target=target, redirect_uri=redirect_uri, error=error
        )
        return show(page, 400 if error else 200)

    async def _refused_factor(self, cookie: str, wrong: signin.Wrong) -> Response:
        if not wrong.locked_s:
            error = "This code is wrong or was used before."
            return await self._factor_form(cookie, wrong.next, error)
        error = f"Too many wrong codes. Try again in {wrong.locked_s} seconds."
        response = await self._factor_form(cookie, wrong.next, error)
        response.status_code = 429
        response.headers["Retry-After"] = str(wrong.locked_s)
        return response

    def _signed_in(self, outcome: signin.SignedIn) -> Response:
        if outcome.next:
            return _redirect(outcome.next)
        return self._message("You are signed in", "You can close this page.")

    def _message(self, title: str, text: str, status: int = 200) -> Response:
        return show(pages.message(self.base, title, text), status)

    async def _page_form(self, request: Request) -> bytes | Reply:
        origin = request.headers.get("origin")
        parts = urlsplit(self.issuer.config.issuer)
        if origin is not None and origin != f"{parts.scheme}://{parts.netloc}":
            return malformed("The form was sent from another site.")
        return await form(request)

    def _cookie(self, request: Request) -> str:
        return request.cookies.get(self.cookie, "")

    def _set_cookie(self, response: Response, secret: str) -> None:
        response.set_cookie(
            self.cookie, secret, path=self.base, httponly=True, samesite="lax", secure=self.secure
        )


def _public(path: str, handler: Handler, method: str) -> Route:
    async def endpoint(request: Request) -> Response:
        try:
            return await handler(request)
        except StoreUnreachableError:
            reply = Reply(
                503, {"error": "temporarily_unavailable", "error_description": _UNAVAILABLE}
            )
            return respond(reply)

    return Route(path, endpoint, methods=[method, "OPTIONS"], middleware=_CORS)


def _redirect(location: str) -> Response:
    return Response(None, 303, {"Location": location, "Cache-Control": "no-store"})


async def _answer(raw: bytes | Reply, endpoint: Callable[[bytes], Reply]) -> Response:
    if isinstance(raw, Reply):
        return respond(raw)
    return respond(await _thread(lambda: endpoint(raw)))


async def _thread(work: Callable[[], T]) -> T:
    return await anyio.to_thread.run_sync(work)
