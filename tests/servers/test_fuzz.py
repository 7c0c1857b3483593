"""Ten thousand requests and ten thousand tokens that nobody means: no 5xx, and nobody gets in.

About eleven seconds; a failure names the seed and the number, so that it can be had again.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from starlette.routing import Route

from auth.config import Requests as Allowed
from tests.kit import fuzz
from tests.kit.faces import Door, door
from tests.kit.identity import CLIENT, REDIRECT, VERIFIER

SEED = 20261121
COUNT = 10_000
HELLO = b'{"jsonrpc":"2.0","id":1,"method":"ping"}'


@pytest.fixture
async def suite(tmp_path: Path) -> AsyncIterator[Door]:
    async with door(tmp_path) as opened:
        issuer = opened.scene.identity.issuer
        issuer.config = replace(issuer.config, requests=Allowed(10**7, 10**7))
        yield opened


async def answer(suite: Door, sent: fuzz.Sent) -> tuple[int, bytes]:
    """Hand a request to the whole application; return status and body."""
    out: list[Any] = []
    waiting = [{"type": "http.request", "body": sent.body, "more_body": False}]

    async def receive() -> dict[str, Any]:
        return waiting.pop() if waiting else {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        out.append(message)

    await suite.app(sent.scope(), receive, send)
    return int(out[0]["status"]), b"".join(one.get("body", b"") for one in out[1:])


async def test_random_requests_are_answered_and_get_nothing(suite: Door) -> None:
    """Every route of the issuer, as it lists them: a new one is tried without a word here."""
    paths = [route.path for route in suite.scene.identity.routes() if isinstance(route, Route)]
    assert len(paths) > 10
    redeemed = {"grant_type": "authorization_code", "redirect_uri": REDIRECT, "client_id": CLIENT}
    forms = [suite.scene.request(), {**redeemed, "code": "x" * 43, "code_verifier": VERIFIER}]
    rng = random.Random(SEED)
    requests = fuzz.Requests(paths, lambda: dict(rng.choice(forms)), rng)
    seen: dict[int, int] = {}
    for number, sent in enumerate(islice(requests, COUNT)):
        suite.scene.clock.advance(0.5)
        status, body = await answer(suite, sent)
        assert status < 500, f"seed {SEED}, request {number}: {sent}"
        assert b"access_token" not in body, f"seed {SEED}, request {number}: {sent}"
        seen[status] = seen.get(status, 0) + 1
    assert {200, 303, 400, 405} <= seen.keys(), "the requests reach more than the front door"


async def test_mutated_tokens_open_nothing(suite: Door) -> None:
    names = list(suite.topology.faces)
    good = [suite.token(name, f"{name}:read", jti=f"{name}{i}") for name in names for i in range(4)]
    key = suite.scene.identity.issuer.keys.current(suite.scene.now())
    tokens = fuzz.Tokens(good, key.as_pem(private=False), random.Random(SEED))
    tried: dict[str, int] = {}
    for number, (kind, token) in enumerate(islice(tokens, COUNT)):
        path = suite.topology.face(names[number % len(names)]).path
        text = token.encode("latin-1", "replace")
        headers = ((b"host", b"localhost:8000"), (b"authorization", b"Bearer " + text))
        status, _ = await answer(suite, fuzz.Sent("POST", path, b"", HELLO, headers))
        assert status in {400, 401}, f"seed {SEED}, token {number} ({kind}): {status}"
        tried[kind] = tried.get(kind, 0) + 1
    assert min(tried.values()) > COUNT / 20, tried
