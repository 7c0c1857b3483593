"""``login --device``: a code for all servers, typed by a person elsewhere."""

from __future__ import annotations

import re
import time
from html import unescape
from urllib.parse import urlsplit

import httpx2
import pytest

from clients import login
from clients.device import Code, by_device
from tests.kit.client import Served
from tests.kit.identity import PASSWORD, USERNAME, hidden_fields
from topology.errors import RefusedError


def decide(code: Code, decision: str) -> None:
    """Open the address of a code as a person, sign in, and press a button."""
    parts = urlsplit(code.complete_url)
    with httpx2.Client(base_url=f"{parts.scheme}://{parts.netloc}", trust_env=False) as browser:
        page = browser.get(code.complete_url, follow_redirects=True)
        form = {**hidden_fields(page.text), "username": USERNAME, "password": PASSWORD}
        page = browser.post("/as/login", data=form, follow_redirects=True)
        assert "another machine?" in unescape(re.sub("<[^>]*>", "", page.text))
        done = browser.post("/as/device", data={**hidden_fields(page.text), "decision": decision})
        assert done.status_code == 200


def test_one_code_signs_in_to_every_server(served: Served) -> None:
    faces = [served.topology.face(name) for name in ("data", "control")]
    wanted = [(face, login.usual(face)) for face in faces]
    pauses: list[float] = []

    def allow(seconds: float) -> None:
        pauses.append(seconds)
        decide(shown[0], "allow")

    shown: list[Code] = []
    grants = by_device(wanted, shown.append, now=time.time, sleep=allow)
    assert [grant.server for grant in grants] == ["data", "control"]
    assert [grant.claims()["aud"] for grant in grants] == [face.audience for face in faces]
    assert grants[0].scope == "data:read data:write"
    assert all(grant.refresh_token for grant in grants)
    assert re.fullmatch("[B-Z]{4}-[B-Z]{4}", shown[0].user_code)
    assert pauses == [5.0], "asked at once, and again five seconds later"


def test_a_no_and_a_silence_sign_nobody_in(served: Served) -> None:
    face = served.topology.face("data")
    shown: list[Code] = []
    with pytest.raises(RefusedError, match="said no"):
        by_device(
            [(face, frozenset({"data:read"}))],
            shown.append,
            now=time.time,
            sleep=lambda _: decide(shown[0], "deny"),
        )
    clock = iter([0.0, 1.0, 598.0])
    with pytest.raises(RefusedError, match="in time"):
        by_device(
            [(face, frozenset({"data:read"}))],
            shown.append,
            now=lambda: next(clock),
            sleep=lambda _: None,
        )
