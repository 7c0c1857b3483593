"""What a tool asks of its caller, decided without I/O: `decide(rule, caller, now)`.

Imports nothing but the words of `topology`, so that a tool's rule costs no library.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from topology.principal import Principal

ACR_OS = "urn:alphaswarm:acr:os"
ACR_PASSWORD = "urn:alphaswarm:acr:pwd"  # noqa: S105 - the name of a method, not a password
ACR_MFA = "urn:alphaswarm:acr:mfa"
ACR_PASSKEY = "urn:alphaswarm:acr:phr"
LEVELS = {ACR_OS: 1, ACR_PASSWORD: 1, ACR_MFA: 2, ACR_PASSKEY: 3}
"""Levels are compared, never names; an acr that is not listed is worth nothing."""
FRESH_S = 300
CLOCK_SKEW_S = 30

StepUp = Literal["none", "fresh", "mfa", "bound"]
"""none; a sign-in of any kind; one with a second factor; the same, for this one action."""

_LEVEL: dict[StepUp, int] = {"none": 0, "fresh": 1, "mfa": 2, "bound": 2}
STEP_UP_SCOPES: dict[str, StepUp] = {
    "backtest:code": "mfa",
    "rl:promote": "bound",
    "bot:author": "mfa",
    "bot:live": "bound",
    "control:halt": "mfa",
    "control:resume": "bound",
    "control:apply": "mfa",
    "agent:approve": "bound",
}
"""Scopes that the issuer grants only to a sign-in of this class, and never to a refresh token."""
ASKED_SCOPES = frozenset({"control:apply"})
"""Scopes of class mfa that a token may hold for one action: it is then asked about like a bound
one, because the tool wants it so where it destroys."""


@dataclass(frozen=True, slots=True)
class Rule:
    """Who may do a thing.

    ``scopes`` are all needed. ``step_up`` "fresh" wants a sign-in at most 300 s old, "mfa" one with
    a second factor, both at most 300 s old, "bound" the same for exactly this call: a token says
    which (`auth.binding`) and works once. ``actor`` "human" refuses tokens in which somebody acts
    for the person; step-up always does. With ``own_run`` a worker may do it all the same to the
    one run that its token is for: it may stop itself.
    """

    scopes: tuple[str, ...]
    step_up: StepUp = "none"
    actor: Literal["human", "any"] = "human"
    own_run: bool = False

    def __post_init__(self) -> None:
        if not self.scopes:
            msg = "A rule without scopes would let everybody in: name at least one."
            raise ValueError(msg)


@dataclass(frozen=True, slots=True)
class Allow:
    """The caller may."""


@dataclass(frozen=True, slots=True)
class Challenge:
    """The caller may not, or not yet: an HTTP status and the parameters of its challenge.

    ``scope`` lists what is held and what is needed, because clients replace the scope they had
    (RFC 6750 s.3.1); it is empty where no new token would help. ``acr_values`` and ``max_age``
    (seconds) are RFC 9470's.
    """

    status: int
    error: str
    scope: str = ""
    acr_values: str = ""
    max_age: int | None = None


def decide(
    rule: Rule, caller: Principal, now: float, *, action: str = "", run: str = ""
) -> Allow | Challenge:
    """Judge a verified caller at ``now`` (seconds since the epoch).

    ``action`` is the hash of what is asked for, see `auth.binding`: a bound rule wants a token for
    exactly that. ``run`` is the one run that it stops, empty where it is about more. Answers, in
    this order: 403 ``access_denied`` to an agent where a person is asked for, 403
    ``insufficient_scope`` with everything held and needed, 401 ``insufficient_user_authentication``
    (RFC 9470 s.3) when the sign-in is of the wrong kind, older than 300 s or for something else;
    300 s pass.
    """
    if caller.actor is not None and (rule.actor == "human" or rule.step_up != "none"):
        mine = rule.own_run and run != "" and run == caller.run_id
        return Allow() if mine else Challenge(403, "access_denied")
    if any(not holds(caller.scopes, scope) for scope in rule.scopes):
        return Challenge(403, "insufficient_scope", scope=_union(caller.scopes, rule.scopes))
    meant = rule.step_up != "bound" or (action != "" and caller.bound == action)
    if meant and stepped_up(rule.step_up, caller.acr, caller.auth_time, now):
        return Allow()
    return Challenge(
        401,
        "insufficient_user_authentication",
        scope=_union(caller.scopes, rule.scopes),
        acr_values=" ".join(accepted(rule.step_up)),
        max_age=FRESH_S,
    )


def admitted(caller: Principal, actors: Iterable[str]) -> bool:
    """Tell whether a server lets this caller in: a person, or one of the ``actors`` it knows.

    Both the client that holds the token and the party that acts (RFC 8693 s.4.1: the outermost
    ``act`` only) must be among them.
    """
    return caller.actor is None or {caller.actor, caller.client_id} <= set(actors)


def stepped_up(step_up: StepUp, acr: str, auth_time: float, now: float) -> bool:
    """Tell whether a sign-in of this kind and time satisfies a class at ``now``.

    An ``auth_time`` of 0 is an unknown one; one more than 30 s ahead of us is a wrong one. Whether
    a token is bound to the action is `decide`'s to tell.
    """
    if step_up == "none":
        return True
    known = 0 < auth_time <= now + CLOCK_SKEW_S
    return known and now - auth_time <= FRESH_S and level_of(acr) >= _LEVEL[step_up]


def level_of(acr: str) -> int:
    """Return how much a kind of sign-in is worth, 0 for one that we do not know."""
    return LEVELS.get(acr, 0)


def accepted(step_up: StepUp) -> tuple[str, ...]:
    """Return the kinds of sign-in that satisfy a class."""
    return tuple(acr for acr, level in LEVELS.items() if level >= _LEVEL[step_up])


def needs_factor(step_up: StepUp) -> bool:
    """Tell whether a class wants a second factor."""
    return _LEVEL[step_up] >= LEVELS[ACR_MFA]


def step_up_of(scopes: Iterable[str]) -> StepUp:
    """Return the strictest class among scopes, as the issuer needs it before it grants them."""
    classes = {STEP_UP_SCOPES.get(scope, "none") for scope in scopes}
    order: tuple[StepUp, ...] = ("bound", "mfa", "fresh")
    return next((name for name in order if name in classes), "none")


def durable(scopes: Iterable[str]) -> tuple[str, ...]:
    """Return the scopes that a refresh token may carry, in the order given."""
    return tuple(scope for scope in scopes if scope not in STEP_UP_SCOPES)


def holds(held: Iterable[str], needed: str) -> bool:
    """Tell whether ``needed`` is held; any scope of a server implies its read scope."""
    server, _, verb = needed.partition(":")
    return any(
        scope == needed or (verb == "read" and scope.partition(":")[0] == server) for scope in held
    )


def _union(held: Iterable[str], needed: Iterable[str]) -> str:
    return " ".join(sorted({*held, *needed}))
