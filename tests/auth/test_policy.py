"""What a rule asks of its caller: the challenges word for word, and the edge of 300 seconds."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auth.policy import (
    ACR_OS,
    ACR_PASSWORD,
    STEP_UP_SCOPES,
    Allow,
    Challenge,
    Rule,
    StepUp,
    decide,
    durable,
    holds,
    step_up_of,
)
from topology import services
from topology.principal import Principal

NOW = 1_800_000_000
READ = Rule(scopes=("data:read",))
RESUME = Rule(scopes=("control:resume",), step_up="password")
FRESH = Rule(scopes=("data:write",), step_up="fresh")


def caller(*scopes: str, acr: str = ACR_PASSWORD, age: int = 0) -> Principal:
    return Principal("ada", "cli", frozenset(scopes), acr=acr, auth_time=NOW - age)


@pytest.mark.parametrize(
    ("rule", "who", "expected"),
    [
        pytest.param(READ, caller("data:read"), Allow(), id="the scope asked for"),
        pytest.param(READ, caller("data:write"), Allow(), id="work implies read"),
        pytest.param(
            READ,
            caller("control:read", "backtest:run"),
            Challenge(403, "insufficient_scope", "backtest:run control:read data:read"),
            id="another server's scope: held and needed are listed",
        ),
        pytest.param(
            Rule(scopes=("data:write", "data:export")),
            caller("data:read"),
            Challenge(403, "insufficient_scope", "data:export data:read data:write"),
            id="two short: both at once",
        ),
        pytest.param(
            Rule(scopes=("data:write",)),
            caller("data:read"),
            Challenge(403, "insufficient_scope", "data:read data:write"),
            id="read does not imply work",
        ),
        pytest.param(FRESH, caller("data:write", age=300), Allow(), id="300 s are fresh"),
        pytest.param(FRESH, caller("data:write", acr=ACR_OS), Allow(), id="os can be fresh"),
        pytest.param(
            FRESH,
            caller("data:write", age=301),
            Challenge(
                401,
                "insufficient_user_authentication",
                "data:write",
                f"{ACR_PASSWORD} {ACR_OS}",
                300,
            ),
            id="301 s are not",
        ),
        pytest.param(RESUME, caller("control:resume", age=300), Allow(), id="a password just now"),
        pytest.param(
            RESUME,
            caller("control:resume", acr=ACR_OS),
            Challenge(401, "insufficient_user_authentication", "control:resume", ACR_PASSWORD, 300),
            id="peer credentials are no password",
        ),
        pytest.param(
            RESUME,
            caller("control:resume", acr="urn:alphaswarm:acr:unheard-of"),
            Challenge(401, "insufficient_user_authentication", "control:resume", ACR_PASSWORD, 300),
            id="an unknown acr is worth nothing",
        ),
        pytest.param(
            RESUME,
            replace(caller("control:resume"), auth_time=0),
            Challenge(401, "insufficient_user_authentication", "control:resume", ACR_PASSWORD, 300),
            id="no auth_time",
        ),
        pytest.param(
            RESUME,
            caller("control:resume", age=-31),
            Challenge(401, "insufficient_user_authentication", "control:resume", ACR_PASSWORD, 300),
            id="an auth_time from the future",
        ),
        pytest.param(
            RESUME,
            replace(caller("control:resume"), actor="bot"),
            Challenge(403, "access_denied"),
            id="an agent never steps up, and is not asked to",
        ),
        pytest.param(
            READ,
            replace(caller("data:read"), actor="bot"),
            Challenge(403, "access_denied"),
            id="a rule is for people unless it says otherwise",
        ),
        pytest.param(
            Rule(scopes=("data:read",), actor="any"),
            replace(caller("data:read"), actor="bot"),
            Allow(),
            id="a rule for any actor",
        ),
        pytest.param(
            Rule(scopes=("control:resume",), step_up="password", actor="any"),
            replace(caller("control:resume"), actor="bot"),
            Challenge(403, "access_denied"),
            id="step-up is for people even where the rule is for any actor",
        ),
    ],
)
def test_a_decision(rule: Rule, who: Principal, expected: Allow | Challenge) -> None:
    assert decide(rule, who, NOW) == expected


def test_a_rule_without_scopes_cannot_be_written() -> None:
    with pytest.raises(ValueError, match="let everybody in"):
        Rule(scopes=())


SCOPES = ["data:read", "data:write", "control:read", "control:resume", "datax:read", "data:"]


@given(
    held=st.sets(st.sampled_from(SCOPES)),
    needed=st.lists(st.sampled_from(SCOPES), min_size=1, max_size=3, unique=True),
    step_up=st.sampled_from(["none", "fresh", "password"]),
    acr=st.sampled_from([ACR_OS, ACR_PASSWORD, "", "urn:alphaswarm:acr:mfa"]),
    actor=st.sampled_from([None, "bot"]),
    age=st.integers(-100, 1000),
)
def test_nobody_is_let_in_without_scope_step_up_and_person(
    held: set[str], needed: list[str], step_up: StepUp, acr: str, actor: str | None, age: int
) -> None:
    who = Principal("ada", "cli", frozenset(held), actor, acr, NOW - age)
    answer = decide(Rule(tuple(needed), step_up), who, NOW)
    has_all = all(
        n in held or (n.endswith(":read") and any(h.split(":")[0] == n[:-5] for h in held))
        for n in needed
    )
    kind = {"none": True, "fresh": acr in {ACR_OS, ACR_PASSWORD}, "password": acr == ACR_PASSWORD}
    good = has_all and actor is None and kind[step_up] and (step_up == "none" or -30 <= age <= 300)
    assert isinstance(answer, Allow) == good
    if isinstance(answer, Challenge) and answer.error == "insufficient_scope":
        assert set(answer.scope.split()) == held | set(needed)


def test_read_is_implied_within_a_server_only() -> None:
    pairs = {(h, n) for h, n in itertools.product(SCOPES, SCOPES) if holds({h}, n)}
    assert ("data:write", "data:read") in pairs
    assert ("datax:read", "data:read") not in pairs
    assert ("data:read", "data:write") not in pairs


def test_refresh_tokens_never_carry_a_step_up_scope() -> None:
    assert durable(["control:read", "control:resume"]) == ("control:read",)


@pytest.mark.parametrize(
    ("scopes", "expected"),
    [
        pytest.param(["control:read"], "none", id="plain"),
        pytest.param(["control:read", "control:resume"], "password", id="the strictest counts"),
        pytest.param([], "none", id="nothing"),
    ],
)
def test_the_issuer_reads_the_class_from_the_scope(scopes: list[str], expected: str) -> None:
    assert step_up_of(scopes) == expected


def test_every_step_up_scope_is_declared_by_a_server() -> None:
    declared = {scope for face in services.load({}).faces.values() for scope in face.scopes}
    assert set(STEP_UP_SCOPES) <= declared
