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
:root {
  color-scheme: light dark; --paper: #fbfbfa; --card: #fff; --ink: #16181d; --soft: #5d636f;
  --line: #e6e6e3; --accent: #3b5bdb; --on-accent: #fff; --bad: #b3263f; --warn: #8a5a00;
  font: 15px/1.5 ui-sans-serif, system-ui, -apple-system, "Segoe UI", Roboto, sans-serif;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #111317; --card: #181b21; --ink: #e9ebef; --soft: #a3aab6;
    --line: #2a2e37; --accent: #86a0ff; --on-accent: #0e1116; --bad: #ff8d9d; --warn: #f0c050;
  }
}
* { box-sizing: border-box; }
body {
  max-width: 27rem; margin: 12vh auto 8vh; padding: 1.75rem; color: var(--ink);
  background: var(--card); border: 1px solid var(--line); border-radius: 14px;
}
html { background: var(--paper); padding: 0 1rem; }
h1 { font-size: 1.375rem; line-height: 1.25; letter-spacing: -.015em; margin: 0 0 .5rem; }
label, dt { display: block; margin-top: 1rem; font-weight: 560; font-size: .9rem; }
dt { color: var(--soft); font-weight: 500; }
dd { margin: 0; overflow-wrap: anywhere; }
input, button { font: inherit; border-radius: 8px; padding: .5rem .75rem; min-height: 2.6rem; }
input { width: 100%; margin-top: .25rem; color: inherit; background: var(--card);
  border: 1px solid var(--soft); }
button { margin-top: 1.25rem; min-width: 8.5rem; cursor: pointer; font-weight: 560;
  color: var(--on-accent); background: var(--accent); border: 1px solid var(--accent); }
button + button { margin-left: .5rem; }
button[value=deny], [data-passkey] button { color: var(--ink); background: none;
  border-color: var(--line); }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; font-size: .8125rem; margin: .25rem 0 0;
  padding: .625rem .75rem; border: 1px solid var(--line); border-radius: 8px; }
.warning { border-left: 3px solid var(--warn); padding-left: .75rem; }
.error { border-left: 3px solid var(--bad); padding-left: .75rem; }
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
