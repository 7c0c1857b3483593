"""An authorization request as a question to a person: what is asked, and what is missing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from authlib.oauth2 import OAuth2Error

from auth.clients import Client
from auth.core import Issuer
from auth.grants.code import CodeGrant
from auth.policy import ACR_PASSWORD, step_up_of, stepped_up
from auth.store import Consent, Login
from auth.wire import Parameters, Request, refusal

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
    scopes = tuple(request.scope.split())
    question = Question(grant, request.client, request.resource, scopes, grant.redirect_uri)
    try:
        _check_asked(question)
    except OAuth2Error as error:
        _send_back(error, question)
        raise
    return question


def need(issuer: Issuer, question: Question, login: Login | None) -> Need:
    """Return what is missing before a code may be issued.

    With ``prompt=none`` a missing thing raises ``login_required`` or ``consent_required`` (OpenID
    Connect Core 1.0 s.3.1.2.6). A step-up scope wants a sign-in of its class, whatever the client
    said: clients know no ``acr_values``.
    """
    missing: Need = "nothing"
    if login is None or not _signed_in_well(question, login, issuer.now()):
        missing = "login"
    elif "consent" in question.prompts or not issuer.store.has_consent(consent_of(question, login)):
        missing = "consent"
    if missing != "nothing" and "none" in question.prompts:
        error = refusal(f"{missing}_required", "The person has to be asked, and prompt is none.")
        _send_back(error, question)
        raise error
    return missing


def after_login(question: Question) -> Parameters:
    """Return the request to come back with: what asked for a new sign-in has been done by then."""
    rest = " ".join(sorted(question.prompts - {"login", "select_account"}))
    kept = question.parameters.without("prompt", "max_age").pairs()
    return Parameters([*kept, ("prompt", rest)])


def consent_of(question: Question, login: Login) -> Consent:
    """Return what a person allows by saying yes; any other port or scope is asked again."""
    return Consent(
        username=login.username,
        client_id=question.client.client_id,
        resource=question.resource,
        redirect_uri=question.redirect_uri,
        scope=" ".join(question.scopes),
    )


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


def _signed_in_well(question: Question, login: Login, now: int) -> bool:
    age = question.parameters.get("max_age")
    if {"login", "select_account"} & question.prompts:
        return False
    if age and now - login.auth_time > int(age):
        return False
    return stepped_up(step_up_of(question.scopes), login.acr, login.auth_time, now)


def _send_back(error: OAuth2Error, question: Question) -> None:
    error.redirect_uri = question.redirect_uri
    error.state = question.parameters.state
