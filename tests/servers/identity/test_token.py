"""The token endpoint (design list): codes and refresh tokens are used once, and stay narrow."""

from __future__ import annotations

import json
from typing import Any

import anyio
import httpx2
import pytest

from auth.store import digest
from auth.tokens import Claims, TokenRefusedError
from tests.kit.identity import CLIENT, FORM, REDIRECT, VERIFIER, Scene

DAY_S = 86_400


def error(answer: httpx2.Response, status: int = 400) -> str:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    return str(answer.json()["error"])


def claims(scene: Scene, body: dict[str, Any], server: str = "data") -> Claims:
    verifier = scene.identity.verifier(scene.faces[server])
    return verifier.verify(body["access_token"], scene.clock.now().timestamp())


def reason_of(scene: Scene, server: str, token: str) -> str:
    """Return why a server refuses a token, empty when it does not."""
    try:
        scene.identity.verifier(scene.faces[server]).verify(token, scene.now())
    except TokenRefusedError as refused:
        return refused.reason
    return ""


def alive(scene: Scene, body: dict[str, Any]) -> bool:
    reason = reason_of(scene, "data", body["access_token"])
    assert reason in {"", "revoked"}
    return not reason


async def test_a_wrong_or_missing_verifier_leaves_the_code_usable(any_scene: Scene) -> None:
    scene, code = any_scene, await any_scene.code()
    assert error(await scene.redeem(code, code_verifier="w" * 43)) == "invalid_grant"
    assert error(await scene.redeem(code, code_verifier=None)) == "invalid_request"
    assert error(await scene.redeem(code, code_verifier="short")) == "invalid_request"
    assert (await scene.redeem(code)).status_code == 200


async def test_a_code_twice_ends_its_family(any_scene: Scene) -> None:
    scene, code = any_scene, await any_scene.code()
    body = (await scene.redeem(code)).json()
    assert alive(scene, body)
    assert error(await scene.redeem(code)) == "invalid_grant"
    scene.clock.advance(1)
    assert not alive(scene, body)
    assert error(await scene.refresh(body["refresh_token"])) == "invalid_grant"
    assert len(scene.audit.of("identity.replay")) == 1


async def test_a_replayed_code_ends_its_family_even_after_it_expired(scene: Scene) -> None:
    code = await scene.code()
    body = (await scene.redeem(code)).json()
    scene.clock.advance(61)
    assert error(await scene.redeem(code)) == "invalid_grant"
    assert not alive(scene, body)


async def test_of_eight_parallel_redemptions_one_wins_and_the_family_dies(
    any_scene: Scene,
) -> None:
    scene, code = any_scene, await any_scene.code()
    answers: list[httpx2.Response] = []

    async def redeem() -> None:
        answers.append(await scene.redeem(code))

    async with anyio.create_task_group() as group:
        for _ in range(8):
            group.start_soon(redeem)
    good = [answer.json() for answer in answers if answer.status_code == 200]
    assert len(good) == 1
    scene.clock.advance(1)
    assert not any(alive(scene, body) for body in good)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param({"redirect_uri": REDIRECT + "/"}, "invalid_grant", id="other redirect"),
        pytest.param({"redirect_uri": None}, "invalid_grant", id="no redirect"),
        pytest.param({"client_id": "nobody"}, "invalid_client", id="unknown client"),
        pytest.param({"client_id": None}, "invalid_client", id="no client"),
        pytest.param({"client_secret": "x"}, "invalid_client", id="a secret of a public client"),
        pytest.param({"resource": "https://other.test/"}, "invalid_target", id="other resource"),
        pytest.param({"resource": "x"}, "invalid_target", id="no resource"),
        pytest.param({"code": None}, "invalid_request", id="no code"),
        pytest.param({"grant_type": None}, "invalid_request", id="no grant type"),
        pytest.param({"grant_type": "password"}, "unsupported_grant_type", id="password"),
        pytest.param({"grant_type": "implicit"}, "unsupported_grant_type", id="implicit"),
        pytest.param({"grant_type": "client_credentials"}, "invalid_client", id="no user"),
        pytest.param({"grant_type": '"\\\u00e9'}, "unsupported_grant_type", id="odd bytes"),
    ],
)
async def test_a_code_is_bound_to_its_request(
    scene: Scene, changes: dict[str, str | None], expected: str
) -> None:
    code = await scene.code()
    assert error(await scene.redeem(code, **changes)) == expected
    assert (await scene.redeem(code)).status_code == 200


async def test_a_code_of_one_client_is_nothing_in_the_hands_of_another(scene: Scene) -> None:
    other = (await scene.browser.post("/as/register", json={"redirect_uris": [REDIRECT]})).json()
    code = await scene.code()
    assert error(await scene.redeem(code, client_id=other["client_id"])) == "invalid_grant"
    assert error(await scene.redeem(code, resource=scene.faces["control"])) == "invalid_target"
    good = await scene.redeem(code, resource=scene.faces["data"] + "/")
    assert good.status_code == 200


