"""The person's side of passkeys: signing in with one, stepping up, enrolling, removing.

The face renders what these functions return, as in `auth.signin`. A key is enrolled only with a
ticket that an administrator of this machine asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from auth.audit import FACTOR
from auth.core import Issuer
from auth.factors.passkeys import RefusedKeyError
from auth.policy import ACR_PASSKEY, FRESH_S, level_of
from auth.signin import (
    LOGIN_S,
    SignedIn,
    begin_session,
    check_csrf,
    record_factor,
    record_login,
    safe_next,
    session,
    step_up,
)
from auth.store import Factor, Login, digest
from auth.strength import strength
from auth.wire import Parameters, Reply, refusal
from topology.errors import BadInputError

STALE = "This link is too old or was used. Ask for another: alphaswarm user enrol passkey."


@dataclass(frozen=True, slots=True)
class Unaccepted:
    """A passkey that was refused, and where the person was going."""

    next: str
    reason: str
    locked_s: int = 0


@dataclass(frozen=True, slots=True)
class Enrolment:
    """A page that enrols a key: ``options`` is JSON for the browser, ``problem`` what was wrong."""

    username: str
    ticket: str
    options: str
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Held:
    """A person's keys; ``recovery`` is how many recovery codes are left."""

    username: str
    keys: Sequence[Factor]
    recovery: int


@dataclass(frozen=True, slots=True)
class Missing:
    """What the person has to show first."""

    kind: Literal["login", "factor"]


def offer_sign_in(issuer: Issuer, cookie: str) -> str:
    """Return the browser's options to sign in with any key, empty where there are no passkeys."""
    keys = issuer.passkeys
    return keys.request(_session(cookie), issuer.now()) if keys else ""


def offer_second(issuer: Issuer, cookie: str) -> str:
    """Return the options for a key of the person who is signed in, empty if there is none."""
    login = session(issuer, cookie)
    held = issuer.store.factors(login.username, kind="passkey") if login else []
    if not held or issuer.passkeys is None:
        return ""
    return issuer.passkeys.request(_session(cookie), issuer.now(), held)


def sign_in(issuer: Issuer, form: bytes, cookie: str) -> SignedIn | Unaccepted | Reply:
    """Answer the sign-in page: ``credential csrf next``; no password, ``acr`` phr.

    What nobody has ever enrolled is not recorded: a stranger must not fill the record.
    """

    def flow() -> SignedIn | Unaccepted:
        fields = _fields(form, cookie)
        target = safe_next(issuer, fields.get("next"))
        try:
            factor = _checked(issuer, fields, cookie)
        except RefusedKeyError as error:
            if _worth_recording(error):
                record_login(issuer, error.username, reason=error.reason, acr=ACR_PASSKEY)
            return Unaccepted(target, error.reason, error.seconds)
        record_login(issuer, factor.username, acr=ACR_PASSKEY)
        now = issuer.now()
        login = Login("", factor.username, ACR_PASSKEY, now, now + LOGIN_S)
        return SignedIn(begin_session(issuer, login, cookie), target)

    return issuer.guarded(flow)


def second(issuer: Issuer, form: bytes, cookie: str) -> SignedIn | Unaccepted | Reply:
    """Answer the page of the second factor with a key of the person who is signed in."""

    def flow() -> SignedIn | Unaccepted:
        fields = _fields(form, cookie)
        login, target = session(issuer, cookie), safe_next(issuer, fields.get("next"))
        if login is None:
            raise refusal("invalid_request", "The sign-in has ended. Start again at the client.")
        try:
            factor = _checked(issuer, fields, cookie, login.username)
        except RefusedKeyError as error:
            if _worth_recording(error):
                record_factor(issuer, login.username, "passkey", reason=error.reason)
            return Unaccepted(target, error.reason, error.seconds)
        return SignedIn(step_up(issuer, login, factor.kind, cookie), target)

    return issuer.guarded(flow)


def enrolment(issuer: Issuer, text: str, cookie: str, problem: str = "") -> Enrolment | Reply:
    """Return what the page of a ticket shows."""

    def flow() -> Enrolment:
        username = issuer.tickets.owner(text, issuer.now())
        if username is None or issuer.passkeys is None:
            raise refusal("invalid_request", STALE)
        options = issuer.passkeys.creation(
            issuer.store, username, _session(cookie, username), issuer.now()
        )
        return Enrolment(username, text, options, problem)

    return issuer.guarded(flow)


