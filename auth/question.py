"""An authorization request as a question to a person: what is asked, and what is missing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from authlib.oauth2 import OAuth2Error

from auth.binding import Action, parse_details
from auth.clients import Client
from auth.core import Issuer
from auth.grants.code import CodeGrant
from auth.policy import (
    ACR_PASSWORD,
    ASKED_SCOPES,
    FRESH_S,
    LEVELS,
    StepUp,
    level_of,
    needs_factor,
    step_up_of,
)
from auth.store import Consent, Login
from auth.strength import strength
from auth.wire import Parameters, Request, refusal

Need = Literal["login", "factor", "consent", "nothing"]


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
    def step_up(self) -> StepUp:
        """The strictest class of what is asked for."""
        return step_up_of(self.scopes)

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
        raise sent_back(error, question) from None
    return question


def need(issuer: Issuer, question: Question, login: Login | None) -> Need:
    """Return what is missing before a code may be issued.

    With ``prompt=none`` a missing thing raises ``login_required`` or ``consent_required`` (OpenID
    Connect Core 1.0 s.3.1.2.6). A step-up scope wants a sign-in of its class, whatever the client
    said: clients know no ``acr_values``. Who has no second factor where one is wanted gets
    ``unmet_authentication_requirements``, never a lesser token.
    """
    missing: Need = "nothing"
    if login is None or not _first_fits(question, login, issuer.now()):
        missing = "login"
    elif not _second_fits(question, login, issuer.now()):
        missing = "factor"
        _check_enrolled(issuer, question, login)
    elif _undecided(issuer, question, login):
        missing = "consent"
    if missing != "nothing" and "none" in question.prompts:
        name = "consent_required" if missing == "consent" else "login_required"
        raise sent_back(refusal(name, "The person has to be asked, and prompt is none."), question)
    return missing


def _undecided(issuer: Issuer, question: Question, login: Login) -> bool:
    """Tell whether the person has to be asked: always, where it is about one action.

    A page of this suite is asked about only where it wants more than a sign-in.
    """
    if question.step_up == "bound" or "consent" in question.prompts:
        return True
    if ASKED_SCOPES & set(question.scopes) and action_of(issuer, question, login) is not None:
        return True
    if question.client.own and question.step_up == "none":
        return False
    return not issuer.store.has_consent(consent_of(question, login))


def action_of(issuer: Issuer, question: Question, login: Login) -> Action | None:
    """Return the one action that a step-up is for: what the client names, else what was refused.

    A bound scope without an action, or with one too long to be read on a page, raises
    ``invalid_authorization_details`` (RFC 9396 s.5).
    """
    if question.step_up == "none":
        return None
    named = _named_action(question)
    if named is None:
        refused = issuer.store.find_refused(
            login.username, question.client.client_id, now=issuer.now()
        )
        named = Action(refused.tool, refused.text) if refused else None
    if question.step_up == "bound" and (named is None or not named.readable):
        text = "This scope is granted for one action: try the action first, then sign in."
        raise sent_back(refusal("invalid_authorization_details", text), question)
    return named


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
    if wanted and _level_asked(question) == 0:
        text = "Nobody can sign in this way here."
        raise refusal("unmet_authentication_requirements", text)
    _named_action(question)


def _named_action(question: Question) -> Action | None:
    try:
        return parse_details(question.parameters.get("authorization_details"))
    except (ValueError, RecursionError):
        text = "authorization_details must be a list of one alphaswarm_action."
        raise refusal("invalid_authorization_details", text) from None


def _level_asked(question: Question) -> int:
    """Return the least level that ``acr_values`` accepts, 0 for none that we know."""
    wanted = question.parameters.get("acr_values").split()
    known = [LEVELS[acr] for acr in wanted if level_of(acr)]
    return min(known, default=0)


def _first_fits(question: Question, login: Login, now: int) -> bool:
    age = question.parameters.get("max_age")
    if {"login", "select_account"} & question.prompts:
        return False
    if age and now - login.auth_time > int(age):
        return False
    return question.step_up == "none" or now - login.auth_time <= FRESH_S


def _second_fits(question: Question, login: Login, now: int) -> bool:
    wanted = max(_level_asked(question), 2 if needs_factor(question.step_up) else 0)
    if wanted <= LEVELS[ACR_PASSWORD]:
        return True
    held = strength(login)
    fresh = question.step_up == "none" or now - held.auth_time <= FRESH_S
    return level_of(held.acr) >= wanted and fresh


def _check_enrolled(issuer: Issuer, question: Question, login: Login) -> None:
    kinds = {factor.kind for factor in issuer.store.factors(login.username)}
    enough = {"passkey"} if _level_asked(question) > 2 else {"passkey", "totp", "recovery"}
    if not kinds & enough:
        text = "Enrol a second factor first: alphaswarm user enrol totp (or passkey)."
        raise sent_back(refusal("unmet_authentication_requirements", text), question)


def sent_back(error: OAuth2Error, question: Question) -> OAuth2Error:
    """Return the error with where it goes: to the client, with its state."""
    error.redirect_uri = question.redirect_uri
    error.state = question.parameters.state
    return error
