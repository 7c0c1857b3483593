"""Dynamic client registration (design list): public, of this machine, and not too many."""

from __future__ import annotations

import json
from typing import Any

import httpx2
import pytest

from tests.kit.identity import REDIRECT, Scene, scene_of
from tests.kit.identity_store import MemoryStore
from topology import services

DAY_S = 86_400


async def register(scene: Scene, **metadata: Any) -> httpx2.Response:
    return await scene.browser.post("/as/register", json={"redirect_uris": [REDIRECT], **metadata})


async def test_a_client_is_public_and_its_metadata_is_echoed(any_scene: Scene) -> None:
    scene = any_scene
    sent = {
        "redirect_uris": [REDIRECT, "http://localhost:33418/"],
        "client_name": "Zo\u00eb's editor",
        "client_uri": "https://editor.test/",
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "scope": "data:read",
        "software_id": "editor",
        "software_version": "1",
    }
    answer = await register(scene, **sent, logo_uri="https://editor.test/x.png", extra={"a": [1]})
    assert answer.status_code == 201
    assert answer.headers["cache-control"] == "no-store"
    body = answer.json()
    client_id = body.pop("client_id")
    assert body == {
        **sent,
        "client_id_issued_at": scene.now(),
        "token_endpoint_auth_method": "none",
    }
    tokens = await scene.tokens(client_id=client_id)
    assert tokens["refresh_token"]


async def test_the_registered_scope_is_no_ceiling(scene: Scene) -> None:
    client = (await register(scene, scope="data:read")).json()["client_id"]
    body = await scene.tokens(client_id=client, scope="data:read data:write")
    assert body["scope"] == "data:read data:write"


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post", None])
async def test_nobody_gets_a_secret(scene: Scene, method: str | None) -> None:
    asked = {"token_endpoint_auth_method": method} if method else {}
    body = (await register(scene, **asked)).json()
    assert body["token_endpoint_auth_method"] == "none"
    assert "client_secret" not in body
    assert "client_secret_expires_at" not in body


@pytest.mark.parametrize(
    "uri",
    [
        "http://127.0.0.1:33418/",
        "http://localhost:8787/callback",
        "http://[::1]:1/x",
        "http://127.0.0.1",
        *services.load({}).registration.redirects,
    ],
)
async def test_a_redirect_to_this_machine_or_to_a_known_editor(scene: Scene, uri: str) -> None:
    answer = await register(scene, redirect_uris=[uri])
    assert answer.status_code == 201
    client = answer.json()["client_id"]
    page = await scene.authorize(client_id=client, redirect_uri=uri)
    assert "/as/login?" in page.headers["location"]


@pytest.mark.parametrize(
    "uris",
    [
        ["javascript:alert(1)"],
        ["data:text/html,x"],
        ["http://evil.test/cb"],
        ["https://evil.test/cb"],
        ["http://192.168.0.1/cb"],
        ["http://0.0.0.0/cb"],
        ["http://127.0.0.2/cb"],
        ["http://127.0.0.1.evil.test/cb"],
        ["http://localhost.evil.test/cb"],
        ["http://127.0.0.1:1/cb#x"],
        ["http://a@127.0.0.1:1/cb"],
        ["http://127.0.0.1:1@evil.test/cb"],
        ["http://127.0.0.1:99999/cb"],
        ["http://127.0.0.1:/cb"],
        ["HTTP://127.0.0.1/cb"],
        ["http://127.0.0.1\\@evil.test/"],
        ["http://127.0.0.1/c b"],
        ["http://127.0.0.1/\u00e9"],
        ["http://127.0.0.1/\n"],
        ["http://[::1"],
        ["cursor://somebody.else/callback"],
        [REDIRECT, "http://evil.test/cb"],
        [""],
        [],
        [1],
        [None],
        "http://127.0.0.1/cb",
        None,
        [REDIRECT] * 11,
        ["http://127.0.0.1/" + "x" * 2048],
    ],
)
async def test_any_other_redirect_is_refused(scene: Scene, uris: Any) -> None:
    answer = await register(scene, redirect_uris=uris)
    assert answer.status_code == 400
    assert answer.json()["error"] == "invalid_redirect_uri"
    assert "evil" not in answer.text


