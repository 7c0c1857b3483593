"""The person's side of an authorization: signing in, being asked, and deciding."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Literal

from authlib.oauth2 import OAuth2Error

from auth.audit import CONSENT, LOGIN
from auth.clients import Client
from auth.core import Issuer
from auth.factors import LockedError
from auth.grants.code import CodeGrant
from auth.policy import ACR_PASSWORD, step_up_of, stepped_up
from auth.store import Consent, Login, digest
from auth.wire import Parameters, Reply, Request, refusal

LOGIN_S = 43_200
"""A browser stays signed in for twelve hours; step-up scopes ask again far sooner."""

Need = Literal["login", "consent", "nothing"]


@dataclass(frozen=True, slots=True)
class Question:
    """A validated authorization request, ready to be put to a person."""

    grant: CodeGrant
    client: Client
    resource: str
    scopes: tuple[str, ...]
    redirect_uri: str

    @property
    def parameters(self) -> Parameters:
        """The request as it came."""
        parameters: Parameters = self.grant.request.payload
        return parameters

    @property
    def prompts(self) -> frozenset[str]:
        """The values of ``prompt``."""
        return frozenset(self.parameters.get("prompt").split())


def ask(issuer: Issuer, parameters: Parameters) -> Question:
    """Validate an authorization request; raises `OAuth2Error` as `Issuer.authorization` does."""
    grant = issuer.authorization(parameters)
    request: Request = grant.request
    question = Question(
        grant, request.client, request.resource, tuple(request.scope.split()), grant.redirect_uri
    )
    try:
        _check_asked(question)
    except OAuth2Error as error:
        _send_back(error, question)
        raise
    return question


def need(issuer: Issuer, question: Question, login: Login | None) -> Need:
    """Return what is missing before a code may be issued.

    With ``prompt=none`` a missing thing raises ``login_required`` or ``consent_required`` (OpenID
    Connect Core s.3.1.2.6). A step-up scope wants a sign-in of its class, whatever the client said.
    """
    missing: Need = "nothing"
    if login is None or not _signed_in_well(issuer, question, login):
        missing = "login"
    elif "consent" in question.prompts or not issuer.store.has_consent(_consent(question, login)):
        missing = "consent"
    if missing != "nothing" and "none" in question.prompts:
        text = "The person has to be asked, and prompt is none."
        error = refusal(f"{missing}_required", text)
        _send_back(error, question)
        raise error
    return missing


def after_login(question: Question) -> Parameters:
    """Return the request to come back with: what asked for a new sign-in has been done by then."""
    rest = " ".join(sorted(question.prompts - {"login", "select_account"}))
    kept = question.parameters.without("prompt", "max_age").pairs()
    return Parameters([*kept, ("prompt", rest)])


def decide(issuer: Issuer, question: Question, login: Login | None, *, remember: bool) -> Reply:
    """Answer the client: with a code for ``login``, or ``access_denied`` where it is None.

    ``remember`` stores and records the consent that the person has just given.
    """
    if login is not None and remember:
        issuer.store.add_consent(_consent(question, login), now=issuer.now())
    if remember:
        _record_consent(issuer, question, login)
    request: Request = question.grant.request
    request.login = login
    user = login.username if login else None

    def answer() -> Reply:
        reply: Reply = issuer.create_authorization_response(
            request, grant_user=user, grant=question.grant
        )
        return reply

    return issuer.guarded(request, answer)


def sign_in(issuer: Issuer, username: str, password: str) -> tuple[str, Login] | None:
    """Check a password; return a new session secret and its row, or None when it is wrong.

    Five wrong ones in a row lock the name for 60 s: `LockedError`. Every attempt is recorded; a
    name that nobody has is recorded as ``unknown``, because people type passwords into that field.
    """
    now = issuer.now()
    try:
        user = issuer.passwords.check(issuer.store, username, password, now)
    except LockedError:
        _record_login(issuer, username, decision="refused", reason="locked")
        raise
    if user is None:
        _record_login(issuer, username, decision="refused", reason="wrong")
        return None
    secret = secrets.token_urlsafe(32)
    login = Login(digest(secret), user.username, ACR_PASSWORD, now, now + LOGIN_S)
    issuer.store.purge(now=now)
    issuer.store.add_login(login)
    _record_login(issuer, username, decision="done", reason="")
    return secret, login


def session(issuer: Issuer, secret: str) -> Login | None:
    """Return the living session of a cookie."""
    return issuer.store.find_login(digest(secret), now=issuer.now()) if secret else None


def _check_asked(question: Question) -> None:
    parameters = question.parameters
    if parameters.get("response_mode") not in {"", "query"}:
        raise refusal("invalid_request", "response_mode must be query.")
    if "none" in question.prompts and len(question.prompts) > 1:
        raise refusal("invalid_request", "prompt=none excludes every other prompt.")
    age = parameters.get("max_age")
    if age and not (age.isascii() and age.isdigit() and len(age) <= 9):
        raise refusal("invalid_request", "max_age must be a number of seconds.")
    wanted = parameters.get("acr_values").split()
    if wanted and ACR_PASSWORD not in wanted:
        text = "Nobody can sign in this way here."
        raise refusal("unmet_authentication_requirements", text)


def _signed_in_well(issuer: Issuer, question: Question, login: Login) -> bool:
    now, age = issuer.now(), question.parameters.get("max_age")
    if "login" in question.prompts or (age and now - login.auth_time > int(age)):
        return False
    return stepped_up(step_up_of(question.scopes), login.acr, login.auth_time, now)


def _send_back(error: OAuth2Error, question: Question) -> None:
    error.redirect_uri = question.redirect_uri
    error.state = question.parameters.state


def _consent(question: Question, login: Login) -> Consent:
    return Consent(
        username=login.username,
        client_id=question.client.client_id,
        resource=question.resource,
        redirect_uri=question.redirect_uri,
        scope=" ".join(question.scopes),
    )


def _record_consent(issuer: Issuer, question: Question, login: Login | None) -> None:
    facts = {"client_id": question.client.client_id, "scope": " ".join(question.scopes)}
    issuer.audit(
        actor=login.username if login else "unknown",
        action=CONSENT,
        target=question.resource,
        decision="done" if login else "refused",
        facts=facts,
    )


def _record_login(issuer: Issuer, username: str, *, decision: str, reason: str) -> None:
    known = issuer.store.find_user(username) is not None
    facts = {"acr": ACR_PASSWORD, "reason": reason}
    issuer.audit(
        actor=username if known else "unknown",
        action=LOGIN,
        target=issuer.config.issuer,
        decision=decision,
        facts=facts,
    )
