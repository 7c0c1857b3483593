"""Tokens at rest: private files, refreshed by one process at a time, forgotten when dead."""

from __future__ import annotations

import stat
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from clients import login, tokens
from clients.tokens import Grant, TokenStore
from tests.kit.client import Served, free_port
from topology import services
from topology.errors import AlphaSwarmError
from topology.services import Topology

NEVER = 10.0**10


def stored(served: Served, name: str = "data") -> tuple[TokenStore, Grant]:
    """Sign in locally and keep the grant."""
    store, face = TokenStore(served.home), served.topology.face(name)
    grant = login.locally(served.home, face, login.usual(face), now=time.time())
    store.keep(face, grant)
    return store, grant


def aged(grant: Grant, *, left_s: float) -> Grant:
    """Return the grant with its access token about to end."""
    facts = {name: getattr(grant, name) for name in Grant.__dataclass_fields__}
    return Grant(**{**facts, "expires_at": time.time() + left_s})


def test_a_grant_is_a_private_file(served: Served) -> None:
    stored(served)
    file = served.home.secrets / "token-data.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_living_token_is_used_as_it_is(served: Served) -> None:
    store, grant = stored(served)
    assert store.access(served.topology.face("data")) == grant


@pytest.mark.parametrize(
    ("left_s", "refreshed"),
    [
        pytest.param(tokens.MARGIN_S + 5, False, id="enough left"),
        pytest.param(tokens.MARGIN_S - 5, True, id="about to end"),
        pytest.param(-3600, True, id="long dead"),
    ],
)
def test_a_token_is_refreshed_before_it_ends(
    served: Served, left_s: float, refreshed: bool
) -> None:
    store, grant = stored(served)
    face = served.topology.face("data")
    store.keep(face, aged(grant, left_s=left_s))
    fresh = store.access(face)
    assert (fresh.access_token != grant.access_token) is refreshed
    assert (fresh.refresh_token != grant.refresh_token) is refreshed
    assert fresh.claims()["aud"] == face.audience
    assert fresh.claims()["auth_time"] == grant.claims()["auth_time"]


ELSEWHERE = """
import sys, time
from pathlib import Path
from clients.tokens import TokenStore
from topology import services
from topology.home import Home
store = TokenStore(Home(Path(sys.argv[1])))
face = services.load({}, port=int(sys.argv[2])).face("data")
time.sleep(max(0.0, float(sys.argv[3]) - time.time()))
print(store.access(face).access_token)
"""


def test_eight_processes_that_need_a_fresh_token_at_once_refresh_it_once(served: Served) -> None:
    store, grant = stored(served)
    face = served.topology.face("data")
    store.keep(face, aged(grant, left_s=0))
    at = [str(served.home.root), str(served.topology.listen.port), str(time.time() + 3)]
    argv = [sys.executable, "-c", ELSEWHERE, *at]
    running = [subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) for _ in range(8)]
    found = [process.communicate(timeout=60)[0].strip() for process in running]
    assert len(set(found)) == 1
    assert found[0] not in ("", grant.access_token)
    store.keep(face, aged(store.access(face), left_s=0))
    assert store.access(face).access_token not in {*found, grant.access_token}


def test_threads_of_one_process_take_turns_too(served: Served) -> None:
    store, grant = stored(served)
    face = served.topology.face("data")
    store.keep(face, aged(grant, left_s=0))
    with ThreadPoolExecutor(8) as threads:
        found = set(threads.map(lambda _: store.access(face).access_token, range(8)))
    assert len(found) == 1


def test_a_grant_that_the_issuer_ended_is_forgotten(served: Served) -> None:
    store, grant = stored(served)
    face = served.topology.face("data")
    tokens.revoke(grant)
    store.keep(face, aged(grant, left_s=0))
    with pytest.raises(AlphaSwarmError) as caught:
        store.access(face)
    assert caught.value.wire_code == "sign_in_required"
    assert store.find(face) is None


def test_an_issuer_that_is_away_costs_no_sign_in(served: Served) -> None:
    store, grant = stored(served)
    elsewhere = services.load({}, port=free_port()).face("data")
    facts = {name: getattr(grant, name) for name in Grant.__dataclass_fields__}
    moved = Grant(
        **{**facts, "audience": elsewhere.audience, "issuer": elsewhere.issuer, "expires_at": 0.0}
    )
    store.keep(elsewhere, moved)
    with pytest.raises(AlphaSwarmError) as caught:
        store.access(elsewhere)
    assert caught.value.wire_code == "unreachable"
    assert store.find(elsewhere) == moved


def test_a_grant_is_for_its_audience_and_issuer_only(served: Served) -> None:
    store, _ = stored(served)
    assert store.find(services.load({}, port=free_port()).face("data")) is None


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"server": "data"}', "\0", '{"unknown": 1}'], ids=repr
)
def test_a_damaged_file_is_no_sign_in(served: Served, text: str) -> None:
    store, _ = stored(served)
    (served.home.secrets / "token-data.json").write_text(text)
    with pytest.raises(AlphaSwarmError) as caught:
        store.access(served.topology.face("data"))
    assert caught.value.wire_code == "sign_in_required"


@pytest.mark.parametrize(
    ("held", "wanted", "covered"),
    [
        pytest.param("data:read", {"data:read"}, True, id="the same"),
        pytest.param("data:write", {"data:read"}, True, id="work implies read"),
        pytest.param("data:read", {"data:write"}, False, id="read implies nothing"),
        pytest.param("data:read", {"control:read"}, False, id="another server"),
        pytest.param("data:read data:write", {"data:read", "data:write"}, True, id="both"),
        pytest.param("data:read", set(), True, id="nothing asked"),
    ],
)
def test_what_a_grant_covers(held: str, wanted: set[str], covered: bool) -> None:
    grant = Grant("data", "a", "i", held, "t", NEVER)
    assert grant.covers(frozenset(wanted)) is covered


@pytest.mark.parametrize("token", ["", "a", "a.b", "a.b.c", "a.e30.c", "..", "a.W10.c"])
def test_claims_are_shown_when_they_can_be_read(token: str) -> None:
    assert Grant("data", "a", "i", "", token, NEVER).claims() == {}


def test_signing_out_removes_the_file_and_hands_back_what_to_revoke(served: Served) -> None:
    store, grant = stored(served)
    face = served.topology.face("data")
    assert store.forget(face) == grant
    assert store.find(face) is None
    assert store.forget(face) is None


def test_grants_of_several_servers_do_not_mix(served: Served) -> None:
    stored(served, "data")
    store, control = stored(served, "control")
    topology: Topology = served.topology
    assert store.access(topology.face("control")) == control
    assert store.access(topology.face("data")).claims()["aud"] == topology.face("data").audience