async def test_a_code_lives_for_a_minute(scene: Scene) -> None:
    first, second = await scene.code(), await scene.code()
    scene.clock.advance(59)
    assert (await scene.redeem(first)).status_code == 200
    scene.clock.advance(1)
    assert error(await scene.redeem(second)) == "invalid_grant"


async def test_refresh_rotates_and_a_second_use_ends_the_family(any_scene: Scene) -> None:
    scene, first = any_scene, await any_scene.tokens()
    second = (await scene.refresh(first["refresh_token"])).json()
    assert second["refresh_token"] != first["refresh_token"]
    assert claims(scene, second).sid == claims(scene, first).sid
    assert error(await scene.refresh(first["refresh_token"])) == "invalid_grant"
    scene.clock.advance(1)
    assert not alive(scene, second)
    assert error(await scene.refresh(second["refresh_token"])) == "invalid_grant"
    assert len(scene.audit.of("identity.replay")) == 1


async def test_of_eight_parallel_refreshes_one_wins_and_the_family_dies(any_scene: Scene) -> None:
    scene, first = any_scene, await any_scene.tokens()
    answers: list[httpx2.Response] = []

    async def refresh() -> None:
        answers.append(await scene.refresh(first["refresh_token"]))

    async with anyio.create_task_group() as group:
        for _ in range(8):
            group.start_soon(refresh)
    good = [answer.json() for answer in answers if answer.status_code == 200]
    assert len(good) == 1
    for body in good:
        assert error(await scene.refresh(body["refresh_token"])) == "invalid_grant"
    scene.clock.advance(1)
    assert not alive(scene, first)


async def test_refresh_can_narrow_but_never_widen(scene: Scene) -> None:
    wide = await scene.tokens(scope="data:read data:write")
    token = wide["refresh_token"]
    assert error(await scene.refresh(token, scope="data:read control:read")) == "invalid_scope"
    assert error(await scene.refresh(token, resource=scene.faces["control"])) == "invalid_target"
    narrow = (await scene.refresh(token, scope="data:read")).json()
    assert narrow["scope"] == claims(scene, narrow).scope == "data:read"
    again = (await scene.refresh(narrow["refresh_token"])).json()
    assert again["scope"] == "data:read data:write"


async def test_refresh_keeps_the_sign_in_and_drops_step_up_scopes(scene: Scene) -> None:
    scene.enrol()
    control = {"resource": scene.faces["control"], "scope": "control:read control:halt"}
    first = await scene.tokens(**control)
    before = claims(scene, first, "control")
    scene.clock.advance(100)
    second = (await scene.refresh(first["refresh_token"])).json()
    after = claims(scene, second, "control")
    assert (after.auth_time, after.acr) == (before.auth_time, before.acr)
    assert after.jti != before.jti
    assert after.scope == "control:read"
    asked = await scene.refresh(second["refresh_token"], scope="control:halt")
    assert error(asked) == "invalid_scope"


async def test_a_grant_of_nothing_but_step_up_has_no_refresh_token(scene: Scene) -> None:
    scene.enrol()
    body = await scene.tokens(resource=scene.faces["control"], scope="control:halt")
    assert "refresh_token" not in body


async def test_a_refresh_token_slides_for_a_fortnight(scene: Scene) -> None:
    body = await scene.tokens()
    scene.clock.advance(14 * DAY_S - 1)
    body = (await scene.refresh(body["refresh_token"])).json()
    scene.clock.advance(14 * DAY_S)
    assert error(await scene.refresh(body["refresh_token"])) == "invalid_grant"


async def test_rotation_never_passes_the_absolute_lifetime(scene: Scene) -> None:
    body = await scene.tokens()
    for _ in range(8):
        scene.clock.advance(10 * DAY_S)
        body = (await scene.refresh(body["refresh_token"])).json()
    scene.clock.advance(10 * DAY_S - 60)
    last = (await scene.refresh(body["refresh_token"])).json()
    assert last["expires_in"] == 60
    scene.clock.advance(60)
    assert error(await scene.refresh(last["refresh_token"])) == "invalid_grant"


async def test_a_refresh_token_is_its_clients(scene: Scene) -> None:
    other = (
        await scene.browser.post(
            "/as/register",
            json={
                "redirect_uris": [REDIRECT],
                "grant_types": ["authorization_code", "refresh_token"],
            },
        )
    ).json()["client_id"]
    body = await scene.tokens()
    assert error(await scene.refresh(body["refresh_token"], client_id=other)) == "invalid_grant"
    assert (await scene.refresh(body["refresh_token"])).status_code == 200


