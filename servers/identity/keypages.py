"""The pages of passkeys: enrolling one with a ticket, and the list of those a person has."""

from __future__ import annotations

import datetime as dt
from html import escape

from auth.passkeys import Enrolment, Held
from auth.store import Factor
from servers.identity.pages import Page, document, hidden, paragraph, passkey_form

_NO_SCRIPT = "<noscript><p>Enrolling a passkey needs the script of this page.</p></noscript>"


def enrol(base: str, found: Enrolment, *, csrf: str) -> Page:
    """Return the page that makes a passkey for the person of a ticket."""
    name = (
        '<label for="name">Name of the device</label>\n'
        '<input id="name" name="name" maxlength="64" autocomplete="off">\n'
    )
    sent = [("csrf", csrf), ("ticket", found.ticket)]
    form = passkey_form(
        f"{base}/passkeys",
        found.options,
        sent,
        "Make a passkey",
        ceremony="create",
        fields=name,
    )
    body = f"""\
<h1>A passkey for {escape(found.username)}</h1>
{paragraph("error", found.problem)}
<p>Your device asks for your finger, face or PIN. It keeps the key, which works
for this host only.</p>
{_NO_SCRIPT}
{form}"""
    return Page(document(base, "A new passkey", body, script=True), script=True)


def listed(base: str, held: Held, *, csrf: str) -> Page:
    """Return the page with a person's keys, each with a button that removes it."""
    rows = "\n".join(_row(base, key, csrf) for key in held.keys)
    none = "<p>There is none. Enrol one on this machine: alphaswarm user enrol passkey.</p>"
    codes = (
        f"<p>{held.recovery} recovery codes are left.</p>"
        if held.recovery
        else "<p>You have no recovery codes: alphaswarm user recovery-codes makes ten.</p>"
    )
    body = f"""\
<h1>Passkeys of {escape(held.username)}</h1>
{f"<dl>{rows}</dl>" if rows else none}
{codes}"""
    return Page(document(base, "Passkeys", body))


def _row(base: str, key: Factor, csrf: str) -> str:
    day = dt.datetime.fromtimestamp(key.created_at, tz=dt.UTC).date().isoformat()
    return f"""\
<dt>{escape(key.name)}</dt>
<dd>since {day}
<form method="post" action="{escape(base)}/passkeys/remove">
{hidden([("csrf", csrf), ("id", key.id)])}
<button type="submit">Remove</button>
</form></dd>"""
