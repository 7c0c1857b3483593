"""Second factors at the issuer: asked for when a scope wants one, used once, for one action."""

from __future__ import annotations

import json
from urllib.parse import urlsplit

import pyotp
import pytest

from auth.binding import Action
from auth.local import LocalRequest, sign_in_locally
from auth.tokens import Claims
from tests.kit.identity import USERNAME, Scene, hidden_fields, sent_back
from topology.errors import FaultError

HALT = "control:read control:halt"
RESUME = "control:read control:resume"
ASKED = {"tool": "resume", "arguments": {"scope": "all", "reason": "checked <it>"}}
DETAILS = json.dumps([{"type": "alphaswarm_action", **ASKED}])
ACTION = Action.of("resume", {"scope": "all", "reason": "checked <it>"})


def claims(scene: Scene, token: str) -> Claims:
    return scene.identity.verifier(scene.faces["control"]).verify(token, scene.now())


def page_of(location: str) -> str:
    return urlsplit(location).path.rpartition("/")[2]


async def test_a_step_up_scope_asks_for_both_factors_and_says_how_old_the_older_is(
    scene: Scene,
) -> None:
    scene.enrol()
    body = await scene.tokens(resource=scene.faces["control"], scope=HALT)
    held = claims(scene, body["access_token"])
    assert (held.acr, held.amr) == ("urn:alphaswarm:acr:mfa", ("pwd", "otp"))
    assert held.auth_time == scene.now() - 30  # the password was typed before the code
    assert set(held.scope.split()) == set(HALT.split())


async def test_who_has_no_second_factor_gets_no_lesser_token(scene: Scene) -> None:
    answer = await scene.approve(resource=scene.faces["control"], scope=HALT)
    assert answer["error"] == "unmet_authentication_requirements"
    assert "enrol totp" in answer["error_description"]
    assert "code" not in answer


async def test_an_old_factor_is_asked_for_again(scene: Scene) -> None:
    scene.enrol()
    wanted = {"resource": scene.faces["control"], "scope": HALT}
    await scene.approve(**wanted)
    assert "code" in sent_back(await scene.authorize(**wanted))
    scene.clock.advance(271)  # 301 s after the password
    answer = await scene.authorize(**wanted)
    assert page_of(answer.headers["location"]) == "login"


async def test_a_client_may_ask_for_the_factor_itself(scene: Scene) -> None:
    scene.enrol()
    await scene.sign_in()
    answer = await scene.authorize(acr_values="urn:alphaswarm:acr:mfa")
    assert page_of(answer.headers["location"]) == "factor"
    refused = sent_back(await scene.authorize(acr_values="urn:alphaswarm:acr:phr"))
    assert refused["error"] == "unmet_authentication_requirements"
    silent = sent_back(await scene.authorize(acr_values="urn:alphaswarm:acr:mfa", prompt="none"))
    assert silent["error"] == "login_required"


async def test_the_session_gets_a_new_secret_and_the_old_one_is_dead(scene: Scene) -> None:
    scene.enrol()
    await scene.sign_in()
    before = dict(scene.browser.cookies)
    await scene.second()
    assert dict(scene.browser.cookies) != before
    scene.browser.cookies.clear()
    scene.browser.cookies.update(before)
    answer = await scene.authorize()
    assert page_of(answer.headers["location"]) == "login"


async def test_a_code_is_good_once_and_so_is_every_step_before_it(scene: Scene) -> None:
    scene.enrol()
    await scene.sign_in()
    code = scene.otp()
    before = pyotp.TOTP(scene.app_secret).at(scene.now() - 30)
    assert (await scene.second(code=code)).status_code == 200
    for again in (code, before):
        answer = await scene.second(code=again)
        assert answer.status_code == 400
        assert "used before" in answer.text


async def test_six_wrong_codes_lock_the_factor_for_a_minute_and_no_longer(scene: Scene) -> None:
    scene.enrol()
    await scene.sign_in()
    answers = [(await scene.second(code="000000")).status_code for _ in range(6)]
    assert answers == [400, 400, 400, 400, 429, 429]
    assert (await scene.second()).status_code == 429, "a right one too"
    scene.clock.advance(60)
    assert (await scene.second()).status_code == 200


async def test_without_the_first_factor_the_second_is_worth_nothing(scene: Scene) -> None:
    scene.enrol()
    page = await scene.browser.get(f"{scene.issuer}/login")
    form = {**hidden_fields(page.text), "code": scene.otp()}
    answer = await scene.browser.post(f"{scene.issuer}/factor", data=form)
    assert answer.status_code == 400
    assert "sign-in has ended" in answer.text


async def test_a_recovery_code_stands_in_for_the_app_once(scene: Scene) -> None:
    scene.enrol()
    assert len(scene.recovery_codes) == 10
    await scene.sign_in()
    code = scene.recovery_codes[3].upper()
    assert (await scene.second(code=code)).status_code == 200
    assert (await scene.second(code=code)).status_code == 400
    assert len(scene.store.factors(USERNAME, kind="recovery")) == 9