async def test_a_client_without_the_refresh_grant_gets_no_refresh_token(scene: Scene) -> None:
    made = await scene.browser.post("/as/register", json={"redirect_uris": [REDIRECT]})
    client = made.json()["client_id"]
    body = await scene.tokens(client_id=client)
    assert "refresh_token" not in body
    refused = await scene.refresh("asw_rt_x", client_id=client)
    assert error(refused) == "unauthorized_client"


@pytest.mark.parametrize("token", ["", "asw_rt_", "x", "\u00e9", "eyJ.eyJ.x"])
async def test_what_was_never_a_refresh_token_is_refused(scene: Scene, token: str) -> None:
    expected = "invalid_grant" if token else "invalid_request"
    assert error(await scene.refresh(token)) == expected


async def test_only_a_form_is_a_token_request(scene: Scene) -> None:
    form = {"grant_type": "authorization_code", "client_id": CLIENT, "code": "x"}
    post = scene.browser.post
    assert error(await post("/as/token", json=form)) == "invalid_request"
    assert error(await post("/as/token?code=x", data=form)) == "invalid_request"
    assert error(await post("/as/token", content=b"a=%ff", headers=FORM)) == "invalid_request"
    assert error(await post("/as/token", content=b"a=%00", headers=FORM)) == "invalid_request"
    twice = b"grant_type=password&grant_type=password"
    assert error(await post("/as/token", content=twice, headers=FORM)) == "invalid_request"
    many = "&".join(f"a{i}=1" for i in range(65)).encode()
    assert error(await post("/as/token", content=many, headers=FORM)) == "invalid_request"
    long = await post("/as/token", content=b"a=" + b"x" * 70_000, headers=FORM)
    assert error(long, 413) == "invalid_request"
    assert (await scene.browser.get("/as/token")).status_code == 405


async def test_revocation_of_either_token_ends_the_family(any_scene: Scene) -> None:
    scene = any_scene
    for name in ("access_token", "refresh_token"):
        body = await scene.tokens()
        answer = await scene.post("revoke", token=body[name], client_id=CLIENT)
        assert answer.status_code == 200
        scene.clock.advance(1)
        assert not alive(scene, body)
        assert error(await scene.refresh(body["refresh_token"])) == "invalid_grant"
    assert len(scene.audit.of("identity.revoke")) == 2


async def test_revocation_ignores_the_hint_and_what_it_does_not_know(scene: Scene) -> None:
    body = await scene.tokens()
    for token in ("unknown", "asw_rt_unknown", "a.b.c", body["access_token"][:-4]):
        answer = await scene.post("revoke", token=token, client_id=CLIENT, token_type_hint="odd")
        assert answer.status_code == 200
    assert alive(scene, body)
    hinted = {"token": body["refresh_token"], "token_type_hint": "access_token"}
    assert (await scene.post("revoke", **hinted, client_id=CLIENT)).status_code == 200
    scene.clock.advance(1)
    assert not alive(scene, body)


async def test_nobody_revokes_the_tokens_of_another_client(scene: Scene) -> None:
    other = (await scene.browser.post("/as/register", json={"redirect_uris": [REDIRECT]})).json()
    body = await scene.tokens()
    form = {"token": body["refresh_token"], "client_id": other["client_id"]}
    assert error(await scene.post("revoke", **form)) == "invalid_grant"
    assert error(await scene.post("revoke", token=body["refresh_token"])) == "invalid_client"
    assert error(await scene.post("revoke", client_id=CLIENT)) == "invalid_request"
    assert alive(scene, body)


async def test_a_token_for_one_server_is_refused_by_every_other(scene: Scene) -> None:
    for target, audience in scene.faces.items():
        token = (await scene.tokens(resource=audience, scope=None))["access_token"]
        answers = {server: reason_of(scene, server, token) for server in scene.faces}
        assert answers == {name: "" if name == target else "audience" for name in scene.faces}


async def test_no_secret_is_kept_in_clear_or_logged(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(0)
    code = await scene.code()
    body = (await scene.redeem(code)).json()
    later = (await scene.refresh(body["refresh_token"])).json()
    cookie = scene.browser.cookies[scene.cookie_name]
    kept = repr(vars(scene.store)) + json.dumps(scene.audit.events) + caplog.text
    for secret in (code, cookie, VERIFIER, *body.values(), *later.values()):
        if isinstance(secret, str) and len(secret) > 20:
            assert secret not in kept
    assert scene.store.find_code(digest(code)) is not None


async def test_every_token_is_on_record_without_itself(scene: Scene) -> None:
    body = await scene.tokens()
    (event,) = scene.audit.of("identity.issue")
    facts = claims(scene, body)
    assert event["actor"] == facts.sub
    assert event["target"] == facts.aud
    assert {k: event["facts"][k] for k in ("jti", "sid", "acr", "auth_time", "client_id")} == {
        "jti": facts.jti,
        "sid": facts.sid,
        "acr": facts.acr,
        "auth_time": facts.auth_time,
        "client_id": facts.client_id,
    }
