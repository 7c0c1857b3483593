"""The person's side of an authorization: signing in, being asked, and deciding.

The face renders what these functions return: a `Reply` to send, or an `Ask` to show.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass, field, replace
from typing import Literal
from urllib.parse import urlsplit

from authlib.oauth2 import OAuth2Error

from auth.audit import CONSENT, LOGIN, STEP_UP
from auth.binding import Action
from auth.core import Issuer
from auth.factors.passwords import LockedError
from auth.policy import ACR_PASSWORD
from auth.question import Question, action_of, after_login, ask, consent_of, need
from auth.store import Login, digest
from auth.strength import strength
from auth.wire import Parameters, Reply, Request, refusal

LOGIN_S = 43_200
"""A browser stays signed in for twelve hours; step-up scopes ask again far sooner."""
OWN_PAGES = ("passkeys", "device")
"""Pages besides the authorization endpoint that a sign-in leads back to."""

_USER_CODE = re.compile(r"(user_code=[A-Za-z-]{1,16})?")


@dataclass(frozen=True, slots=True)
class Ask:
    """A page to show: ``next`` is where a sign-in leads back to, ``question`` what is asked.

    ``action`` is the one action that a step-up is for, shown to the person word for word.
    """

    kind: Literal["login", "factor", "consent"]
    question: Question
    next: str
    action: Action | None = None


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A new session: ``secret`` goes into the cookie, ``next`` is where the person goes."""

    secret: str = field(repr=False)
    next: str


@dataclass(frozen=True, slots=True)
class Wrong:
    """A sign-in that failed; ``locked_s`` is how long the name is locked, 0 when it is not."""

    username: str
    next: str
    locked_s: int = 0


def visit(issuer: Issuer, query: bytes, cookie: str) -> Reply | Ask:
    """Answer GET at the authorization endpoint: the code, the error, or the page to show."""

    def flow() -> Reply | Ask:
        question = ask(issuer, Parameters.parse(query))
        login = session(issuer, cookie)
        return _asked(issuer, question, login)

    return issuer.guarded(flow)


def _asked(issuer: Issuer, question: Question, login: Login | None) -> Reply | Ask:
    missing = need(issuer, question, login)
    settled = login is not None and missing in {"consent", "nothing"}
    action = action_of(issuer, question, login) if login and settled else None
    if missing == "nothing":
        return _finish(issuer, question, login, action)
    return Ask(missing, question, _return_to(issuer, after_login(question)), action)


def decide(issuer: Issuer, form: bytes, cookie: str) -> Reply | Ask:
    """Answer the consent page: the original parameters again, ``csrf`` and ``decision``.

    Everything is validated anew. Without the token of a living session nothing is said to the
    client: 400, no redirect, no code.
    """

    def flow() -> Reply | Ask:
        fields = Parameters.parse(form).unique()
        check_csrf(fields, cookie)
        login = session(issuer, cookie)
        if login is None:
            raise refusal("invalid_request", "The sign-in has ended. Start again at the client.")
        question = ask(issuer, fields.without("csrf", "decision", "action"))
        return _decided(issuer, question, login, fields)

    return issuer.guarded(flow)


def sign_in(issuer: Issuer, form: bytes, cookie: str) -> SignedIn | Wrong | Reply:
    """Answer the login page: ``username password csrf next``.

    The old session ends and a new one begins, so nobody can plant a session on a browser. Every
    attempt is recorded until the name is locked: what is refused unread costs nothing, and must not
    let the record grow as fast as somebody can knock. A name that nobody has is recorded as
    ``unknown``, because people type passwords into that field too.
    """

    def flow() -> SignedIn | Wrong:
        fields = Parameters.parse(form).unique()
        check_csrf(fields, cookie)
        username, target = fields.get("username"), safe_next(issuer, fields.get("next"))
        try:
            user = issuer.passwords.check(
                issuer.store, username, fields.get("password"), issuer.now()
            )
        except LockedError as error:
            if error.began:
                record_login(issuer, username, reason="locked")
            return Wrong(username, target, error.seconds)
        if user is None:
            record_login(issuer, username, reason="wrong")
            return Wrong(username, target)
        record_login(issuer, username)
        return SignedIn(begin_session(issuer, _first(issuer, user.username), cookie), target)

    return issuer.guarded(flow)


def second(issuer: Issuer, form: bytes, cookie: str) -> SignedIn | Wrong | Reply:
    """Answer the page of the second factor: ``code csrf next``, from a living session.

    The session goes on under a new secret. A code that was accepted is used up.
    """

    def flow() -> SignedIn | Wrong:
        fields = Parameters.parse(form).unique()
        check_csrf(fields, cookie)
        login, target = session(issuer, cookie), safe_next(issuer, fields.get("next"))
        if login is None:
            raise refusal("invalid_request", "The sign-in has ended. Start again at the client.")
        now = issuer.now()
        try:
            factor = issuer.codes.check(issuer.store, login.username, fields.get("code"), now)
        except LockedError as error:
            if error.began:
                record_factor(issuer, login.username, "", reason="locked")
            return Wrong(login.username, target, error.seconds)
        if factor is None:
            record_factor(issuer, login.username, "", reason="wrong")
            return Wrong(login.username, target)
        return SignedIn(step_up(issuer, login, factor.kind, cookie), target)

    return issuer.guarded(flow)


