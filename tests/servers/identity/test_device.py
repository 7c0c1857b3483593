"""The device flow (design list 63): two codes, one person, one token for each server."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx2
import pytest

from auth.grants.device import ALPHABET, MOST_WAITING
from auth.store import Refresh, Store, digest
from tests.kit.identity import CLIENT, Scene, hidden_fields
from tests.kit.machines import DEVICE


async def begin(scene: Scene, **changes: str) -> dict[str, Any]:
    form = {"client_id": CLIENT, "resource": scene.faces["data"], "scope": "data:read", **changes}
    answer = await scene.post("device_authorization", **{k: v for k, v in form.items() if v})
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    body: dict[str, Any] = answer.json()
    return body


async def poll(scene: Scene, code: str, **form: str) -> httpx2.Response:
    return await scene.post("token", grant_type=DEVICE, client_id=CLIENT, device_code=code, **form)


async def page(scene: Scene, code: str) -> httpx2.Response:
    """Open the page with a code as a person, who signs in where that is asked for."""
    answer = await scene.browser.get(f"{scene.issuer}/device", params={"user_code": code})
    if answer.status_code == 303:
        target = dict(parse_qsl(urlsplit(answer.headers["location"]).query))["next"]
        answer = await scene.browser.get((await scene.sign_in(target)).headers["location"])
    return answer


async def press(scene: Scene, shown: httpx2.Response, decision: str = "allow") -> httpx2.Response:
    form = {**hidden_fields(shown.text), "decision": decision}
    return await scene.browser.post(f"{scene.issuer}/device", data=form)


async def test_a_device_waits_for_a_person_and_gets_one_token(any_scene: Scene) -> None:
    scene = any_scene
    begun = await begin(scene)
    assert begun["verification_uri"] == f"{scene.issuer}/device"
    assert (begun["expires_in"], begun["interval"]) == (600, 5)
    assert set(begun["user_code"]) <= set(ALPHABET + "-")
    scene.clock.advance(5)
    assert (await poll(scene, begun["device_code"])).json()["error"] == "authorization_pending"
    shown = await page(scene, begun["user_code"])
    assert "AlphaSwarm command line" in shown.text
    assert scene.faces["data"] in shown.text
    assert (await press(scene, shown)).status_code == 200
    answer = await poll(scene, begun["device_code"])
    assert answer.status_code == 200, answer.text
    body = answer.json()
    claims = scene.identity.verifier(scene.faces["data"]).verify(body["access_token"], scene.now())
    assert (claims.sub, claims.aud, claims.scope) == ("ada", scene.faces["data"], "data:read")
    assert claims.auth_time == scene.now()
    assert (await scene.refresh(body["refresh_token"])).status_code == 200
    again = await poll(scene, begun["device_code"])
    assert again.json()["error"] == "invalid_grant"
    assert not scene.store.family_alive(claims.sid), "a second use ends what the first one gave"


async def test_who_asks_too_often_waits_five_seconds_longer(any_scene: Scene) -> None:
    scene = any_scene
    code = (await begin(scene))["device_code"]
    seen = []
    for pause in (5, 1, 9, 10, 20):
        scene.clock.advance(pause)
        seen.append((await poll(scene, code)).json()["error"])
    pending, slow = "authorization_pending", "slow_down"
    assert seen == [pending, slow, slow, slow, pending], "5 s, then 10, 15 and 20"


async def test_one_code_is_good_for_several_servers_each_once(any_scene: Scene) -> None:
    scene = any_scene
    data, control = scene.faces["data"], scene.faces["control"]
    answer = await scene.browser.post(
        f"{scene.issuer}/device_authorization",
        data={"client_id": CLIENT, "resource": [data, control], "scope": "data:write"},
    )
    begun = answer.json()
    await press(scene, await page(scene, begun["user_code"].lower().replace("-", " ")))
    assert (await poll(scene, begun["device_code"])).json()["error"] == "invalid_target"
    first = (await poll(scene, begun["device_code"], resource=data)).json()
    second = (await poll(scene, begun["device_code"], resource=control)).json()
    assert (first["scope"], second["scope"]) == ("data:write", "control:read")
    again = await poll(scene, begun["device_code"], resource=control)
    assert again.json()["error"] == "invalid_grant"


async def test_a_person_can_say_no(scene: Scene) -> None:
    begun = await begin(scene)
    await press(scene, await page(scene, begun["user_code"]), "deny")
    assert (await poll(scene, begun["device_code"])).json()["error"] == "access_denied"
    (event,) = scene.audit.of("identity.device")
    assert event["decision"] == "refused"


async def test_codes_end_after_ten_minutes(scene: Scene) -> None:
    begun = await begin(scene)
    scene.clock.advance(600)
    assert (await poll(scene, begun["device_code"])).json()["error"] == "expired_token"
    assert "No device waits" in (await page(scene, begun["user_code"])).text


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"resource": ""}, "invalid_target"),
        ({"resource": "http://evil.test/mcp"}, "invalid_target"),
        ({"scope": "backtest:run"}, "invalid_scope"),
        ({"scope": "control:halt"}, "invalid_scope"),
        ({"client_id": "nobody"}, "invalid_client"),
        ({"authorization_details": "[]"}, "invalid_authorization_details"),
        ({"authorization_details": '[{"type":"alphaswarm_run"}]'}, "invalid_authorization_details"),
    ],
)
async def test_a_bad_request_gets_no_code(
    scene: Scene, changes: dict[str, str], error: str
) -> None:
    form = {"client_id": CLIENT, "resource": scene.faces["data"], **changes}
    answer = await scene.post("device_authorization", **form)
    assert answer.json()["error"] == error


async def test_a_registered_client_has_no_device_flow(scene: Scene) -> None:
    sent = {"redirect_uris": ["http://127.0.0.1/cb"]}
    client = (await scene.browser.post("/as/register", json=sent)).json()["client_id"]
    form = {"client_id": client, "resource": scene.faces["data"]}
    answer = await scene.post("device_authorization", **form)
    assert answer.json()["error"] == "unauthorized_client"


async def test_wrong_codes_lock_the_person_who_types_them_for_a_minute(scene: Scene) -> None:
    await scene.sign_in()
    answers = [await page(scene, "BBBB-BBBB") for _ in range(6)]
    assert [answer.status_code for answer in answers] == [400, 400, 400, 400, 429, 429]
    assert answers[-1].headers["retry-after"] == "60"
    begun = await begin(scene)
    assert (await page(scene, begun["user_code"])).status_code == 429, "a right one neither"
    scene.clock.advance(60)
    assert (await page(scene, begun["user_code"])).status_code == 200


async def test_a_decision_needs_the_page_of_this_browser(scene: Scene) -> None:
    begun = await begin(scene)
    shown = await page(scene, begun["user_code"])
    fields = hidden_fields(shown.text)
    for bad in ({"csrf": "x"}, {"csrf": ""}, {"decision": "maybe"}):
        form = {**fields, "decision": "allow", **bad}
        answer = await scene.browser.post(f"{scene.issuer}/device", data=form)
        assert answer.status_code == 400
    headers = {"origin": "http://evil.test"}
    form = {**fields, "decision": "allow"}
    answer = await scene.browser.post(f"{scene.issuer}/device", data=form, headers=headers)
    assert answer.status_code == 400
    assert (await poll(scene, begun["device_code"])).json()["error"] == "authorization_pending"
    policy = shown.headers["content-security-policy"]
    assert "form-action 'self'" in policy
    assert "frame-ancestors 'none'" in policy


async def test_only_so_many_devices_wait(scene: Scene) -> None:
    for _ in range(MOST_WAITING):
        await begin(scene)
    form = {"client_id": CLIENT, "resource": scene.faces["data"]}
    answer = await scene.post("device_authorization", **form)
    assert answer.status_code == 429
    assert answer.headers["retry-after"] == "60"
    scene.clock.advance(600)
    await begin(scene)


async def test_a_code_of_another_client_is_unknown(scene: Scene) -> None:
    begun = await begin(scene)
    assert (await poll(scene, "x" * 43)).json()["error"] == "invalid_grant"
    assert (await poll(scene, "")).json()["error"] == "invalid_request"
    answer = await scene.post("token", grant_type=DEVICE, device_code=begun["device_code"])
    assert answer.json()["error"] == "invalid_client"


async def test_of_parallel_redemptions_one_wins(any_scene: Scene) -> None:
    scene, store = any_scene, any_scene.store
    begun = await begin(scene)
    await press(scene, await page(scene, begun["user_code"]))
    code, data = digest(begun["device_code"]), scene.faces["data"]
    (device,), _ = store.poll_device(code, now=scene.now())
    won = _redeemed(store, code, data, device.sid, scene.now())
    assert won == [True, False, False]


def _redeemed(store: Store, code: str, data: str, sid: str, now: int) -> list[bool]:
    rows = [Refresh(digest(str(n)), sid, now + 9) for n in range(3)]
    return [store.use_device(code, data, row, now=now) for row in rows]
