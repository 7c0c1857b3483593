"""The issuer's routes: public documents that any origin may read, and pages that none may."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from functools import cached_property

import anyio
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from auth import metadata, registration, signin
from auth.keys import JWKS_MAX_AGE_S
from auth.wire import Reply
from servers.identity import pages
from servers.identity.browser import UNAVAILABLE, Browser, Handler
from servers.identity.device import DevicePages
from servers.identity.documents import Reader
from servers.identity.limits import Limits
from servers.identity.passkeys import PasskeyPages
from servers.identity.requests import body, form, respond, thread
from topology.errors import StoreUnreachableError

_CORS = (Middleware(CORSMiddleware, allow_origins=["*"], allow_methods=["GET", "POST"],
                    allow_headers=["*"], max_age=600),)  # fmt: skip


class IdentityApp(Browser):
    """Handlers around one issuer; the core is synchronous and runs in threads."""

    def routes(self) -> list[Route]:
        """Return every route, with absolute paths for the root application."""
        base, issuer = self.base, self.issuer

        def limited(handler: Handler) -> Handler:
            return Limits(issuer).around(handler)

        return [
            _public(f"/.well-known/oauth-authorization-server{base}", self.metadata, "GET"),
            _public(f"{base}/.well-known/openid-configuration", self.openid, "GET"),
            _public(f"{base}/jwks.json", self.jwks, "GET"),
            _public(f"{base}/token", limited(self.token), "POST"),
            _public(f"{base}/revoke", limited(self.revoke), "POST"),
            _public(f"{base}/register", limited(self.register), "POST"),
            _public(f"{base}/device_authorization", limited(self.device_authorization), "POST"),
            self.page("authorize", limited(self.authorize), "GET"),
            self.page("authorize", limited(self.decide), "POST"),
            self.page("login", self.login_page, "GET"),
            self.page("login", limited(self.login), "POST"),
            self.page("factor", self.factor_page, "GET"),
            self.page("factor", limited(self.factor), "POST"),
            self.page("style.css", self.style, "GET"),
            *PasskeyPages(self.issuer).routes(),
            *DevicePages(self.issuer).routes(),
        ]

    @cached_property
    def _reader(self) -> Reader:
        return Reader(self.issuer)

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
        keys = await thread(lambda: self.issuer.keys.jwks(self.issuer.now()))
        return JSONResponse(keys, headers={"Cache-Control": f"public, max-age={JWKS_MAX_AGE_S}"})

    async def token(self, request: Request) -> Response:
        """Token endpoint."""
        raw = await form(request)
        await self._reader.of_form(raw)
        return await _answer(raw, self.issuer.token)

    async def device_authorization(self, request: Request) -> Response:
        """Device authorization endpoint."""
        return await _answer(await form(request), self.issuer.device_authorization)

    async def revoke(self, request: Request) -> Response:
        """Revocation endpoint."""
        return await _answer(await form(request), self.issuer.revocation)

    async def register(self, request: Request) -> Response:
        """Registration endpoint."""
        raw = await body(request)
        return await _answer(raw, lambda data: registration.register(self.issuer, data))

    async def authorize(self, request: Request) -> Response:
        """Authorization endpoint: the code, the error, or the page that is missing."""
        query, cookie = request.scope["query_string"], self.cookie_of(request)
        await self._reader.of_form(query)
        return self.shown(await thread(lambda: signin.visit(self.issuer, query, cookie)), cookie)

    async def decide(self, request: Request) -> Response:
        """Consent form."""
        raw, cookie = await self.page_form(request), self.cookie_of(request)
        await self._reader.of_form(raw)
        if isinstance(raw, Reply):
            return self.shown(raw, cookie)
        return self.shown(await thread(lambda: signin.decide(self.issuer, raw, cookie)), cookie)

    async def login_page(self, request: Request) -> Response:
        """Sign-in form."""
        target = request.query_params.get("next", "")
        cookie = self.cookie_of(request) or secrets.token_urlsafe(32)
        response = await self.login_form(cookie, target)
        self.set_cookie(response, cookie)
        return response

    async def login(self, request: Request) -> Response:
        """Check a password; the session gets a new secret."""
        raw, cookie = await self.page_form(request), self.cookie_of(request)
        if isinstance(raw, Reply):
            return self.shown(raw, cookie)
        outcome = await anyio.to_thread.run_sync(
            lambda: signin.sign_in(self.issuer, raw, cookie), limiter=self._hashing
        )
        if isinstance(outcome, signin.Wrong):
            return await self._refused_login(cookie, outcome)
        if isinstance(outcome, Reply):
            return self.shown(outcome, cookie)
        return self.signed_in(outcome)

    async def factor_page(self, request: Request) -> Response:
        """Form of the second factor."""
        target, cookie = request.query_params.get("next", ""), self.cookie_of(request)
        return await self.factor_form(cookie, target)

    async def factor(self, request: Request) -> Response:
        """Check a code; the session gets a new secret."""
        raw, cookie = await self.page_form(request), self.cookie_of(request)
        if isinstance(raw, Reply):
            return self.shown(raw, cookie)
        outcome = await anyio.to_thread.run_sync(
            lambda: signin.second(self.issuer, raw, cookie), limiter=self._hashing
        )
        if isinstance(outcome, signin.Wrong):
            return await self._refused_factor(cookie, outcome)
        if isinstance(outcome, Reply):
            return self.shown(outcome, cookie)
        return self.signed_in(outcome)

    async def style(self, _: Request) -> Response:
        """Serve the style sheet of the pages."""
        headers = {"Cache-Control": "public, max-age=3600", "X-Content-Type-Options": "nosniff"}
        return Response(pages.STYLE, media_type="text/css", headers=headers)

    async def _refused_login(self, cookie: str, wrong: signin.Wrong) -> Response:
        if wrong.locked_s:
            error = f"Too many wrong passwords. Try again in {wrong.locked_s} seconds."
        else:
            error = "This name and password do not belong together."
        status = 429 if wrong.locked_s else 400
        response = await self.login_form(
            cookie, wrong.next, username=wrong.username, error=error, status=status
        )
        if wrong.locked_s:
            response.headers["Retry-After"] = str(wrong.locked_s)
        return response

    async def _refused_factor(self, cookie: str, wrong: signin.Wrong) -> Response:
        if not wrong.locked_s:
            error = "This code is wrong or was used before."
            return await self.factor_form(cookie, wrong.next, error)
        error = f"Too many wrong codes. Try again in {wrong.locked_s} seconds."
        response = await self.factor_form(cookie, wrong.next, error)
        response.status_code = 429
        response.headers["Retry-After"] = str(wrong.locked_s)
        return response


def _public(path: str, handler: Handler, method: str) -> Route:
    async def endpoint(request: Request) -> Response:
        try:
            return await handler(request)
        except StoreUnreachableError:
            reply = Reply(
                503, {"error": "temporarily_unavailable", "error_description": UNAVAILABLE}
            )
            return respond(reply)

    return Route(path, endpoint, methods=[method, "OPTIONS"], middleware=_CORS)


async def _answer(raw: bytes | Reply, endpoint: Callable[[bytes], Reply]) -> Response:
    if isinstance(raw, Reply):
        return respond(raw)
    return respond(await thread(lambda: endpoint(raw)))
