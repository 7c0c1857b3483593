"""The page of the device flow: type the code that a device shows, see who asks, decide."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from auth import devices, signin
from auth.devices import CodeRefusedError, Waiting
from auth.store import Login
from auth.wire import Parameters, Reply, refusal
from servers.identity import pages
from servers.identity.browser import Browser
from servers.identity.limits import Limits
from servers.identity.pages import Page
from servers.identity.requests import redirect, show, thread

_WRONG = "No device waits with this code. Look at the code again."
_WARNING = "Allow this only if you have just started it yourself, on a machine that you trust."


class DevicePages(Browser):
    """The handlers of ``/as/device``; whoever is not signed in signs in first."""

    def routes(self) -> list[Route]:
        """Return the page and its form."""
        limits = Limits(self.issuer)
        return [
            self.page("device", limits.around(self.ask), "GET"),
            self.page("device", limits.around(self.decide), "POST"),
        ]

    async def ask(self, request: Request) -> Response:
        """Show the form for a code, or what the code in the address stands for."""
        cookie, typed = self.cookie_of(request), request.query_params.get("user_code", "")
        return await thread(lambda: self._asked(cookie, typed[:32]))

    async def decide(self, request: Request) -> Response:
        """Allow or deny."""
        raw, cookie = await self.page_form(request), self.cookie_of(request)
        if isinstance(raw, Reply):
            return self.shown(raw, cookie)
        return await thread(lambda: self._decided(raw, cookie))

    def _asked(self, cookie: str, typed: str) -> Response:
        login = signin.session(self.issuer, cookie)
        if login is None:
            return self._sign_in(typed)
        if not typed:
            return show(entry(self.base))
        return self._with(login, typed, lambda waiting: self._question(cookie, typed, waiting))

    def _decided(self, raw: bytes, cookie: str) -> Response:
        def answered() -> Response | Reply:
            fields = Parameters.parse(raw).unique()
            signin.check_csrf(fields, cookie)
            login, typed = signin.session(self.issuer, cookie), fields.get("user_code")
            decision = fields.get("decision")
            if login is None:
                return self._sign_in(typed)
            if decision not in {"allow", "deny"}:
                raise refusal("invalid_request", "decision is allow or deny.")
            return self._with(
                login, typed, lambda waiting: self._done(login, waiting, decision == "allow")
            )

        outcome = self.issuer.guarded(answered)
        return self.shown(outcome, cookie) if isinstance(outcome, Reply) else outcome

    def _with(self, login: Login, typed: str, answer: Callable[[Waiting], Response]) -> Response:
        try:
            waiting = devices.find(self.issuer, login, typed)
        except CodeRefusedError as error:
            return self._refused(error)
        if devices.must_sign_in(self.issuer, login, waiting):
            return self._sign_in(typed)
        return answer(waiting)

    def _question(self, cookie: str, typed: str, waiting: Waiting) -> Response:
        return show(consent(self.base, waiting, csrf=signin.csrf_token(cookie), code=typed))

    def _done(self, login: Login, waiting: Waiting, allow: bool) -> Response:  # noqa: FBT001
        devices.decide(self.issuer, login, waiting, allow=allow)
        said = "The device may go on." if allow else "The device was told no."
        return self.message("Done", f"{said} You can close this page.")

    def _refused(self, error: CodeRefusedError) -> Response:
        if not error.locked_s:
            return show(entry(self.base, error=_WRONG), 400)
        text = f"Too many wrong codes. Try again in {error.locked_s} seconds."
        response = show(entry(self.base, error=text), 429)
        response.headers["Retry-After"] = str(error.locked_s)
        return response

    def _sign_in(self, typed: str) -> Response:
        page = f"{self.base}/device"
        letters = "".join(letter for letter in typed if letter.isascii() and letter.isalpha())
        target = f"{page}?user_code={letters[:16]}" if letters else page
        return redirect(f"{self.base}/login?next={quote(target, safe='')}")


def entry(base: str, *, error: str = "") -> Page:
    """Return the page that asks for the code of a device."""
    body = f"""\
<h1>Connect a device</h1>
{pages.paragraph("error", error)}
<form method="get" action="{escape(base)}/device">
<label for="user_code">Code that the device shows</label>
<input id="user_code" name="user_code" autocomplete="off" autocapitalize="characters"
 spellcheck="false" maxlength="16" required autofocus>
<button type="submit">Continue</button>
</form>"""
    return Page(pages.document(base, "Connect a device", body))


def consent(base: str, waiting: Waiting, *, csrf: str, code: str) -> Page:
    """Return the page that says who asks, for which servers, to do what."""
    client, run = waiting.client, waiting.run
    asked = "\n".join(
        f"<dt>At {escape(row.resource)}</dt><dd>{escape(row.scope)}</dd>" for row in waiting.rows
    )
    lasting = (
        f"<dt>Without asking again</dt><dd>for {run.hours} hours, for the spec</dd>"
        f"<dd>{escape(run.spec)}</dd>"
        if run
        else ""
    )
    body = f"""\
<h1>Allow {escape(client.name or "an unnamed client")} on another machine?</h1>
<dl>
<dt>Client</dt><dd>{escape(client.client_id)}</dd>
{asked}
{lasting}
</dl>
{pages.paragraph("warning", _WARNING)}
<form method="post" action="{escape(base)}/device">
{pages.hidden([("csrf", csrf), ("user_code", code)])}
<button type="submit" name="decision" value="allow">Allow</button>
<button type="submit" name="decision" value="deny">Deny</button>
</form>"""
    return Page(pages.document(base, "Connect a device", body))
