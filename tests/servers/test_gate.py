"""The gate: golden challenges, the audience matrix, and bodies that can be read in one way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from auth.binding import Action
from auth.policy import ACR_MFA, ACR_OS, ACR_PASSKEY
from servers.bodies import MOST_BYTES, parse, serialize
from servers.rules import Rules
from tests.kit.faces import FAMILY, Door, door, offered, request, tool
from topology import services

SERVERS = ("data", "backtest", "control")
BASE = "http://localhost:8000"


def prm(server: str) -> str:
    return f'resource_metadata="{BASE}/.well-known/oauth-protected-resource/{server}/mcp"'


@pytest.fixture
async def suite(tmp_path: Path) -> AsyncIterator[Door]:
    async with door(tmp_path) as opened:
        yield opened


@pytest.mark.parametrize("holder", SERVERS)
@pytest.mark.parametrize("asked", SERVERS)
async def test_a_token_opens_its_own_server_and_no_other(
    suite: Door, holder: str, asked: str
) -> None:
    token = suite.token(holder, *suite.topology.face(holder).scopes)
    answer = await suite.call(asked, "add", token=token, a=1, b=2)
    if holder == asked:
        assert answer.json()["result"]["structuredContent"] == {"total": 3.0, "caller": "ada"}
        return
    assert answer.status_code == 401
    assert answer.content == b""
    assert answer.headers["www-authenticate"] == (
        f'Bearer error="invalid_token", scope="{asked}:read", {prm(asked)}'
    )


async def test_without_a_token_the_challenge_names_no_error(suite: Door) -> None:
    answer = await suite.call("data", "add", a=1, b=2)
    assert (answer.status_code, answer.content) == (401, b"")
    assert answer.headers["www-authenticate"] == f'Bearer scope="data:read", {prm("data")}'


async def test_another_scheme_is_no_token(suite: Door) -> None:
    answer = await suite.post("data", request("tools/list"), authorization="Basic YTpi")
    assert answer.headers["www-authenticate"] == f'Bearer scope="data:read", {prm("data")}'


async def test_the_scheme_may_be_written_small(suite: Door) -> None:
    token = suite.token("data", "data:read")
    answer = await suite.post("data", request("tools/list"), authorization=f"bearer {token}")
    assert answer.status_code == 200


async def test_a_token_in_the_query_is_no_token(suite: Door) -> None:
    token = suite.token("data", "data:read")
    url = f"{suite.url('data')}?access_token={token}"
    answer = await suite.http.post(url, json=request("tools/list"))
    assert answer.status_code == 401


@pytest.mark.parametrize(
    "claims",
    [
        pytest.param({"exp": None}, id="no end"),
        pytest.param({"exp": -1}, id="ended a second ago"),
        pytest.param({"nbf": 3600}, id="begins in an hour"),
        pytest.param({"iat": 3600}, id="issued in an hour"),
        pytest.param({"typ": "JWT"}, id="an ID token"),
        pytest.param({"cnf": {"jkt": "x"}}, id="bound to a key"),
        pytest.param({"aud": [f"{BASE}/data/mcp"]}, id="a list of audiences"),
        pytest.param({"aud": f"{BASE}/data/mcp/"}, id="nearly this audience"),
        pytest.param({"iss": "https://evil.test/as"}, id="another issuer"),
        pytest.param({"sid": "unknown"}, id="a grant that does not live"),
    ],
)
async def test_a_bent_token_is_invalid(suite: Door, claims: dict[str, Any]) -> None:
    now = suite.scene.now()
    moved = {k: now + v if isinstance(v, int) else v for k, v in claims.items()}
    token = suite.token("data", "data:read", **moved)
    answer = await suite.call("data", "add", token=token, a=1, b=2)
    assert answer.status_code == 401
    assert 'error="invalid_token"' in answer.headers["www-authenticate"]


async def test_a_token_without_signature_is_invalid(suite: Door) -> None:
    signed = suite.token("data", "data:read")
    none = "eyJhbGciOiJub25lIiwidHlwIjoiYXQrand0In0." + signed.split(".")[1] + "."
    assert (await suite.call("data", "add", token=none, a=1, b=2)).status_code == 401


async def test_a_revoked_grant_is_seen_within_a_second(suite: Door) -> None:
    token = suite.token("data", "data:read")
    assert (await suite.call("data", "add", token=token, a=1, b=2)).status_code == 200
    suite.scene.store.revoke_family(FAMILY, now=suite.scene.now())
    suite.scene.clock.advance(1.0)
    assert (await suite.call("data", "add", token=token, a=1, b=2)).status_code == 401


async def test_a_missing_scope_is_named_with_what_is_held(suite: Door) -> None:
    answer = await suite.call("data", "write", token=suite.token("data", "data:read"))
    assert answer.status_code == 403
    assert answer.headers["www-authenticate"] == (
        f'Bearer error="insufficient_scope", scope="data:read data:write", {prm("data")}'
    )
    assert answer.json()["code"] == "insufficient_scope"


async def test_the_work_scope_implies_reading(suite: Door) -> None:
    token = suite.token("data", "data:write")
    assert (await suite.call("data", "add", token=token, a=1, b=2)).status_code == 200


async def test_a_token_without_scopes_cannot_even_list(suite: Door) -> None:
    answer = await suite.post("data", request("tools/list"), token=suite.token("data"))
    assert answer.status_code == 403
    assert 'scope="data:read"' in answer.headers["www-authenticate"]


@pytest.mark.parametrize(("age", "status"), [(300, 200), (301, 401)])
async def test_a_sign_in_counts_for_five_minutes(suite: Door, age: int, status: int) -> None:
    signed_in = suite.scene.now() - age
    token = suite.token(
        "control",
        "control:resume",
        auth_time=signed_in,
        acr=ACR_MFA,
        jti=f"age-{age}",
        authorization_details=Action.of("resume", {}).details(),
    )
    answer = await suite.call("control", "resume", token=token)
    assert answer.status_code == status
    if status == 401:
        assert answer.headers["www-authenticate"] == (
            'Bearer error="insufficient_user_authentication", '
            f'acr_values="{ACR_MFA} {ACR_PASSKEY}", max_age="300", scope="control:resume", '
            f"{prm('control')}"
        )
        assert answer.json()["code"] == "step_up_required"


async def test_a_bound_token_works_once_and_for_its_action_alone(suite: Door) -> None:
    token = suite.token(
        "control",
        "control:resume",
        acr=ACR_MFA,
        jti="bound-once",
        authorization_details=Action.of("resume", {}).details(),
    )
    assert (await suite.call("control", "resume", token=token, a=1)).status_code == 401
    noted = suite.scene.store.find_refused("ada", "kit", now=suite.scene.now())
    assert noted is not None
    assert noted.text == '{"arguments":{"a":1},"tool":"resume"}'
    assert (await suite.call("control", "resume", token=token)).status_code == 200
    assert (await suite.call("control", "resume", token=token)).status_code == 401


async def test_of_many_calls_with_one_bound_token_one_wins(suite: Door) -> None:
    token = suite.token(
        "control",
        "control:resume",
        acr=ACR_MFA,
        jti="bound-race",
        authorization_details=Action.of("resume", {}).details(),
    )
    answers = await asyncio.gather(
        *(suite.call("control", "resume", token=token) for _ in range(8))
    )
    assert sorted(answer.status_code for answer in answers).count(200) == 1


async def test_peer_credentials_are_no_second_factor(suite: Door) -> None:
    token = suite.token("control", "control:resume", acr=ACR_OS)
    assert (await suite.call("control", "resume", token=token)).status_code == 401


async def test_nobody_steps_up_for_a_person(suite: Door) -> None:
    token = suite.token("control", "control:resume", act={"sub": "robot"})
    answer = await suite.call("control", "resume", token=token)
    assert answer.status_code == 403
    assert answer.headers["www-authenticate"] == f'Bearer error="access_denied", {prm("control")}'


async def test_the_fourth_challenge_ends_a_loop(suite: Door) -> None:
    token = suite.token("control", "control:resume", acr=ACR_OS)
    statuses = [(await suite.call("control", "resume", token=token)).status_code for _ in range(5)]
    assert statuses == [401, 401, 401, 403, 403]
    suite.scene.clock.advance(301)
    later = suite.token("control", "control:resume", acr=ACR_OS)
    assert (await suite.call("control", "resume", token=later)).status_code == 401


async def test_two_authorization_headers_are_refused(suite: Door) -> None:
    token = suite.token("data", "data:read")
    headers = [("authorization", f"Bearer {token}"), ("authorization", "Bearer other")]
    answer = await suite.http.post(suite.url("data"), json=request("tools/list"), headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_arguments")


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        pytest.param(b"", 400, -32700, id="nothing"),
        pytest.param(b"{", 400, -32700, id="half an object"),
        pytest.param(b"[]", 400, -32600, id="a batch"),
        pytest.param(b'"x"', 400, -32600, id="a word"),
        pytest.param(b"\xff\xfe", 400, -32700, id="not UTF-8"),
        pytest.param(b'{"a": NaN}', 400, -32700, id="not a number"),
        pytest.param(b'{"a": 1e999}', 400, -32700, id="a number beyond any float"),
        pytest.param(b'{"a": "\\ud800"}', 400, -32700, id="half a character"),
        pytest.param(b'{"\\udfff": 1}', 400, -32700, id="half a character as a key"),
        pytest.param(b'{"method": "ping", "a": "\\u0000"}', 400, -32600, id="NUL"),
        pytest.param(b'{"a": 1, "a": 2}', 400, -32600, id="a key twice"),
        pytest.param(b'{"p": {"name": "add", "name": "write"}}', 400, -32600, id="twice, inside"),
        pytest.param(b'{"a":' + b"[" * 200 + b"]" * 200 + b"}", 400, -32600, id="200 deep"),
        pytest.param(b'{"a":' + b"[" * 10_000 + b"]" * 10_000 + b"}", 400, -32600, id="10,000"),
        pytest.param(b'{"a": "' + b"x" * MOST_BYTES + b'"}', 413, -32600, id="over 4 MiB"),
        pytest.param(b'{"jsonrpc":"2.0","id":7,"method":"no/such"}', 404, -32601, id="no method"),
        pytest.param(b'{"jsonrpc":"2.0","id":7,"method":["x"]}', 404, -32601, id="a list"),
    ],
)
async def test_what_cannot_be_read_in_one_way_is_refused(
    suite: Door, body: bytes, status: int, code: int
) -> None:
    answer = await suite.post("data", body, token=suite.token("data", "data:write"))
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert answer.json()["error"]["data"]["code"] == "invalid_arguments"
    assert answer.json()["error"]["data"]["hint"]


async def test_a_backslash_is_no_nul_and_any_character_arrives(suite: Door) -> None:
    """Text that only looks like an escape passes, and so does what lies beyond the first plane."""
    text = {"backslash": "\\u0000", "emoji": "\N{SNAKE}\u20ac", "quote": '"\\\\'}
    assert parse(serialize(text)) == text


async def test_an_unknown_method_does_not_end_a_session(suite: Door) -> None:
    """404 inside a session would tell the client of the older era to begin another one."""
    headers = {
        "authorization": f"Bearer {suite.token('data', 'data:read')}",
        "mcp-session-id": "some session",
    }
    answer = await suite.http.post(suite.url("data"), json=request("no/such"), headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (200, -32601)


async def test_a_token_in_a_form_is_no_token(suite: Door) -> None:
    form = {"access_token": suite.token("data", "data:read")}
    answer = await suite.http.post(suite.url("data"), data=form)
    assert answer.status_code == 401
    assert "error=" not in answer.headers["www-authenticate"]


async def test_the_header_does_not_decide(suite: Door) -> None:
    """The older era ignores Mcp-Name; whoever trusted it would let ``write`` through."""
    body = request("tools/call", name="write", arguments={})
    token = suite.token("data", "data:read")
    answer = await suite.http.post(
        suite.url("data"),
        json=body,
        headers={"authorization": f"Bearer {token}", "mcp-name": "add", "mcp-method": "tools/list"},
    )
    assert answer.status_code == 403


def test_cancelling_a_task_needs_more_than_reading() -> None:
    served = offered("data", services.load({}))

    def cancel_run(run_id: str) -> None:
        """Cancel."""

    write = served.tools["write"].auth
    served.tools["cancel_run"] = tool("data", cancel_run, write, read_only=False)
    rules = Rules("data:read", served)
    assert rules.of(request("tasks/cancel", taskId="x"))[0] == write
    assert rules.of(request("tasks/get", taskId="x"))[0] == rules.read


async def test_a_store_that_is_away_is_503_and_never_a_yes(suite: Door) -> None:
    token = suite.token("data", "data:read")
    suite.store.away = True
    answer = await suite.call("data", "add", token=token, a=1, b=2)
    assert (answer.status_code, answer.json()["code"]) == (503, "store_unreachable")


def test_what_a_call_says_can_make_its_rule_stricter() -> None:
    served = offered("data", services.load({}))
    ask = served.tools["write"].auth
    bound = replace(ask, step_up="bound")
    served.tools["write"] = replace(
        served.tools["write"], stricter=lambda said: bound if said.get("all") else None
    )
    rules = Rules("data:read", served)

    def rule(**arguments: object) -> object:
        return rules.of(request("tools/call", name="write", arguments=arguments))[0]

    assert rule() == rule(all=False) == ask
    assert rule(all=True) == rule(all="yes") == bound