def step_up(issuer: Issuer, login: Login, kind: str, cookie: str) -> str:
    """Give a session its second factor and a new secret, which is returned."""
    record_factor(issuer, login.username, kind)
    stronger = replace(login, factor=kind, factor_time=issuer.now())
    return begin_session(issuer, stronger, cookie)


def begin_session(issuer: Issuer, login: Login, old_cookie: str) -> str:
    """Begin a session under a new secret, which is returned; the one before ends."""
    secret = secrets.token_urlsafe(32)
    issuer.store.purge(now=issuer.now())
    issuer.store.end_login(digest(old_cookie))
    issuer.store.add_login(replace(login, id_hash=digest(secret)))
    return secret


def session(issuer: Issuer, cookie: str) -> Login | None:
    """Return the living session of a cookie."""
    return issuer.store.find_login(digest(cookie), now=issuer.now()) if cookie else None


def csrf_token(cookie: str) -> str:
    """Return the token that only a page which knows the HttpOnly cookie can hold."""
    return hashlib.sha256(b"csrf:" + cookie.encode()).hexdigest()


def check_csrf(fields: Parameters, cookie: str) -> None:
    """Raise ``invalid_request`` unless the form came from a page of this browser session."""
    sent = fields.get("csrf").encode()
    if not cookie or not hmac.compare_digest(sent, csrf_token(cookie).encode()):
        raise refusal("invalid_request", "This page is out of date. Go back and start again.")


def safe_next(issuer: Issuer, target: str) -> str:
    """Return where to go after a sign-in: a page of ours that wants one, or nowhere (empty)."""
    page, _, query = target.partition("?")
    if page in {urlsplit(issuer.config.endpoint(name)).path for name in OWN_PAGES}:
        return target if _USER_CODE.fullmatch(query) else page
    start = _authorize_path(issuer) + "?"
    if not target.startswith(start):
        return ""
    return _return_to(issuer, Parameters.parse(target.removeprefix(start).encode()))


def destination(issuer: Issuer, target: str) -> str:
    """Return the redirect URI behind a ``next``, empty when there is none to be trusted."""
    try:
        query = safe_next(issuer, target).partition("?")[2]
        return ask(issuer, Parameters.parse(query.encode())).redirect_uri if query else ""
    except OAuth2Error:
        return ""


def _decided(issuer: Issuer, question: Question, login: Login, fields: Parameters) -> Reply | Ask:
    decision = fields.get("decision")
    if decision not in {"allow", "deny"}:
        raise refusal("invalid_request", "decision is allow or deny.")
    if decision == "deny":
        _record_consent(issuer, question, login, decision="refused")
        return _finish(issuer, question, None)
    if need(issuer, question, login) in {"login", "factor"}:
        return _asked(issuer, question, login)
    action = action_of(issuer, question, login)
    if fields.get("action") != (action.sha256 if action else ""):
        return _asked(issuer, question, login)  # another action waits now than the page showed
    if question.step_up != "bound":
        issuer.store.add_consent(consent_of(question, login), now=issuer.now())
    _record_consent(issuer, question, login, decision="done")
    return _finish(issuer, question, login, action)


def _finish(
    issuer: Issuer, question: Question, login: Login | None, action: Action | None = None
) -> Reply:
    """Answer the client: with a code for ``login``, or ``access_denied`` where it is None."""
    request: Request = question.grant.request
    request.login, request.action = login, action.sha256 if action else ""
    reply: Reply = issuer.create_authorization_response(
        request, grant_user=login.username if login else None, grant=question.grant
    )
    return reply


def _first(issuer: Issuer, username: str) -> Login:
    now = issuer.now()
    return Login("", username, ACR_PASSWORD, now, now + LOGIN_S)


def _authorize_path(issuer: Issuer) -> str:
    return urlsplit(issuer.config.endpoint("authorize")).path


def _return_to(issuer: Issuer, parameters: Parameters) -> str:
    return f"{_authorize_path(issuer)}?{parameters.encode()}"


def _record_consent(issuer: Issuer, question: Question, login: Login, *, decision: str) -> None:
    issuer.audit(
        actor=login.username,
        action=CONSENT,
        target=question.resource,
        decision=decision,
        facts={
            "client_id": question.client.client_id,
            "scope": " ".join(question.scopes),
            "acr": strength(login).acr,
            "auth_time": strength(login).auth_time,
        },
    )


def record_login(
    issuer: Issuer, username: str, *, reason: str = "", acr: str = ACR_PASSWORD
) -> None:
    """Record a sign-in, refused for ``reason`` if there is one."""
    known = issuer.store.find_user(username) is not None
    issuer.audit(
        actor=username if known else "unknown",
        action=LOGIN,
        target=issuer.config.issuer,
        decision="refused" if reason else "done",
        facts={"acr": acr, "reason": reason},
    )


def record_factor(issuer: Issuer, username: str, kind: str, *, reason: str = "") -> None:
    """Record a second factor, refused for ``reason`` if there is one."""
    issuer.audit(
        actor=username,
        action=STEP_UP,
        target=issuer.config.issuer,
        decision="refused" if reason else "done",
        facts={"factor": kind, "reason": reason},
    )
