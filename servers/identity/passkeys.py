"""Routes of passkeys: sign in, step up, enrol with a ticket, list and remove."""

from __future__ import annotations

import secrets
from functools import cached_property
from pathlib import Path
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from auth import passkeys, signin
from auth.wire import Reply
from servers.identity import keypages
from servers.identity.browser import Browser, Handler
from servers.identity.limits import Limits
from servers.identity.requests import redirect, show, thread

_REFUSED = "This passkey was not accepted."
_COPIED = "This passkey was used elsewhere since: it may be a copy, and was refused. Remove it."


class PasskeyPages(Browser):
    """Handlers beside those of an issuer's other pages."""

    def routes(self) -> list[Route]:
        """Return the routes; where the issuer has no host name, the script is all there is."""
        page = self.page

        def limited(handler: Handler) -> Handler:
            return Limits(self.issuer).around(handler)

        return [
            page("passkey.js", self.script, "GET"),
            page("login/passkey", limited(self.sign_in), "POST"),
            page("factor/passkey", limited(self.second), "POST"),
            page("passkeys", limited(self.keys), "GET"),
            page("passkeys", limited(self.enrol), "POST"),
            page("passkeys/remove", limited(self.remove), "POST"),
        ]

    async def script(self, _: Request) -> Response:
        """Serve the one script of our pages."""
        headers = {"Cache-Control": "public, max-age=3600", "X-Content-Type-Options": "nosniff"}
        return Response(self._source, media_type="text/javascript", headers=headers)

    @cached_property
    def _source(self) -> bytes:
        return Path(__file__).with_name("passkey.js").read_bytes()

    async def sign_in(self, request: Request) -> Response:
        """Sign in with a passkey alone."""
        raw, cookie = await self.page_form(request), self.cookie_of(request)
        if isinstance(raw, Reply):
            return self.shown(raw, cookie)
        outcome = await thread(lambda: passkeys.sign_in(self.issuer, raw, cookie))
        if isinstance(outcome, passkeys.Unaccepted):
            page = await self.login_form(cookie, outcome.next, error=_told(outcome))
            return _with_status(page, outcome)
        return self._begun(outcome, cookie)

    async def second(self, request: Request) -> Response:
        """Step up with a passkey of the person who is signed in."""
        raw, cookie = await self.page_form(request), self.cookie_of(request)
        if isinstance(raw, Reply):
            return self.shown(raw, cookie)
        outcome = await thread(lambda: passkeys.second(self.issuer, raw, cookie))
        if isinstance(outcome, passkeys.Unaccepted):
            page = await self.factor_form(cookie, outcome.next, _told(outcome))
            return _with_status(page, outcome)
        return self._begun(outcome, cookie)

    async def keys(self, request: Request) -> Response:
        """Show a person's keys, or with a ticket the page that makes one."""
        ticket, cookie = request.query_params.get("ticket"), self.cookie_of(request)
        if ticket is None:
            return self._held(await thread(lambda: passkeys.held(self.issuer, cookie)), cookie)
        cookie = cookie or secrets.token_urlsafe(32)
        found = await thread(lambda: passkeys.enrolment(self.issuer, ticket, cookie))
        response = self._enrolment(found, cookie)
        self.set_cookie(response, cookie)
        return response

    async def enrol(self, request: Request) -> Response:
        """Take over a new key; what follows is a sign-in with it."""
        raw, cookie = await self.page_form(request), self.cookie_of(request)
        if isinstance(raw, Reply):
            return self.shown(raw, cookie)
        outcome = await thread(lambda: passkeys.enrol(self.issuer, raw, cookie))
        if isinstance(outcome, passkeys.Enrolment | Reply):
            return self._enrolment(outcome, cookie)
        return redirect(f"{self.base}/login?next={quote(f'{self.base}/passkeys', safe='')}")

    async def remove(self, request: Request) -> Response:
        """Remove a key of the person who is signed in."""
        raw, cookie = await self.page_form(request), self.cookie_of(request)
        if isinstance(raw, Reply):
            return self.shown(raw, cookie)
        outcome = await thread(lambda: passkeys.remove(self.issuer, raw, cookie))
        if isinstance(outcome, Reply):
            return self.shown(outcome, cookie)
        return redirect(f"{self.base}/passkeys")

    def _begun(self, outcome: signin.SignedIn | Reply, cookie: str) -> Response:
        if isinstance(outcome, Reply):
            return self.shown(outcome, cookie)
        return self.signed_in(outcome)

    def _enrolment(self, found: passkeys.Enrolment | Reply, cookie: str) -> Response:
        if isinstance(found, Reply):
            return self.shown(found, cookie)
        page = keypages.enrol(self.base, found, csrf=signin.csrf_token(cookie))
        return show(page, 400 if found.problem else 200)

    def _held(self, found: passkeys.Held | passkeys.Missing, cookie: str) -> Response:
        if isinstance(found, passkeys.Missing):
            target = quote(f"{self.base}/passkeys", safe="")
            return redirect(f"{self.base}/{found.kind}?next={target}")
        return show(keypages.listed(self.base, found, csrf=signin.csrf_token(cookie)))


def _told(refused: passkeys.Unaccepted) -> str:
    if refused.locked_s:
        return f"Too many wrong passkeys. Try again in {refused.locked_s} seconds."
    return _COPIED if refused.reason == "copied" else _REFUSED


def _with_status(response: Response, refused: passkeys.Unaccepted) -> Response:
    response.status_code = 429 if refused.locked_s else 400
    if refused.locked_s:
        response.headers["Retry-After"] = str(refused.locked_s)
    return response