def enrol(issuer: Issuer, form: bytes, cookie: str) -> Factor | Enrolment | Reply:
    """Answer the page of a ticket: ``ticket credential name csrf``; return the new key.

    The ticket is used up by the key that it enrols, not by one that was refused.
    """

    def flow() -> Factor | Enrolment | Reply:
        fields = _fields(form, cookie)
        username = issuer.tickets.owner(fields.get("ticket"), issuer.now())
        if username is None:
            raise refusal("invalid_request", STALE)
        try:
            factor = _enrolled(issuer, username, fields, cookie)
        except (RefusedKeyError, BadInputError) as error:
            _record(issuer, username, "passkey refused", decision="refused")
            told = error.message if isinstance(error, BadInputError) else _NOT_MADE
            return enrolment(issuer, fields.get("ticket"), cookie, told)
        _record(issuer, username, f"passkey {factor.id[:12]} enrolled")
        return factor

    return issuer.guarded(flow)


def held(issuer: Issuer, cookie: str) -> Held | Missing:
    """Return the keys of the person who is signed in, freshly and with all that he has."""
    login = session(issuer, cookie)
    if login is None or issuer.now() - login.auth_time > FRESH_S:
        return Missing("login")
    factors = issuer.store.factors(login.username)
    worth = strength(login)
    weak = level_of(worth.acr) < 2 or issuer.now() - worth.auth_time > FRESH_S
    if factors and weak:
        return Missing("factor")
    kinds = [factor.kind for factor in factors]
    keys = [factor for factor in factors if factor.kind == "passkey"]
    return Held(login.username, keys, kinds.count("recovery"))


def remove(issuer: Issuer, form: bytes, cookie: str) -> Held | Missing | Reply:
    """Remove the key ``id`` of the person who is signed in; return what is left."""

    def flow() -> Held | Missing:
        fields = _fields(form, cookie)
        before = held(issuer, cookie)
        if isinstance(before, Missing):
            return before
        wanted = [key for key in before.keys if key.id == fields.get("id")]
        if not wanted or not issuer.store.remove_factor(wanted[0].id):
            raise refusal("invalid_request", "There is no such passkey.")
        _record(issuer, before.username, f"passkey {wanted[0].id[:12]} removed")
        return held(issuer, cookie)

    return issuer.guarded(flow)


_NOT_MADE = "The passkey was not made as asked. Try again."


def _enrolled(issuer: Issuer, username: str, fields: Parameters, cookie: str) -> Factor:
    if issuer.passkeys is None or issuer.store.find_user(username) is None:
        raise RefusedKeyError("unknown", username)
    now, about = issuer.now(), _session(cookie, username)
    new = issuer.passkeys.registered(
        issuer.store, username, fields.get("credential"), name=fields.get("name"), about=about,
        now=now,
    )  # fmt: skip
    if not issuer.tickets.use(issuer.store, fields.get("ticket"), now):
        raise refusal("invalid_request", STALE)
    issuer.store.add_factors([new])
    return new


def _checked(issuer: Issuer, fields: Parameters, cookie: str, username: str = "") -> Factor:
    if issuer.passkeys is None:
        raise RefusedKeyError("unknown", username)
    return issuer.passkeys.check(
        issuer.store,
        fields.get("credential"),
        about=_session(cookie),
        now=issuer.now(),
        username=username,
    )


def _worth_recording(error: RefusedKeyError) -> bool:
    return error.reason in {"wrong", "copied"} or error.began


def _fields(form: bytes, cookie: str) -> Parameters:
    fields = Parameters.parse(form).unique()
    check_csrf(fields, cookie)
    return fields


def _session(cookie: str, username: str = "") -> str:
    return f"{digest(cookie)} {username}"


def _record(issuer: Issuer, username: str, reason: str, *, decision: str = "done") -> None:
    issuer.audit(
        actor=username,
        action=FACTOR,
        target=issuer.config.issuer,
        decision=decision,
        facts={"reason": reason},
    )
