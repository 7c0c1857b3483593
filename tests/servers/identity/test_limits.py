"""Who asks too much waits, with a time to come back; what a challenge does to the next refresh."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from auth.config import Requests
from servers.actions import Actions
from tests.kit.identity import REDIRECT, Scene
from topology.principal import Principal


@pytest.fixture
def strict(scene: Scene) -> Scene:
    """Return a scene that allows twenty requests a minute, five of them refused ones."""
    issuer = scene.identity.issuer
    issuer.config = replace(issuer.config, requests=Requests(20, 5))
    return scene


@pytest.mark.parametrize(
    "endpoint",
    ["token", "device_authorization", "device", "authorize", "login/passkey", "passkeys"],
)
async def test_refused_requests_are_counted_per_minute(strict: Scene, endpoint: str) -> None:
    answers = [await strict.post(endpoint, grant_type="x") for _ in range(7)]
    assert [answer.status_code for answer in answers[5:]] == [429, 429]
    assert answers[6].headers["retry-after"] == "60"
    assert answers[6].json()["error"] == "temporarily_unavailable"
    strict.clock.advance(59)
    assert (await strict.post(endpoint, grant_type="x")).headers["retry-after"] == "1"
    strict.clock.advance(1)
    assert (await strict.post(endpoint, grant_type="x")).status_code == 400
    other = await strict.browser.post("/as/register", json={"redirect_uris": [REDIRECT]})
    assert other.status_code == 201, "each endpoint counts for itself"


async def test_good_requests_have_a_limit_too(strict: Scene) -> None:
    answers = [await strict.authorize() for _ in range(21)]
    assert {answer.status_code for answer in answers[:20]} == {303}
    assert answers[20].status_code == 429


async def test_a_refresh_after_a_challenge_leads_to_the_sign_in_page_once(
    any_scene: Scene,
) -> None:
    scene = any_scene
    sent = {"redirect_uris": [REDIRECT], "grant_types": ["authorization_code", "refresh_token"]}
    client = (await scene.browser.post("/as/register", json=sent)).json()["client_id"]
    token = (await scene.tokens(client_id=client))["refresh_token"]
    actions = Actions(scene.store)
    caller = Principal("ada", client)
    await actions.challenged(caller, scene.faces["data"], scene.now())
    scene.clock.advance(119)
    refused = await scene.refresh(token, client_id=client)
    assert refused.json()["error"] == "invalid_grant"
    again = await scene.refresh(token, client_id=client)
    assert again.status_code == 200, "once, and the token is still good"
    await actions.challenged(caller, scene.faces["control"], scene.now())
    await actions.challenged(caller, scene.faces["data"], scene.now())
    scene.clock.advance(120)
    later = await scene.refresh(again.json()["refresh_token"], client_id=client)
    assert later.status_code == 200, "two minutes later it is no answer to a challenge"
    await actions.challenged(caller, scene.faces["data"], scene.now())
    fresh = await scene.tokens(client_id=client)
    kept = await scene.refresh(fresh["refresh_token"], client_id=client)
    assert kept.status_code == 200, "who has signed in since is not sent there again"


async def test_our_own_command_line_is_not_sent_anywhere(scene: Scene, tmp_path: Path) -> None:
    token = (await scene.tokens())["refresh_token"]
    caller = Principal("ada", "alphaswarm-cli")
    await Actions(scene.store).challenged(caller, scene.faces["data"], scene.now())
    assert (await scene.refresh(token)).status_code == 200
