"""The keys of an external issuer: how often it is asked, what if it is away, what counts."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from joserfc.jwk import ECKey, OctKey, RSAKey

from auth.remote_keys import RETRY_S, STALE_S, RemoteKeys, usable
from topology.errors import StoreUnreachableError

NOW = 1_800_000_000.0
FIRST = RSAKey.generate_key(2048, auto_kid=True)
SECOND = ECKey.generate_key("P-256", auto_kid=True)


def jwk(key: Any, **more: Any) -> dict[str, Any]:
    return {**key.as_dict(private=False), "use": "sig", **more}


class Issuer:
    """What an issuer publishes now, how often it was asked, and whether it answers."""

    def __init__(self) -> None:
        self.published: list[Mapping[str, Any]] = [jwk(FIRST)]
        self.asked, self.away = 0, False
        self.keys = RemoteKeys("corp", self.read, ("RS256", "ES256"))

    def read(self) -> Sequence[Mapping[str, Any]]:
        self.asked += 1
        if self.away:
            raise OSError("away")
        return self.published

    def has(self, kid: str | None, now: float) -> bool:
        return self.keys.find(kid or "", now) is not None


def test_keys_are_read_once_and_kept_for_five_minutes() -> None:
    issuer = Issuer()
    assert all(issuer.has(FIRST.kid, NOW + age) for age in (0, 1, 299))
    assert issuer.asked == 1
    assert issuer.has(FIRST.kid, NOW + 300)
    assert issuer.asked == 2


def test_a_rotation_is_seen_and_a_key_that_is_gone_ends() -> None:
    issuer = Issuer()
    assert issuer.has(FIRST.kid, NOW)
    issuer.published = [jwk(SECOND)]
    assert issuer.has(SECOND.kid, NOW + 61)
    assert not issuer.has(FIRST.kid, NOW + 62)


def test_unknown_keys_make_us_ask_once_a_minute_at_most() -> None:
    issuer = Issuer()
    assert issuer.has(FIRST.kid, NOW)
    for number in range(600):  # ten tokens a second for a minute
        assert not issuer.has(f"forged-{number}", NOW + number / 10)
    assert issuer.asked == 1
    assert not issuer.has("forged", NOW + 60)
    assert issuer.asked == 2
    assert issuer.has(FIRST.kid, NOW + 61)


def test_old_keys_count_for_an_hour_while_the_issuer_is_away() -> None:
    issuer = Issuer()
    assert issuer.has(FIRST.kid, NOW)
    issuer.away = True
    assert issuer.has(FIRST.kid, NOW + 300)
    assert issuer.has(FIRST.kid, NOW + 300 + RETRY_S - 1)
    assert issuer.asked == 2
    assert issuer.has(FIRST.kid, NOW + STALE_S - 1)
    with pytest.raises(StoreUnreachableError, match="'corp' cannot be read"):
        issuer.has(FIRST.kid, NOW + STALE_S)
    issuer.away = False
    assert issuer.has(FIRST.kid, NOW + STALE_S + RETRY_S)


def test_an_issuer_that_never_answered_is_said_to_be_away_and_asked_again_later() -> None:
    issuer = Issuer()
    issuer.away = True
    for _ in range(3):
        with pytest.raises(StoreUnreachableError):
            issuer.has(FIRST.kid, NOW)
    assert issuer.asked == 1
    issuer.away = False
    issuer.keys.require(NOW + RETRY_S)
    assert issuer.has(FIRST.kid, NOW + RETRY_S)


def test_eight_at_once_ask_once() -> None:
    issuer = Issuer()
    gate, found = threading.Barrier(8), list[bool]()

    def ask() -> None:
        gate.wait()
        found.append(issuer.has(FIRST.kid, NOW))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (found, issuer.asked) == ([True] * 8, 1)


@pytest.mark.parametrize(
    ("published", "algs"),
    [
        pytest.param(jwk(FIRST, use="enc"), ("RS256",), id="for encryption"),
        pytest.param(jwk(FIRST, alg="RS512"), ("RS256",), id="for another algorithm"),
        pytest.param(jwk(FIRST), ("ES256",), id="of a kind that is not listed"),
        pytest.param({**jwk(FIRST), "kid": None}, ("RS256",), id="without a name"),
        pytest.param({**jwk(FIRST), "n": "AQAB"}, ("RS256",), id="too short"),
        pytest.param({"kty": "RSA", "kid": "x"}, ("RS256",), id="half a key"),
        pytest.param(FIRST.as_dict(private=True), ("RS256",), id="private"),
        pytest.param(
            jwk(ECKey.generate_key("P-384", auto_kid=True)), ("ES256",), id="another curve"
        ),
        pytest.param(
            OctKey.generate_key(256, auto_kid=True).as_dict(private=True), ("RS256",), id="a secret"
        ),
    ],
)
def test_a_key_that_cannot_sign_an_access_token_is_no_key(
    published: Mapping[str, Any], algs: tuple[str, ...]
) -> None:
    assert dict(usable([published], algs)) == {}
    assert len(dict(usable([published, jwk(FIRST), jwk(SECOND)], algs))) >= 1


def test_no_more_keys_are_looked_at_than_anybody_needs() -> None:
    assert dict(usable([{"kty": "RSA"}] * 64 + [jwk(FIRST)], ("RS256",))) == {}
