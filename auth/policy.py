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
FRESH_S = 300
CLOCK_SKEW_S = 30

StepUp = Literal["none", "fresh", "password"]

# What each class accepts; a caller of unknown acr satisfies none of them.
_ACCEPTED: dict[StepUp, tuple[str, ...]] = {
    "fresh": (ACR_PASSWORD, ACR_OS),
    "password": (ACR_PASSWORD,),
}
# Scopes that the issuer grants only to a sign-in of this class, and never to a refresh token.
STEP_UP_SCOPES: dict[str, StepUp] = {"control:resume": "password"}


@dataclass(frozen=True, slots=True)
class Rule:
    """Who may do a thing.

    ``scopes`` are all needed. ``step_up`` "fresh" wants a sign-in at most 300 s old, "password" a
    password typed by a person at most 300 s ago (peer credentials are not enough). ``actor``
    "human" refuses tokens in which somebody acts for the person; step-up always does.
    """

    scopes: tuple[str, ...]
    step_up: StepUp = "none"
    actor: Literal["human", "any"] = "human"

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


def decide(rule: Rule, caller: Principal, now: float) -> Allow | Challenge:
    """Judge a verified caller at ``now`` (seconds since the epoch).

    Answers, in this order: 403 ``access_denied`` to an agent where a person is asked for, 403
    ``insufficient_scope`` with everything held and needed, 401 ``insufficient_user_authentication``
    (RFC 9470 s.3) when the sign-in is of the wrong kind or older than 300 s; 300 s pass.
    """
    if caller.actor is not None and (rule.actor == "human" or rule.step_up != "none"):
        return Challenge(403, "access_denied")
    if any(not holds(caller.scopes, scope) for scope in rule.scopes):
        return Challenge(403, "insufficient_scope", scope=_union(caller.scopes, rule.scopes))
    if stepped_up(rule.step_up, caller.acr, caller.auth_time, now):
        return Allow()
    return Challenge(
        401,
        "insufficient_user_authentication",
        scope=_union(caller.scopes, rule.scopes),
        acr_values=" ".join(_ACCEPTED[rule.step_up]),
        max_age=FRESH_S,
    )


def stepped_up(step_up: StepUp, acr: str, auth_time: float, now: float) -> bool:
    """Tell whether a sign-in of this kind and time satisfies a class at ``now``.

    An ``auth_time`` of 0 is an unknown one; one more than 30 s ahead of us is a wrong one.
    """
    if step_up == "none":
        return True
    known = 0 < auth_time <= now + CLOCK_SKEW_S
    return known and now - auth_time <= FRESH_S and acr in _ACCEPTED[step_up]


def step_up_of(scopes: Iterable[str]) -> StepUp:
    """Return the strictest class among scopes, as the issuer needs it before it grants them."""
    classes = {STEP_UP_SCOPES.get(scope, "none") for scope in scopes}
    order: tuple[StepUp, ...] = ("password", "fresh")
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
