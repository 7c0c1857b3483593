"""Keys rotate and tokens expire under load: who may is let in, whose time is up is not."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from auth.keys import LEAD_S, RELOAD_S, KeyRing, read_keys, state_of
from auth.tokens import MAX_LIFETIME_S, Claims, TokenRefusedError, mint, read_claims
from tests.kit.faces import Door, door

SEED = 7


@pytest.fixture
async def suite(tmp_path: Path) -> AsyncIterator[Door]:
    async with door(tmp_path) as opened:
        yield opened


async def test_no_call_is_refused_while_keys_rotate_and_tokens_expire(suite: Door) -> None:
    """Nine callers at three servers for an hour; a rotation each ten minutes."""
    names, seen = list(suite.topology.faces), list[int]()
    keys = suite.scene.identity.issuer.keys
    held = dict.fromkeys(range(9), ("", 0.0))
    signers = set[str]()

    async def call(number: int) -> tuple[int, bool]:
        token, ends = held[number]
        living = suite.scene.now() < ends
        answer = await suite.call(names[number % 3], "add", token=token, a=1, b=2)
        return answer.status_code, living

    for step in range(30):
        if step % 5 == 0:
            keys.rotate(suite.scene.now())
        for number in held:
            if (step + number) % 9 == 0:  # each 18 minutes: too late for the last calls
                name = names[number % 3]
                token = suite.token(name, f"{name}:read", jti=f"{step}.{number}")
                held[number] = (token, suite.scene.now() + MAX_LIFETIME_S)
        signers.add(keys.current(suite.scene.now()).kid or "")
        for status, living in await asyncio.gather(*(call(n) for n in held if held[n][0])):
            assert status == (200 if living else 401), f"step {step}"
            seen.append(status)
        suite.scene.clock.advance(120)
    assert len(signers) > 4
    assert seen.count(200) > 3 * seen.count(401) > 0


def test_rings_of_several_processes_agree_whenever_each_reads_the_folder(tmp_path: Path) -> None:
    """Four processes read the folder when each does; any mints, any verifies, for two hours."""
    rng, now = random.Random(SEED), 1_800_000_000.0
    rings = [KeyRing(tmp_path) for _ in range(4)]
    rings[0].ensure(now)
    tokens: list[tuple[str, float]] = []
    checked = rotated = 0
    rotate_at = now + 60
    while now < 1_800_000_000 + 2 * 3600:
        now += rng.uniform(1, 50)
        if now >= rotate_at:
            rng.choice(rings).rotate(now)
            rotated += 1
            rotate_at = now + rng.uniform(LEAD_S, 2 * LEAD_S)
        for ring in rng.sample(rings, 2):  # the others do not look now: theirs grow stale
            ring.public("unknown", now)
        tokens.append((signed(rng.choice(rings), now), now + MAX_LIFETIME_S))
        tokens = [one for one in tokens if one[1] > now]
        for token, _ in rng.sample(tokens, min(3, len(tokens))):
            assert read_claims(token, rng.choice(rings).public, now).sub == "ada"
            checked += 1
    assert rotated > 4
    assert checked > 700


def test_a_key_is_forgotten_once_none_of_its_tokens_can_live(tmp_path: Path) -> None:
    ring, now = KeyRing(tmp_path), 1_800_000_000.0
    ring.ensure(now)
    token = signed(ring, now)
    ring.rotate(now)
    later = now + LEAD_S + 2 * RELOAD_S + MAX_LIFETIME_S + 31
    assert [state_of(key, read_keys(tmp_path), later) for key in read_keys(tmp_path)] == [
        "gone",
        "current",
    ]
    with pytest.raises(TokenRefusedError):
        read_claims(token, ring.public, later)


def signed(ring: KeyRing, now: float) -> str:
    """Return a token as a process with this ring mints it."""
    times = {"iat": int(now), "nbf": int(now), "exp": int(now) + MAX_LIFETIME_S}
    words = dict.fromkeys(("iss", "aud", "client_id", "scope", "jti", "sid"), "x")
    return mint(Claims(sub="ada", **words, **times), ring.current(now))  # type: ignore[arg-type]  # by name
