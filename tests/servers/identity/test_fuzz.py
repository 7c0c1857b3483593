"""Random requests: no endpoint ever fails on its own, and none gives out a token by accident."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from auth.config import Requests
from auth.store import digest
from tests.kit.fuzz import GOOD, ODD, PARAMETERS
from tests.kit.identity import (
    CLIENT,
    FORM,
    REDIRECT,
    VERIFIER,
    Scene,
    scene_of,
)
from tests.kit.identity_store import MemoryStore

VALUES = st.sampled_from(ODD + GOOD) | st.text(max_size=20)
PAIRS = st.lists(st.tuples(st.sampled_from(PARAMETERS) | st.text(max_size=5), VALUES), max_size=12)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | VALUES,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3)
    ),
    max_leaves=8,
)
METADATA = [
    "redirect_uris", "grant_types", "response_types", "token_endpoint_auth_method", "client_name",
    "client_uri", "scope", "software_id", "software_version", "jwks", "contacts",
]  # fmt: skip
UNSIGNED = [name for name in PARAMETERS if not name.startswith("client_assertion")]
PAGES = ["authorize", "login", "device"]
ENDPOINTS = [*PAGES, "token", "revoke", "register", "device_authorization"]
FUZZ = settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    scene = scene_of(tmp_path_factory.mktemp("fuzz"), MemoryStore())
    issuer = scene.identity.issuer
    issuer.config = replace(issuer.config, requests=Requests(10_000_000, 10_000_000))
    return scene


def merged(scene: Scene, pairs: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return a good request with some parameters replaced, some added, some twice."""
    replaced = {name for name, _ in pairs}
    return [(n, v) for n, v in scene.request().items() if n not in replaced] + pairs


@given(pairs=PAIRS)
@FUZZ
async def test_any_authorization_request_is_answered(target: Scene, pairs: Any) -> None:
    query = "&".join(f"{_quoted(n)}={_quoted(v)}" for n, v in merged(target, pairs))
    answer = await target.browser.get(f"/as/authorize?{query}")
    assert answer.status_code in {200, 303, 400, 413}
    if answer.status_code == 303:
        location = answer.headers["location"]
        assert location.startswith(("/as/login?next=", "http://127.0.0.1:", "http://localhost:"))
        assert "code" not in dict(parse_qsl(urlsplit(location).query))


@given(endpoint=st.sampled_from(ENDPOINTS), pairs=PAIRS, good=st.booleans())
@FUZZ
async def test_any_form_is_answered(target: Scene, endpoint: str, pairs: Any, good: bool) -> None:
    pairs = merged(target, pairs) if good else pairs
    body = "&".join(f"{_quoted(name)}={_quoted(value)}" for name, value in pairs).encode()
    answer = await target.browser.post(f"/as/{endpoint}", content=body, headers=FORM)
    assert answer.status_code in {200, 303, 400, 401, 403, 413, 429}
    assert "access_token" not in answer.text


@given(
    endpoint=st.sampled_from(ENDPOINTS),
    body=st.binary(max_size=200),
    query=st.binary(max_size=60),
    content_type=st.sampled_from(
        [*FORM.values(), "application/json", "text/plain", "", ";", "\xe9"]
    ),
    cookie=st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=40),
)
@FUZZ
async def test_any_bytes_are_answered(
    target: Scene, endpoint: str, body: bytes, query: bytes, content_type: str, cookie: str
) -> None:
    for method in ("POST", "GET"):
        headers = [(b"content-type", content_type), (b"cookie", cookie), (b"host", "localhost")]
        scope = {
            "type": "http",
            "method": method,
            "path": f"/as/{endpoint}",
            "raw_path": f"/as/{endpoint}".encode(),
            "root_path": "",
            "query_string": query,
            "headers": [(name, value.encode("latin-1")) for name, value in headers],
            "server": ("localhost", 8000),
            "scheme": "http",
        }
        status = await status_of(target, scope, body)
        assert status in {200, 303, 400, 405, 413, 429}


async def status_of(target: Scene, scope: dict[str, Any], body: bytes) -> int:
    """Send a request that no client would write, and return its status."""
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    await target.app(scope, receive, send)
    status: int = sent[0]["status"]
    return status


@given(metadata=st.dictionaries(st.sampled_from(METADATA), JSON), good=st.booleans())
@FUZZ
async def test_any_registration_is_answered(target: Scene, metadata: Any, good: bool) -> None:
    target.clock.advance(2)
    body = {"redirect_uris": [REDIRECT], **metadata} if good else metadata
    raw = json.dumps(body).encode("utf-8", "surrogatepass")
    answer = await target.browser.post("/as/register", content=raw)
    assert answer.status_code in {201, 400}
    if answer.status_code == 201:
        client = answer.json()["client_id"]
        assert target.identity.issuer.query_client(client) is not None


@given(changes=st.dictionaries(st.sampled_from(UNSIGNED), VALUES, min_size=1, max_size=3))
@settings(parent=FUZZ, max_examples=60)
async def test_a_code_opens_only_for_the_request_it_was_made_for(
    target: Scene, changes: dict[str, str]
) -> None:
    target.clock.advance(1)
    code = await target.code()
    good = {
        "grant_type": "authorization_code",
        "client_id": CLIENT,
        "redirect_uri": REDIRECT,
        "code": code,
        "code_verifier": VERIFIER,
    }
    answer = await target.post("token", **{**good, **changes})
    bound = {**good, "resource": target.faces["data"], "client_secret": ""}
    changed = any(
        bound.get(name, value) != value and (value or name in good)  # empty means not sent
        for name, value in changes.items()
    )
    assert answer.status_code == (200 if not changed and _plain(changes) else 400)
    found = target.store.find_code(digest(code))
    assert found is not None
    assert (found[0].used_at is not None) == (answer.status_code == 200)


def _plain(changes: dict[str, str]) -> bool:
    return all(ord(char) >= 32 and ord(char) != 127 for v in changes.values() for char in v)


def _quoted(text: str) -> str:
    return quote(text, safe="%")
