"""Signing keys: three states that follow from the clock, and a rotation nobody notices."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
from joserfc import jwt

from auth.keys import LEAD_S, RELOAD_S, KeyRing, generate, state_of
from auth.tokens import Claims, mint, read_claims
from topology.errors import FaultError

NOW = 1_800_000_000


def claims(now: int) -> Claims:
    return Claims(
        iss="i", sub="s", aud="a", client_id="c", scope="", iat=now, nbf=now, exp=now + 900,
        jti="j", sid="f",
    )  # fmt: skip


@pytest.fixture
def ring(tmp_path: Path) -> KeyRing:
    ring = KeyRing(tmp_path)
    ring.ensure(NOW)
    return ring


def test_the_first_key_signs_at_once_and_its_file_is_private(ring: KeyRing, tmp_path: Path) -> None:
    (file,) = tmp_path.iterdir()
    assert file.name == f"as-{ring.current(NOW).kid}.json"
    assert ring.current(NOW).kid == ring.current(NOW).thumbprint()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_second_start_keeps_the_key(ring: KeyRing, tmp_path: Path) -> None:
    again = KeyRing(tmp_path)
    again.ensure(NOW + 5)
    assert again.current(NOW + 5).kid == ring.current(NOW).kid


def test_a_rotation_before_the_first_start_does_not_leave_it_without_a_key(tmp_path: Path) -> None:
    waiting = KeyRing(tmp_path).rotate(NOW)
    ring = KeyRing(tmp_path)
    ring.ensure(NOW)
    first = ring.current(NOW).kid
    assert first != waiting.kid
    assert ring.current(waiting.active_from).kid == waiting.kid
    ring.ensure(waiting.active_from)
    assert len(list(tmp_path.glob("as-*.json"))) == 2


def test_the_published_set_holds_public_members_only(ring: KeyRing) -> None:
    (key,) = ring.jwks(NOW)["keys"]
    assert set(key) == {"kty", "crv", "x", "y", "kid", "use", "alg"}
    assert (key["use"], key["alg"], key["crv"]) == ("sig", "ES256", "P-256")


@pytest.mark.parametrize(
    ("age", "expected"),
    [
        pytest.param(-1, "next", id="published, unused"),
        pytest.param(0, "current", id="signs from its first second"),
        pytest.param(999, "current", id="until its successor does"),
        pytest.param(1000, "retired", id="its last tokens live on"),
        pytest.param(1989, "retired", id="they and a slow reload"),
        pytest.param(1990, "gone", id="nothing of it is valid any more"),
    ],
)
def test_the_states_of_a_key_that_is_replaced_after_1000_seconds(age: int, expected: str) -> None:
    old, new = generate(NOW), generate(NOW + 1000)
    assert state_of(old, (old, new), NOW + age) == expected


def test_rotation_happens_without_one_refused_token(tmp_path: Path, ring: KeyRing) -> None:
    server = KeyRing(tmp_path)  # another process, which reads the folder in its own time
    server.public("warm", NOW + 59)
    KeyRing(tmp_path).rotate(NOW + 60)
    signers = set()
    for now in range(NOW + 60, NOW + 60 + LEAD_S + 1200, 7):
        key = ring.current(now)
        signers.add(key.kid)
        token = mint(claims(now), key)
        for later in (now, now + 450, now + 899):
            assert read_claims(token, KeyRing(tmp_path).public, later).jti == "j"
        assert read_claims(token, server.public, now).jti == "j"
    assert len(signers) == 2


def test_a_rotation_that_has_not_begun_is_not_repeated(tmp_path: Path, ring: KeyRing) -> None:
    first = ring.rotate(NOW + 10)
    assert ring.rotate(NOW + 20).kid == first.kid
    assert len(list(tmp_path.iterdir())) == 2
    assert first.active_from == NOW + 10 + LEAD_S


def test_keys_long_gone_are_deleted_by_the_next_rotation(tmp_path: Path, ring: KeyRing) -> None:
    old = ring.current(NOW).kid
    ring.rotate(NOW)
    ring.rotate(NOW + 10_000)
    names = {path.stem for path in tmp_path.iterdir()}
    assert f"as-{old}" not in names
    assert len(names) == 2


def test_an_unknown_kid_never_reads_the_folder_again(tmp_path: Path, ring: KeyRing) -> None:
    kid = ring.current(NOW).kid or ""
    for file in tmp_path.iterdir():
        file.unlink()  # whoever reads the folder now finds no key at all
    for second in range(int(RELOAD_S)):
        assert ring.public("nobody's", NOW + second) is None
        assert ring.public(kid, NOW + second) is not None
    assert ring.public(kid, NOW + RELOAD_S) is None


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("[]", id="another shape"),
        pytest.param('{"active_from": 1, "key": {"kty": "EC"}}', id="half a key"),
        pytest.param('{"active_from": "1", "key": {"kty": "oct", "k": "AAAA"}}', id="not ours"),
    ],
)
def test_a_damaged_file_is_named_and_its_content_is_not(tmp_path: Path, text: str) -> None:
    (tmp_path / "as-broken.json").write_text(text)
    with pytest.raises(FaultError, match=r"as-broken\.json") as caught:
        KeyRing(tmp_path).current(NOW)
    assert caught.value.hint


def test_a_public_key_in_the_folder_is_refused(tmp_path: Path) -> None:
    key = generate(NOW)
    body = {"active_from": NOW, "key": key.key.as_dict(private=False)}
    (tmp_path / f"as-{key.kid}.json").write_text(json.dumps(body))
    with pytest.raises(FaultError, match="cannot be used"):
        KeyRing(tmp_path).current(NOW)


def test_an_empty_folder_has_no_signing_key(tmp_path: Path) -> None:
    with pytest.raises(FaultError, match="no signing key"):
        KeyRing(tmp_path).current(NOW)


def test_a_token_names_its_key_and_its_type(ring: KeyRing) -> None:
    token = mint(claims(NOW), ring.current(NOW))
    header = jwt.decode(token, ring.current(NOW)).header
    assert header == {"alg": "ES256", "typ": "at+jwt", "kid": ring.current(NOW).kid}