@pytest.mark.parametrize(
    "metadata",
    [
        {"grant_types": ["client_credentials"]},
        {"grant_types": ["authorization_code", "client_credentials"]},
        {"grant_types": ["urn:ietf:params:oauth:grant-type:token-exchange"]},
        {"grant_types": ["authorization_code", "password"]},
        {"grant_types": ["authorization_code", "implicit"]},
        {"grant_types": ["refresh_token"]},
        {"grant_types": []},
        {"grant_types": 5},
        {"response_types": ["token"]},
        {"response_types": ["code", "id_token"]},
        {"response_types": [1]},
        {"token_endpoint_auth_method": "private_key_jwt"},
        {"token_endpoint_auth_method": 1},
        {"client_name": {"a": 1}},
        {"client_name": "a\u0000b"},
        {"client_name": "x" * 201},
        {"client_name": "\u202egnp.exe"},
        {"client_uri": 5},
        {"client_uri": "javascript:alert(1)"},
        {"scope": 1},
    ],
    ids=str,
)
async def test_metadata_of_the_wrong_kind_is_refused(scene: Scene, metadata: Any) -> None:
    answer = await register(scene, **metadata)
    assert answer.status_code == 400
    assert answer.json()["error"] == "invalid_client_metadata"


@pytest.mark.parametrize(
    "raw",
    [b"", b"x", b"[]", b"null", b"1", b"\xff", b"{" * 5000, b'{"redirect_uris": ["\\ud800"]}'],
)
async def test_what_is_no_registration_is_refused(scene: Scene, raw: bytes) -> None:
    answer = await scene.browser.post("/as/register", content=raw)
    assert answer.status_code == 400
    assert answer.json()["error"] in {"invalid_client_metadata", "invalid_redirect_uri"}


async def test_a_registration_over_64_kib_is_refused(scene: Scene) -> None:
    raw = json.dumps({"redirect_uris": [REDIRECT], "x": "x" * 70_000})
    assert (await scene.browser.post("/as/register", content=raw)).status_code == 413


async def test_registrations_are_limited_by_the_minute(scene: Scene) -> None:
    statuses = [(await register(scene)).status_code for _ in range(61)]
    assert statuses == [201] * 60 + [429]
    refused = await register(scene)
    assert refused.headers["retry-after"] == "60"
    assert refused.json()["error"] == "temporarily_unavailable"
    scene.clock.advance(61)
    assert (await register(scene)).status_code == 201


async def test_an_unused_client_is_forgotten_after_a_day(scene: Scene) -> None:
    unused = (await register(scene)).json()["client_id"]
    used = (await register(scene)).json()["client_id"]
    await scene.tokens(client_id=used)
    scene.clock.advance(DAY_S + 1)
    await scene.sign_in()
    assert (await scene.authorize(client_id=unused)).status_code == 400
    assert (await scene.authorize(client_id=used)).status_code in {200, 303}


async def test_a_registration_is_on_record(scene: Scene) -> None:
    client = (await register(scene)).json()["client_id"]
    (event,) = scene.audit.of("identity.register")
    assert event["target"] == client
    assert event["facts"]["redirect_uris"] == REDIRECT


async def test_registration_is_closed_beyond_this_machine(tmp_path: Any) -> None:
    path = tmp_path / "topology.yaml"
    text = services.PACKAGED.read_text().replace('[127.0.0.1, "::1"]', "[0.0.0.0]")
    path.write_text(text.replace("base_url: http://localhost:8000", "base_url: https://quant.test"))
    open_wide = services.load({"ALPHASWARM_PROFILE": "open"}, path=_with_profile(path))
    scene = scene_of(tmp_path, MemoryStore(), topology=open_wide)
    metadata = (await scene.browser.get("/.well-known/oauth-authorization-server/as")).json()
    assert "registration_endpoint" not in metadata
    answer = await register(scene)
    assert (answer.status_code, answer.json()["error"]) == (403, "access_denied")
    signed_in = await scene.sign_in()
    assert "Secure" in signed_in.headers["set-cookie"]


def _with_profile(path: Any) -> Any:
    text = path.read_text()
    path.write_text(text.replace("profiles: {}", "profiles: {open: {}}"))
    return path
