"""Signing in: by the kernel's word over a socket, or as a person in a browser."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest

from clients import login
from clients.loopback import Loopback, Page
from clients.tokens import Grant
from tests.kit.client import Person, Served
from topology.errors import AlphaSwarmError, RefusedError
from topology.home import Home


def signed_in(served: Served, person: Person, *names: str) -> list[Grant]:
    """Sign a person in to servers of the suite."""
    faces = [served.topology.face(name) for name in names]
    urls: list[str] = []
    with person.coming(urls):
        return login.in_browser(
            [(face, login.usual(face)) for face in faces], urls.append, now=time.time, timeout_s=20
        )


def test_the_kernel_says_who_we_are(served: Served) -> None:
    face = served.topology.face("data")
    grant = login.locally(served.home, face, login.usual(face), now=time.time())
    claims = grant.claims()
    assert grant.scope == "data:read data:write"
    assert claims["aud"] == face.audience
    assert claims["acr"] == "urn:alphaswarm:acr:os"
    assert grant.refresh_token


def test_peer_credentials_are_no_password(served: Served) -> None:
    face = served.topology.face("control")
    with pytest.raises(AlphaSwarmError) as caught:
        login.locally(served.home, face, frozenset({"control:halt"}), now=time.time())
    assert caught.value.wire_code == "unmet_authentication_requirements"


def test_a_home_that_is_not_up_cannot_sign_anybody_in(served: Served, tmp_path: Path) -> None:
    face = served.topology.face("data")
    with pytest.raises(AlphaSwarmError, match="local socket does not answer") as caught:
        login.locally(Home(tmp_path / "other"), face, login.usual(face), now=time.time())
    assert caught.value.wire_code == "unreachable"


def test_one_visit_of_the_browser_signs_in_to_every_server(served: Served) -> None:
    person = Person()
    grants = signed_in(served, person, "data", "backtest", "control")
    assert [grant.server for grant in grants] == ["data", "backtest", "control"]
    assert [grant.claims()["aud"] for grant in grants] == [
        served.topology.face(grant.server).audience for grant in grants
    ]
    assert {grant.claims()["sub"] for grant in grants} == {"ada"}
    assert sum("Sign in to AlphaSwarm" in page for page in person.pages) == 1
    assert "You are signed in" in person.pages[-1]


def test_nobody_keeps_a_scope_that_needs_a_fresh_password(served: Served) -> None:
    grants = signed_in(served, Person(), "control")
    assert grants[0].scope == "control:read"


def test_a_step_up_sign_in_is_for_the_action_that_it_names(served: Served) -> None:
    face, urls = served.topology.face("control"), list[str]()
    wanted = frozenset({"control:read", "control:resume"})
    asked = login.StepUp("resume", {"scope": "all", "reason": "drill over"})
    person = Person(codes=served.enrol())
    with person.coming(urls):
        (grant,) = login.in_browser(
            [(face, wanted)], urls.append, now=time.time, timeout_s=20, step_up=asked
        )
    assert set(grant.scope.split()) == wanted
    assert grant.claims()["acr"] == "urn:alphaswarm:acr:mfa"
    assert any("drill over" in page for page in person.pages), "the page shows the action"


def test_whoever_says_no_is_not_signed_in(served: Served) -> None:
    person = Person(decision="deny")
    with pytest.raises(RefusedError) as caught:
        signed_in(served, person, "data")
    assert caught.value.wire_code == "sign_in_required"
    assert "did not work" in person.pages[-1]


def test_a_browser_that_never_comes_back_ends_in_an_error(served: Served) -> None:
    face = served.topology.face("data")
    with pytest.raises(RefusedError, match="No sign-in came back"):
        login.in_browser([(face, login.usual(face))], lambda _: None, now=time.time, timeout_s=0.05)


def test_the_request_names_one_server_and_hides_its_verifier(served: Served) -> None:
    face, urls = served.topology.face("data"), list[str]()
    with pytest.raises(RefusedError):
        login.in_browser([(face, login.usual(face))], urls.append, now=time.time, timeout_s=0.01)
    query = parse_qs(urlsplit(urls[0]).query)
    assert query["resource"] == [face.audience]
    assert query["code_challenge_method"] == ["S256"]
    assert len(query["code_challenge"][0]) == 43
    assert urlsplit(query["redirect_uri"][0]).hostname == "127.0.0.1"


@pytest.mark.parametrize(
    "forged",
    [
        pytest.param({"code": "stolen", "state": "wrong"}, id="another state"),
        pytest.param({"code": "stolen"}, id="no state"),
    ],
)
def test_an_answer_that_was_not_asked_for_is_turned_away(forged: dict[str, str]) -> None:
    with Loopback() as door, httpx2.Client(trust_env=False) as browser:
        seen: list[str] = []

        def visit() -> None:
            seen.append(browser.get(door.redirect_uri, params=forged).text)
            seen.append(browser.get(door.redirect_uri, params={"state": "right"}).text)

        thread = threading.Thread(target=visit)
        thread.start()
        arrived = door.wait("right", timeout_s=10)
        assert arrived is not None
        arrived.reply(Page("Good", "<b>"))
        thread.join()
    assert "out of date" in seen[0]
    assert "&lt;b&gt;" in seen[1]


def test_an_answer_of_another_issuer_is_refused_and_its_code_is_not_sent(served: Served) -> None:
    face, urls = served.topology.face("data"), list[str]()

    def answer_in_its_place() -> None:
        while not urls:
            time.sleep(0.01)
        query = parse_qs(urlsplit(urls[0]).query)
        fields = {"state": query["state"][0], "code": "x", "iss": f"{face.issuer}/other"}
        httpx2.get(query["redirect_uri"][0], params=fields, trust_env=False)

    thread = threading.Thread(target=answer_in_its_place)
    thread.start()
    with pytest.raises(RefusedError, match="did not come from our issuer"):
        login.in_browser([(face, login.usual(face))], urls.append, now=time.time, timeout_s=10)
    thread.join()


def test_the_door_knows_one_path_only() -> None:
    with Loopback() as door:
        url = door.redirect_uri.replace("/callback", "/other")
        assert httpx2.get(url, trust_env=False).status_code == 404
