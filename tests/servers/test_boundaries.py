"""What does not move the boundary: another process's memory, a session's id, a proxy's headers."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from auth.accounts import Accounts
from auth.tokens import Families, TokenRefusedError
from tests.kit.faces import ACCEPT, HANDSHAKE, Door, door, request
from tests.kit.identity import CHEAP, USERNAME, Scene
from tests.kit.live import Live


@pytest.fixture
async def opened(tmp_path: Path) -> AsyncIterator[Door]:
    async with door(tmp_path) as one:
        yield one


def others(scene: Scene) -> Iterator[Scene]:
    """Yield two processes of the same suite: one store, and nothing else in common."""
    for _ in range(2):
        families = Families(scene.store.family_alive)
        yield dataclasses.replace(
            scene, identity=dataclasses.replace(scene.identity, families=families)
        )


@pytest.mark.parametrize("how", ["grant", "person"])
async def test_a_revocation_is_seen_at_every_server_of_every_process_within_a_second(
    any_scene: Scene, how: str
) -> None:
    scene = any_scene
    processes = list(others(scene))
    tokens = {
        server: (await scene.tokens(resource=scene.faces[server], scope=f"{server}:read"))
        for server in ("data", "backtest", "control")
    }

    def seen(server: str) -> list[bool]:
        token, now = tokens[server]["access_token"], scene.now()
        judges = [one.identity.verifier(scene.faces[server]) for one in processes]
        return [not fails(judge.verify, token, now) for judge in judges]

    assert [seen(server) for server in tokens] == [[True, True]] * 3  # and remembered
    if how == "person":
        Accounts(scene.store, scene.audit, scene.clock, CHEAP).revoke(USERNAME)
    else:
        for answer in tokens.values():
            await scene.post("revoke", token=answer["refresh_token"], client_id="alphaswarm-cli")
    scene.clock.advance(1)
    assert [seen(server) for server in tokens] == [[False, False]] * 3


async def test_a_revocation_is_an_answer_at_two_servers(opened: Door) -> None:
    scene = opened.scene
    names = ("data", "backtest")
    tokens = {
        name: (await scene.tokens(resource=scene.faces[name], scope=f"{name}:read"))["access_token"]
        for name in names
    }
    for name in names:
        assert (await opened.call(name, "add", token=tokens[name], a=1, b=2)).status_code == 200
    Accounts(scene.store, scene.audit, scene.clock, CHEAP).revoke(USERNAME)
    scene.clock.advance(1)
    for name in names:
        answer = await opened.call(name, "add", token=tokens[name], a=1, b=2)
        assert answer.status_code == 401
        assert 'error="invalid_token"' in answer.headers["www-authenticate"]


async def test_a_session_belongs_to_its_principal_and_is_no_sign_in(opened: Door) -> None:
    begun = await initialize(opened, opened.token("data", "data:read"))
    session = begun.headers["mcp-session-id"]

    async def listed(token: str | None) -> int:
        sent = {**ACCEPT, "mcp-session-id": session, "mcp-protocol-version": HANDSHAKE}
        if token is not None:
            sent["authorization"] = f"Bearer {token}"
        body = {"jsonrpc": "2.0", "id": 2, "method": "tools/list"}
        answer = await opened.http.post(opened.url("data"), json=body, headers=sent)
        return answer.status_code

    assert await listed(opened.token("data", "data:read")) == 200
    assert await listed(opened.token("data", "data:read", sub="eve")) == 404
    assert await listed(opened.token("data", "data:read", client_id="another")) == 404
    assert await listed(opened.token("control", "control:read")) == 401
    assert await listed(None) == 401


async def initialize(opened: Door, token: str) -> httpx2.Response:
    params: dict[str, Any] = {
        "protocolVersion": HANDSHAKE,
        "capabilities": {},
        "clientInfo": {"name": "kit", "version": "1"},
    }
    body = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params}
    sent = {**ACCEPT, "authorization": f"Bearer {token}"}
    return await opened.http.post(opened.url("data"), json=body, headers=sent)


def test_headers_of_a_proxy_change_nothing_that_a_client_is_told(live: Live) -> None:
    """RFC 9700 s.4.13: nobody in front of us is believed unless he was configured."""
    told = {
        "x-forwarded-host": "evil.test",
        "x-forwarded-proto": "https",
        "x-forwarded-for": "203.0.113.9",
        "forwarded": "host=evil.test;proto=https",
    }
    face = live.topology.face("data")
    assert httpx2.get(face.prm_url, headers=told).json()["resource"] == face.url
    refused = httpx2.post(face.url, json=request("tools/list"), headers={**ACCEPT, **told})
    assert f'resource_metadata="{face.prm_url}"' in refused.headers["www-authenticate"]
    known = f"{live.topology.base_url}/.well-known/oauth-authorization-server/as"
    assert httpx2.get(known, headers=told).json()["issuer"] == face.issuer


def fails(act: Any, *arguments: Any) -> bool:
    try:
        act(*arguments)
    except TokenRefusedError:
        return True
    return False
