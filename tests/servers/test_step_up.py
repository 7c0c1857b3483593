"""Step-up from the challenge to the call: the real gate before the real issuer.

The numbers are those of the list in the design of identity.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from auth.accounts import Accounts
from auth.binding import Action
from auth.policy import ACR_MFA, ACR_OS, ACR_PASSKEY, ACR_PASSWORD
from auth.store import Family
from tests.kit.authenticator import Authenticator
from tests.kit.faces import Door, door
from tests.kit.identity import CHEAP, CLIENT, PASSWORD, USERNAME, Scene
from tests.servers.identity.test_passkeys import enrol, press

PRM = "http://localhost:8000/.well-known/oauth-protected-resource/control/mcp"


@pytest.fixture
async def suite(tmp_path: Path) -> AsyncIterator[Door]:
    async with door(tmp_path) as opened:
        yield opened


def challenge(answer: httpx2.Response) -> dict[str, str]:
    """Return the parameters of a Bearer challenge."""
    header = answer.headers["www-authenticate"]
    assert header.startswith("Bearer ")
    return dict(re.findall(r'(\w+)="([^"]*)"', header))


async def answered(suite: Door, answer: httpx2.Response) -> str:
    """Do what a client does with a challenge: ask the issuer for its scope; return the token."""
    scene, asked = suite.scene, challenge(answer)
    body = await scene.tokens(resource=scene.faces["control"], scope=asked["scope"])
    return str(body["access_token"])


async def reading(scene: Scene) -> str:
    body = await scene.tokens(resource=scene.faces["control"], scope="control:read")
    return str(body["access_token"])


async def by_totp(scene: Scene) -> None:
    scene.enrol()


async def by_recovery_code(scene: Scene) -> None:
    scene.enrol()
    await scene.sign_in()
    assert (await scene.second(code=scene.recovery_codes[0])).status_code == 200


async def by_passkey_alone(scene: Scene) -> None:
    device = Authenticator()
    assert (await enrol(scene, device)).status_code == 303
    assert (await press(scene, device)).status_code == 200


async def by_passkey_as_second(scene: Scene) -> None:
    device = Authenticator()
    assert (await enrol(scene, device)).status_code == 303
    await scene.sign_in()
    assert (await press(scene, device, "factor")).status_code == 200


WAYS = [by_totp, by_recovery_code, by_passkey_alone, by_passkey_as_second]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
async def test_52_53_a_challenge_leads_to_a_step_up_and_that_to_the_call(
    suite: Door, way: Any
) -> None:
    scene = suite.scene
    lacking = await suite.call("control", "halt", token=await reading(scene))
    assert lacking.status_code == 403
    assert challenge(lacking)["scope"] == "control:halt control:read"
    await way(scene)
    token = await answered(suite, lacking)
    done = await suite.call("control", "halt", token=token)
    assert done.json()["result"]["structuredContent"]["caller"] == USERNAME
    again = await suite.call("control", "halt", token=token)
    assert again.status_code == 200, "mfa is for five minutes, not for one call"


@pytest.mark.parametrize("acr", [ACR_PASSWORD, ACR_OS, "urn:alphaswarm:acr:xyz", "", None])
async def test_52_55_a_lesser_sign_in_is_challenged_by_rfc_9470(
    suite: Door, acr: str | None
) -> None:
    answer = await suite.call(
        "control", "halt", token=suite.token("control", "control:halt", acr=acr)
    )
    assert answer.status_code == 401
    assert challenge(answer) == {
        "error": "insufficient_user_authentication",
        "acr_values": f"{ACR_MFA} {ACR_PASSKEY}",
        "max_age": "300",
        "scope": "control:halt",
        "resource_metadata": PRM,
    }
    assert "structuredContent" not in answer.text


@pytest.mark.parametrize("way", [by_totp, by_passkey_alone], ids=lambda way: way.__name__)
async def test_54_a_step_up_counts_for_300_seconds_and_not_for_301(suite: Door, way: Any) -> None:
    scene = suite.scene
    await way(scene)
    lacking = await suite.call("control", "halt", token=await reading(scene))
    token = await answered(suite, lacking)
    shown = scene.identity.verifier(scene.faces["control"]).verify(token, scene.now()).auth_time
    scene.clock.advance(300 - (scene.now() - shown))
    assert (await suite.call("control", "halt", token=token)).status_code == 200
    scene.clock.advance(1)
    late = await suite.call("control", "halt", token=token)
    assert (late.status_code, challenge(late)["max_age"]) == (401, "300")


async def test_56_without_a_factor_there_is_no_lesser_token(suite: Door) -> None:
    scene = suite.scene
    lacking = await suite.call("control", "halt", token=await reading(scene))
    answer = await scene.approve(resource=scene.faces["control"], scope=challenge(lacking)["scope"])
    assert answer["error"] == "unmet_authentication_requirements"
    assert "code" not in answer


async def test_a_refresh_gives_no_step_up_back(suite: Door) -> None:
    scene = suite.scene
    scene.enrol()
    body = await scene.tokens(resource=scene.faces["control"], scope="control:read control:halt")
    fresh = (await scene.refresh(body["refresh_token"])).json()["access_token"]
    assert (await suite.call("control", "halt", token=body["access_token"])).status_code == 200
    assert (await suite.call("control", "halt", token=fresh)).status_code == 403


async def test_58_one_persons_step_up_never_raises_another(suite: Door) -> None:
    scene = suite.scene
    scene.enrol()
    lacking = await suite.call("control", "halt", token=await reading(scene))
    assert (await suite.call("control", "halt", token=await answered(suite, lacking))).is_success
    Accounts(scene.store, scene.audit, scene.clock, CHEAP).add("eve", PASSWORD)
    now = scene.now()
    scene.store.add_family(
        Family("eves", "eve", "kit", "", "", ACR_PASSWORD, now, now, now + 10**7), None
    )
    hers = suite.token("control", "control:halt", sub="eve", sid="eves")
    assert (await suite.call("control", "halt", token=hers)).status_code == 401


async def test_a_client_that_knows_no_details_is_led_to_a_token_for_what_it_tried(
    suite: Door,
) -> None:
    scene = suite.scene
    scene.enrol()
    body = await scene.tokens(resource=scene.faces["control"], scope="control:read")
    lacking = await suite.call("control", "resume", token=body["access_token"])
    assert lacking.status_code == 403
    token = await answered(suite, lacking)
    held = scene.identity.verifier(scene.faces["control"]).verify(token, scene.now())
    assert held.client_id == CLIENT
    assert held.principal().bound == Action.of("resume", {}).sha256
    assert (await suite.call("control", "resume", token=token)).status_code == 200
    assert (await suite.call("control", "resume", token=token)).status_code == 401


async def test_what_waited_is_forgotten_once_something_else_is_tried(suite: Door) -> None:
    scene = suite.scene
    scene.enrol()
    token = await reading(scene)
    assert (await suite.call("control", "resume", token=token)).status_code == 403
    lacking = await suite.call("control", "halt", token=token)
    stepped = await answered(suite, lacking)
    for _ in range(2):
        assert (await suite.call("control", "halt", token=stepped)).status_code == 200