async def test_nobody_reads_a_secret_out_of_the_database(scene: Scene) -> None:
    scene.enrol()
    (factor,) = scene.store.factors(USERNAME, kind="totp")
    assert scene.app_secret not in factor.secret
    seal = scene.identity.issuer.codes.seal
    assert seal.read(factor.secret, owner=USERNAME) == scene.app_secret
    with pytest.raises(FaultError):
        seal.read(factor.secret, owner="eve")
    rows = [f.secret for f in scene.store.factors(USERNAME, kind="recovery")]
    assert all(row.startswith("$argon2id$") for row in rows)


# One action


async def test_a_bound_scope_is_granted_for_the_action_that_the_page_shows(scene: Scene) -> None:
    scene.enrol()
    wanted = {"resource": scene.faces["control"], "scope": RESUME, "authorization_details": DETAILS}
    body = await scene.tokens(**wanted)
    held = claims(scene, body["access_token"])
    assert held.principal().bound == ACTION.sha256
    page = await scene.authorize(**wanted)
    assert page.status_code == 200, "asked again: a consent to one action is none to the next"
    assert "checked &lt;it&gt;" in page.text
    assert "resume" in page.text


async def test_a_change_that_is_named_is_asked_about_each_time(scene: Scene) -> None:
    """Where it destroys, the tool wants a token for just that: the person has to see it."""
    scene.enrol()
    wanted = {"resource": scene.faces["control"], "scope": "control:read control:apply"}
    body = await scene.tokens(**wanted)
    assert claims(scene, body["access_token"]).principal().bound == ""
    assert (await scene.authorize(**wanted)).is_redirect, "one yes to the class is enough"

    named = {**wanted, "authorization_details": DETAILS}
    body = await scene.tokens(**named)
    assert claims(scene, body["access_token"]).principal().bound == ACTION.sha256
    page = await scene.authorize(**named)
    assert (page.status_code, "checked &lt;it&gt;" in page.text) == (200, True)


async def test_a_client_that_sends_no_details_is_bound_to_what_the_gate_refused(
    scene: Scene,
) -> None:
    from servers.actions import Actions
    from topology.principal import Principal

    scene.enrol()
    caller = Principal(USERNAME, "alphaswarm-cli")
    await Actions(scene.store).note(caller, ACTION, scene.now())
    body = await scene.tokens(resource=scene.faces["control"], scope=RESUME)
    assert claims(scene, body["access_token"]).principal().bound == ACTION.sha256


async def test_without_an_action_nothing_bound_is_granted(scene: Scene) -> None:
    scene.enrol()
    answer = await scene.approve(resource=scene.faces["control"], scope=RESUME)
    assert answer["error"] == "invalid_authorization_details"


async def test_an_action_that_changes_behind_the_page_is_shown_again(scene: Scene) -> None:
    from servers.actions import Actions
    from topology.principal import Principal

    scene.enrol()
    caller, actions = Principal(USERNAME, "alphaswarm-cli"), Actions(scene.store)
    await actions.note(caller, ACTION, scene.now())
    await scene.sign_in()
    await scene.second()
    wanted = {"resource": scene.faces["control"], "scope": RESUME}
    page = await scene.authorize(**wanted)
    other = Action.of("resume", {"scope": "kind:bot", "reason": "something else"})
    await actions.note(caller, other, scene.now())
    again = await scene.consent(page)
    assert again.status_code == 200
    assert "something else" in again.text
    assert "code" in sent_back(await scene.consent(again))


@pytest.mark.parametrize(
    "details",
    ["{", "[]", "{}", '[{"type": "x"}]', '[{"type": "alphaswarm_action"}]', "[" * 2000,
     '[{"type": "alphaswarm_action", "tool": "t", "arguments": []}]'],
)  # fmt: skip
async def test_details_that_say_nothing_are_refused(scene: Scene, details: str) -> None:
    answer = sent_back(await scene.authorize(authorization_details=details))
    assert answer["error"] == "invalid_authorization_details"


# Over the local socket


def local(scene: Scene, scope: str, **more: str) -> dict[str, object]:
    asked = LocalRequest(scene.faces["control"], scope, **more)
    return dict(sign_in_locally(scene.identity.issuer, USERNAME, asked).body)


def test_a_code_steps_up_over_the_socket_too(scene: Scene) -> None:
    scene.enrol()
    assert local(scene, HALT)["error"] == "unmet_authentication_requirements"
    assert local(scene, HALT, code="000000")["error"] == "access_denied"
    held = claims(scene, str(local(scene, HALT, code=scene.otp())["access_token"]))
    assert (held.acr, held.amr, held.auth_time) == ("urn:alphaswarm:acr:mfa", ("otp",), scene.now())
    unnamed = local(scene, RESUME, code=scene.otp())
    assert unnamed["error"] == "invalid_authorization_details"
    body = local(scene, RESUME, code=scene.otp(), authorization_details=DETAILS)
    assert claims(scene, str(body["access_token"])).principal().bound == ACTION.sha256
    assert "refresh_token" not in local(scene, "control:halt", code=scene.otp())


def test_every_step_up_is_on_record_and_no_code_is(scene: Scene) -> None:
    scene.enrol()
    local(scene, HALT, code="000000")
    code = scene.otp()
    local(scene, HALT, code=code)
    events = scene.audit.of("identity.step_up")
    assert [(e["actor"], e["decision"]) for e in events] == [
        (USERNAME, "refused"),
        (USERNAME, "done"),
    ]
    assert code not in json.dumps(scene.audit.events)
    assert scene.app_secret not in json.dumps(scene.audit.events)
