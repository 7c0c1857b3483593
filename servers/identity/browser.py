"""What every page of the issuer shares: the cookie, the check of a form, and how it is shown."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import quote, urlsplit

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from auth import passkeys, signin
from auth.core import Issuer
from auth.wire import Reply, malformed
from servers.identity import pages
from servers.identity.requests import form, redirect, respond, show, thread
from topology.errors import StoreUnreachableError

Handler = Callable[[Request], Awaitable[Response]]
UNAVAILABLE = "A store does not answer. Try again in a moment."


class Browser:
    """A person's browser as the pages of one issuer see it."""

    def __init__(self, issuer: Issuer) -> None:
        self.issuer = issuer
        self.base = urlsplit(issuer.config.issuer).path
        digest = hashlib.sha256(issuer.config.issuer.encode()).hexdigest()[:12]
        self.cookie = f"asw_login_{digest}"  # cookies ignore ports, and homes share a host
        self.secure = issuer.config.issuer.startswith("https:")

    def page(self, name: str, handler: Handler, method: str) -> Route:
        """Return the route of a page below the issuer, which says so where a store is silent."""

        async def endpoint(request: Request) -> Response:
            try:
                return await handler(request)
            except StoreUnreachableError:
                return self.message("Not now", UNAVAILABLE, 503)

        return Route(f"{self.base}/{name}", endpoint, methods=[method])

    def shown(self, outcome: Reply | signin.Ask, cookie: str) -> Response:
        """Return what the core answered: a page, or a redirect."""
        if isinstance(outcome, signin.Ask):
            if outcome.kind == "login":
                return redirect(f"{self.base}/login?next={quote(outcome.next, safe='')}")
            if outcome.kind == "factor":
                return redirect(f"{self.base}/factor?next={quote(outcome.next, safe='')}")
            csrf = signin.csrf_token(cookie)
            page = pages.consent(self.base, outcome.question, csrf=csrf, action=outcome.action)
            return show(page)
        if outcome.location is not None:
            return respond(outcome)
        text = str(outcome.body.get("error_description") or outcome.body.get("error", ""))
        return show(
            pages.message(self.base, "This request cannot be answered", text), outcome.status
        )

    async def login_form(self, cookie: str, target: str, **more: Any) -> Response:
        """Return the sign-in page."""
        status = more.pop("status", 200)
        redirect_uri = await thread(lambda: signin.destination(self.issuer, target))
        csrf = signin.csrf_token(cookie)
        more["passkey"] = passkeys.offer_sign_in(self.issuer, cookie)
        page = pages.login(self.base, csrf=csrf, target=target, redirect_uri=redirect_uri, **more)
        return show(page, status)

    async def factor_form(self, cookie: str, target: str, error: str = "") -> Response:
        """Return the page of the second factor."""

        def page() -> pages.Page:
            return pages.factor(
                self.base,
                csrf=signin.csrf_token(cookie),
                target=target,
                redirect_uri=signin.destination(self.issuer, target),
                error=error,
                passkey=passkeys.offer_second(self.issuer, cookie),
            )

        return show(await thread(page), 400 if error else 200)

    def signed_in(self, outcome: signin.SignedIn) -> Response:
        """Return where a sign-in leads, with the cookie of the new session."""
        if outcome.next:
            response = redirect(outcome.next)
        else:
            response = self.message("You are signed in", "You can close this page.")
        self.set_cookie(response, outcome.secret)
        return response

    def message(self, title: str, text: str, status: int = 200) -> Response:
        """Return a page with one sentence."""
        return show(pages.message(self.base, title, text), status)

    async def page_form(self, request: Request) -> bytes | Reply:
        """Return the bytes of a form of one of our own pages, or the refusal of any other."""
        origin = request.headers.get("origin")
        parts = urlsplit(self.issuer.config.issuer)
        if origin is not None and origin != f"{parts.scheme}://{parts.netloc}":
            return malformed("The form was sent from another site.")
        return await form(request)

    def cookie_of(self, request: Request) -> str:
        """Return the secret of the browser's session, empty without one."""
        return request.cookies.get(self.cookie, "")

    def set_cookie(self, response: Response, secret: str) -> None:
        """Give the browser the secret of its session."""
        response.set_cookie(
            self.cookie, secret, path=self.base, httponly=True, samesite="lax", secure=self.secure
        )
