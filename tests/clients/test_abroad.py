"""Servers whose people sign in at somebody else's issuer: said plainly, and nothing is dialled."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from clients import device, login
from clients.tokens import TokenStore
from tests.topology.test_trust import write
from topology import services
from topology.errors import RefusedError
from topology.home import Home
from topology.services import Face

READ = frozenset({"data:read"})


@pytest.fixture
def face(tmp_path: Path) -> Face:
    return services.load({}, path=write(tmp_path, "open", "open")).face("data")


WAYS: dict[str, Callable[[Home, Face], object]] = {
    "a token": lambda home, face: TokenStore(home).access(face, READ),
    "by peer credentials": lambda home, face: login.locally(home, face, READ, now=0.0),
    "in the browser": lambda home, face: login.in_browser([(face, READ)], print, now=lambda: 0.0),
    "by a code": lambda home, face: device.by_device(
        [(face, READ)], lambda code: None, now=lambda: 0.0, sleep=lambda s: None
    ),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_sign_in_that_is_not_ours_names_where_it_is(way: str, face: Face, tmp_path: Path) -> None:
    with pytest.raises(RefusedError) as refused:
        WAYS[way](Home(tmp_path), face)
    assert refused.value.wire_code == "sign_in_required"
    assert "https://login.example/desk" in refused.value.message
    assert "`issuer: local`" in refused.value.hint


def test_a_server_that_also_takes_our_tokens_still_sends_people_abroad(tmp_path: Path) -> None:
    topology = services.load({}, path=write(tmp_path, "open", "open"))
    assert [face.foreign for face in topology.faces.values()] == [True, True]
    assert topology.face("control").own
