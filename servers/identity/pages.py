"""The pages a person sees: sign-in, consent, a message. Nothing on them is from elsewhere."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from html import escape
from urllib.parse import urlsplit

from auth.binding import Action
from auth.clients import is_loopback_redirect
from auth.question import Question

STYLE = """\
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { max-width: 26rem; margin: 12vh auto; padding: 0 1.5rem; }
h1 { font-size: 1.25rem; }
label, dt { display: block; margin-top: 1rem; font-weight: 600; }
dd { margin: 0; overflow-wrap: anywhere; }
input { width: 100%; padding: .5rem; font: inherit; box-sizing: border-box; }
button { margin: 1.5rem .75rem 0 0; padding: .5rem 1.25rem; font: inherit; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; font-size: .875rem; margin: 0; }
.warning { border-left: .25rem solid #c60; padding-left: .75rem; }
.error { border-left: .25rem solid #c00; padding-left: .75rem; }
"""

SELF_MADE = "This client gave itself its name: anybody can take any name."


@dataclass(frozen=True, slots=True)
class Page:
    """A page and the origin its form may lead to (empty: only back to us).

    ``script`` says that it has our one script, which asks the browser for a passkey.
    """

    html: str
    form_target: str = ""
    script: bool = False

    def policy(self) -> str:
        """Return the content security policy of this page."""
        form = f"'self' {self.form_target}".rstrip()
        script = "script-src 'self'; " if self.script else ""
        return (
            f"default-src 'none'; style-src 'self'; {script}frame-ancestors 'none'; "
            f"base-uri 'none'; form-action {form}"
        )


def login(
    base: str,
    *,
    csrf: str,
    target: str,
    redirect_uri: str,
    username: str = "",
    error: str = "",
    passkey: str = "",
) -> Page:
    """Return the sign-in page: ``target`` is the hidden ``next``, ``passkey`` its options."""
    sent = [("csrf", csrf), ("next", target)]
    body = f"""\
<h1>Sign in to AlphaSwarm</h1>
{paragraph("error", error)}
<form method="post" action="{escape(base)}/login">
{hidden(sent)}
<label for="username">Name</label>
<input id="username" name="username" value="{escape(username)}" autocomplete="username" required>
<label for="password">Password</label>
<input id="password" name="password" type="password" autocomplete="current-password" required>
<button type="submit">Sign in</button>
</form>
{passkey_form(f"{base}/login/passkey", passkey, sent, "Sign in with a passkey")}"""
    html = document(base, "Sign in", body, script=bool(passkey))
    return Page(html, form_origin(redirect_uri), script=bool(passkey))


def factor(
    base: str, *, csrf: str, target: str, redirect_uri: str, error: str = "", passkey: str = ""
) -> Page:
    """Return the page that asks for a one-time or recovery code, or for a passkey."""
    sent = [("csrf", csrf), ("next", target)]
    body = f"""\
<h1>Your second factor</h1>
{paragraph("error", error)}
<form method="post" action="{escape(base)}/factor">
{hidden(sent)}
<label for="code">Code of your app, or a recovery code</label>
<input id="code" name="code" autocomplete="one-time-code" required autofocus>
<button type="submit">Continue</button>
</form>
{passkey_form(f"{base}/factor/passkey", passkey, sent, "Use a passkey")}"""
    html = document(base, "Second factor", body, script=bool(passkey))
    return Page(html, form_origin(redirect_uri), script=bool(passkey))


def passkey_form(
    action: str,
    options: str,
    sent: Iterable[tuple[str, str]],
    label: str,
    *,
    ceremony: str = "get",
    fields: str = "",
) -> str:
    """Return a form that our script shows and fills, nothing where there are no ``options``."""
    if not options:
        return ""
    return f"""\
<form method="post" action="{escape(action)}" data-passkey="{ceremony}" \
data-options="{escape(options)}" hidden>
{hidden([*sent, ("credential", "")])}
{fields}<button type="submit">{escape(label)}</button>
<p class="error" role="alert" hidden></p>
</form>"""


def consent(base: str, question: Question, *, csrf: str, action: Action | None = None) -> Page:
    """Return the consent page: who asks, for which server, to do what, and where it is sent."""
    client, uri = question.client, question.redirect_uri
    warning = (
        "The answer goes to a program on this machine. Allow it only if you have just started it."
        if is_loopback_redirect(uri)
        else ""
    )
    sent = question.parameters.without("action").pairs()
    chosen = [("action", action.sha256)] if action else []
    scopes = "".join(f"<dd>{escape(scope)}</dd>" for scope in question.scopes)
    body = f"""\
<h1>Allow {escape(client.name or "an unnamed client")}?</h1>
<dl>
<dt>Client</dt><dd>{escape(client.client_id)}</dd>
<dt>Server</dt><dd>{escape(question.resource)}</dd>
<dt>May</dt>{scopes}
<dt>Answer goes to</dt><dd>{escape(shown_host(uri))}</dd>
{_asked_action(action)}</dl>
{paragraph("warning", SELF_MADE if client.registered else "")}
{paragraph("warning", warning)}
<form method="post" action="{escape(base)}/authorize">
{hidden([("csrf", csrf), *chosen, *sent])}
<button type="submit" name="decision" value="allow">Allow</button>
<button type="submit" name="decision" value="deny">Deny</button>
</form>"""
    return Page(document(base, "Consent", body), form_origin(uri))


def _asked_action(action: Action | None) -> str:
    """Return what a step-up is for, word for word: the person decides about exactly this."""
    if action is None:
        return ""
    shown = json.dumps(json.loads(action.text)["arguments"], indent=2, ensure_ascii=False)
    return (
        f"<dt>For this one action</dt><dd>{escape(action.tool)}</dd>"
        f"<dd><pre>{escape(shown)}</pre></dd>\n"
    )


def message(base: str, title: str, text: str) -> Page:
    """Return a page with one sentence."""
    return Page(document(base, title, f"<h1>{escape(title)}</h1>\n<p>{escape(text)}</p>"))


def form_origin(redirect_uri: str) -> str:
    """Return the CSP source of a redirect URI; browsers check a form's redirects against it.

    A private scheme and an IPv6 address have no host source in CSP 3: there it is the scheme.
    """
    if not redirect_uri:
        return ""
    parts = urlsplit(redirect_uri)
    if parts.scheme not in {"http", "https"} or "[" in parts.netloc:
        return f"{parts.scheme}:"
    return f"{parts.scheme}://{parts.netloc}"


def shown_host(redirect_uri: str) -> str:
    """Return what a person can recognise of a redirect URI."""
    parts = urlsplit(redirect_uri)
    return parts.netloc if parts.scheme in {"http", "https"} else f"{parts.scheme}://{parts.netloc}"


def document(base: str, title: str, body: str, *, script: bool = False) -> str:
    """Return a whole page around ``body``."""
    ours = f'<script src="{escape(base)}/passkey.js" defer></script>\n' if script else ""
    return f"""\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)} - AlphaSwarm</title>
<link rel="stylesheet" href="{escape(base)}/style.css">
{ours}</head>
<body>
{body}
</body>
</html>
"""


def hidden(pairs: Iterable[tuple[str, str]]) -> str:
    """Return hidden fields."""
    return "\n".join(
        f'<input type="hidden" name="{escape(name)}" value="{escape(value)}">'
        for name, value in pairs
    )


def paragraph(kind: str, text: str) -> str:
    """Return a paragraph of a kind (``error``, ``warning``), nothing for no text."""
    return f'<p class="{kind}">{escape(text)}</p>' if text else ""
