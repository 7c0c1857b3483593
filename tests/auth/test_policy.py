"""What a rule asks of its caller: the challenges word for word, and the edge of 300 seconds."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auth.policy import (
    ACR_MFA,
    ACR_OS,
    ACR_PASSKEY,
    ACR_PASSWORD,
    STEP_UP_SCOPES,
    Allow,
    Challenge,
    Rule,
    StepUp,
    admitted,
    decide,
    durable,
    holds,
    step_up_of,
)
from topology import services
from topology.principal import Principal

NOW = 1_800_000_000
READ = Rule(scopes=("data:read",))
HALT = Rule(scopes=("control:halt",), step_up="mfa")
RESUME = Rule(scopes=("control:resume",), step_up="bound")
ACTION = "a" * 64
RUN = "r" * 26
STRONG = f"{ACR_MFA} {ACR_PASSKEY}"
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
                f"{ACR_OS} {ACR_PASSWORD} {STRONG}",
                300,
            ),
            id="301 s are not",
        ),
        pytest.param(HALT, caller("control:halt", acr=ACR_MFA, age=300), Allow(), id="a code"),
        pytest.param(HALT, caller("control:halt", acr=ACR_PASSKEY), Allow(), id="more than asked"),
        *(
            pytest.param(
                HALT,
                who,
                Challenge(401, "insufficient_user_authentication", "control:halt", STRONG, 300),
                id=why,
            )
            for who, why in (
                (caller("control:halt"), "a password alone"),
                (caller("control:halt", acr=ACR_OS), "peer credentials"),
                (caller("control:halt", acr="urn:alphaswarm:acr:unheard-of"), "an unknown acr"),
                (caller("control:halt", acr=ACR_MFA, age=301), "301 s"),
                (caller("control:halt", acr=ACR_MFA, age=-31), "from the future"),
                (replace(caller("control:halt", acr=ACR_MFA), auth_time=0), "no auth_time"),
            )
        ),
        pytest.param(
            RESUME,
            replace(caller("control:resume", acr=ACR_MFA), bound=ACTION),
            Allow(),
            id="bound to this action",
        ),
        *(
            pytest.param(
                RESUME,
                replace(caller("control:resume", acr=ACR_MFA), bound=bound),
                Challenge(401, "insufficient_user_authentication", "control:resume", STRONG, 300),
                id=why,
            )
            for bound, why in (("", "bound to nothing"), ("b" * 64, "bound to another action"))
        ),
        pytest.param(
            RESUME,
            replace(caller("control:resume", acr=ACR_MFA), bound=ACTION, actor="bot"),
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
            Rule(scopes=("control:resume",), step_up="mfa", actor="any"),
            replace(caller("control:resume"), actor="bot"),
            Challenge(403, "access_denied"),
            id="step-up is for people even where the rule is for any actor",
        ),
        *(
            pytest.param(
                Rule(scopes=("control:halt",), step_up="mfa", own_run=own),
                replace(caller("control:read"), actor="bot", run_id=run),
                answer,
                id=why,
            )
            for own, run, answer, why in (
                (True, RUN, Allow(), "a job stops its own run"),
                (True, "another", Challenge(403, "access_denied"), "a job stops no other"),
                (True, "", Challenge(403, "access_denied"), "an agent without a job stops none"),
                (False, RUN, Challenge(403, "access_denied"), "where the rule says so only"),
            )
        ),
    ],
)
def test_a_decision(rule: Rule, who: Principal, expected: Allow | Challenge) -> None:
    assert decide(rule, who, NOW, action=ACTION, run=RUN) == expected


def test_a_call_about_more_than_one_run_is_nobodys_own() -> None:
    rule = Rule(scopes=("control:halt",), step_up="mfa", own_run=True)
    assert decide(rule, replace(caller("control:read"), actor="bot"), NOW, run="") != Allow()


@pytest.mark.parametrize(
    ("who", "expected"),
    [
        pytest.param(Principal("ada", "any-client"), True, id="a person, whatever his client"),
        pytest.param(Principal("ada", "bot", actor="bot"), True, id="a known actor"),
        pytest.param(Principal("ada", "cli", actor="bot"), False, id="a token held by another"),
        pytest.param(Principal("ada", "bot", actor="unknown"), False, id="an actor nobody knows"),
    ],
)
def test_who_acts_for_a_person_must_be_known_to_the_server(who: Principal, expected: bool) -> None:
    assert admitted(who, ("bot", "worker")) is expected


def test_a_rule_without_scopes_cannot_be_written() -> None:
    with pytest.raises(ValueError, match="let everybody in"):
        Rule(scopes=())


SCOPES = ["data:read", "data:write", "control:read", "control:resume", "datax:read", "data:"]


@given(
    held=st.sets(st.sampled_from(SCOPES)),
    needed=st.lists(st.sampled_from(SCOPES), min_size=1, max_size=3, unique=True),
    step_up=st.sampled_from(["none", "fresh", "mfa", "bound"]),
    acr=st.sampled_from([ACR_OS, ACR_PASSWORD, ACR_MFA, ACR_PASSKEY, "", "urn:x"]),
    bound=st.sampled_from(["", ACTION, "b" * 64]),
    actor=st.sampled_from([None, "bot"]),
    age=st.integers(-100, 1000),
)
def test_nobody_is_let_in_without_scope_step_up_and_person(
    held: set[str],
    needed: list[str],
    step_up: StepUp,
    acr: str,
    bound: str,
    actor: str | None,
    age: int,
) -> None:
    who = Principal("ada", "cli", frozenset(held), actor, acr, NOW - age, bound=bound)
    answer = decide(Rule(tuple(needed), step_up), who, NOW, action=ACTION)
    has_all = all(
        n in held or (n.endswith(":read") and any(h.split(":")[0] == n[:-5] for h in held))
        for n in needed
    )
    strong = acr in {ACR_MFA, ACR_PASSKEY}
    known = strong or acr in {ACR_OS, ACR_PASSWORD}
    kind = {"none": True, "fresh": known, "mfa": strong, "bound": strong and bound == ACTION}
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
        pytest.param(["control:halt", "control:resume"], "bound", id="the strictest counts"),
        pytest.param([], "none", id="nothing"),
    ],
)
def test_the_issuer_reads_the_class_from_the_scope(scopes: list[str], expected: str) -> None:
    assert step_up_of(scopes) == expected


def test_every_scope_of_a_server_that_the_contract_gives_a_class_has_it() -> None:
    declared = {scope for face in services.load({}).faces.values() for scope in face.scopes}
    control = {"control:halt", "control:resume", "control:apply"}
    served = {scope.partition(":")[0] for scope in declared}
    assert declared & set(STEP_UP_SCOPES) >= {*control, "backtest:code"}
    missing = {s for s in STEP_UP_SCOPES if s.partition(":")[0] in served} - declared
    assert missing == set(), "a server that is served has all of its classes"
