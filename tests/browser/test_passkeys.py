"""Passkeys in a real Chromium with its virtual authenticator, from enrolment to removal."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx2
import pytest

from auth.accounts import Accounts
from auth.tokens import Claims
from tests.kit.browser import facts
from tests.kit.identity import CHALLENGE, CHEAP, CLIENT, PASSWORD, VERIFIER
from tests.kit.live import Live

pytestmark = [pytest.mark.browser, pytest.mark.node]
NAME = "keyholder"
HALT = "control:halt control:read"


def redeemed(live: Live, answered: str, redirect: str) -> Claims:
    """Exchange the code that the client got at its callback."""
    code = dict(parse_qsl(urlsplit(answered).query))["code"]
    form = {"grant_type": "authorization_code", "client_id": CLIENT, "redirect_uri": redirect}
    answer = httpx2.post(
        live.identity.issuer.config.endpoint("token"),
        data={**form, "code": code, "code_verifier": VERIFIER},
    )
    assert answer.status_code == 200, answer.text
    control = live.topology.face("control").audience
    token = answer.json()["access_token"]
    return live.identity.verifier(control).verify(token, live.identity.issuer.now())


def test_a_passkey_from_enrolment_to_removal(live: Live, tmp_path: Path) -> None:
    issuer = live.identity.issuer
    accounts = Accounts(issuer.store, issuer.audit, issuer.clock, CHEAP)
    accounts.ensure(NAME)
    accounts.set_password(NAME, PASSWORD)
    query = {
        "response_type": "code",
        "client_id": CLIENT,
        "resource": live.topology.face("control").audience,
        "scope": HALT,
        "code_challenge": CHALLENGE,
        "code_challenge_method": "S256",
    }
    arguments = (issuer.config.issuer, issuer.tickets.make(NAME, issuer.now()), NAME, PASSWORD)
    said: dict[str, Any] = facts("passkeys.mjs", *arguments, urlencode(query), folder=tmp_path)

    assert said["made"] == {"host": "localhost", "resident": True}
    assert said["listed"] == ["this <laptop>"]
    assert said["cookie"] == {"renewed": True, "httpOnly": True, "sameSite": "Lax"}
    alone = redeemed(live, said["alone"], said["redirect"])
    assert (alone.acr, alone.amr) == ("urn:alphaswarm:acr:phr", ("hwk", "user"))
    assert (alone.sub, set(alone.scope.split())) == (NAME, set(HALT.split()))
    second = redeemed(live, said["second"], said["redirect"])
    assert (second.acr, second.amr) == ("urn:alphaswarm:acr:phr", ("pwd", "hwk"))
    assert said["stepped"] is True
    assert "may be a copy" in said["copied"]
    assert said["removed"] == "This passkey was not accepted."
    assert said["without"] == {"passkey": 0, "password": True}
    assert said["refused"] == said["errors"] == said["outside"] == []
    assert issuer.store.factors(NAME) == []
