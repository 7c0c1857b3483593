"""Sign-in over the Unix socket: the kernel names the caller, and a password it is not."""

from __future__ import annotations

import json
import os
import pwd
import socket
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from auth.policy import ACR_OS
from auth.tokens import TokenRefusedError
from servers.identity.local import LocalLogin, peer_uid
from tests.kit.identity import Scene
from topology.errors import FaultError

OWNER = pwd.getpwuid(os.geteuid()).pw_name


@pytest.fixture
def door(scene: Scene) -> Iterator[Path]:
    """Yield the path of the served socket."""
    with scene.identity.local_login():
        yield scene.home.sockets / "login.sock"


def say(door: Path, raw: bytes) -> dict[str, Any]:
    """Send bytes, close our side, and return the answer."""
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(door))
        client.sendall(raw)
        client.shutdown(socket.SHUT_WR)
        with client.makefile("rb") as answer:
            body: dict[str, Any] = json.loads(answer.read())
    return body


def _broken(**_: Any) -> None:
    raise ZeroDivisionError


def ask(door: Path, resource: str, scope: str = "") -> dict[str, Any]:
    return say(door, json.dumps({"resource": resource, "scope": scope}).encode() + b"\n")


def test_the_owner_gets_tokens_of_the_operating_system(scene: Scene, door: Path) -> None:
    body = ask(door, scene.faces["data"], "data:read data:write")
    assert {k: body[k] for k in ("token_type", "expires_in", "scope")} == {
        "token_type": "Bearer",
        "expires_in": 900,
        "scope": "data:read data:write",
    }
    claims = scene.identity.verifier(scene.faces["data"]).verify(body["access_token"], scene.now())
    assert (claims.sub, claims.acr, claims.amr) == (OWNER, ACR_OS, ())
    assert (claims.client_id, claims.auth_time) == ("alphaswarm-cli", scene.now())
    (event,) = scene.audit.of("identity.login")
    assert (event["actor"], event["facts"]["acr"]) == (OWNER, ACR_OS)


async def test_the_refresh_token_works_at_the_token_endpoint(scene: Scene, door: Path) -> None:
    first = ask(door, scene.faces["backtest"], "backtest:run")
    second = (await scene.refresh(first["refresh_token"])).json()
    verifier = scene.identity.verifier(scene.faces["backtest"])
    claims = verifier.verify(second["access_token"], scene.now())
    assert (claims.acr, claims.scope) == (ACR_OS, "backtest:run")


def test_each_sign_in_is_a_grant_of_its_own(scene: Scene, door: Path) -> None:
    tokens = [ask(door, scene.faces["data"])["access_token"] for _ in range(2)]
    verifier = scene.identity.verifier(scene.faces["data"])
    families = [verifier.verify(token, scene.now()).sid for token in tokens]
    scene.store.revoke_family(families[0], now=scene.now())
    scene.clock.advance(1)
    with pytest.raises(TokenRefusedError):
        verifier.verify(tokens[0], scene.now())
    assert verifier.verify(tokens[1], scene.now()).sid == families[1]


def test_a_step_up_scope_needs_a_second_factor_and_not_a_process(scene: Scene, door: Path) -> None:
    wanted = scene.faces["control"], "control:read control:halt"
    answer = ask(door, *wanted)
    assert answer["error"] == "unmet_authentication_requirements"
    assert "enrol totp" in answer["error_description"]
    assert ask(door, scene.faces["control"])["scope"] == "control:read"


@pytest.mark.parametrize(
    ("resource", "scope", "error"),
    [
        pytest.param("", "", "invalid_target", id="no resource"),
        pytest.param("http://localhost:8000/other/mcp", "", "invalid_target", id="unknown"),
        pytest.param("\ud800", "", "invalid_target", id="no URI at all"),
        pytest.param("http://[::1", "", "invalid_target", id="half a URI"),
        pytest.param("http://localhost:8000/data/mcp", "data:fly", "invalid_scope", id="scope"),
    ],
)
def test_what_cannot_be_asked_for(door: Path, resource: str, scope: str, error: str) -> None:
    assert ask(door, resource, scope)["error"] == error


@pytest.mark.parametrize(
    "raw",
    [b"", b"\n", b"x\n", b"[]\n", b"null\n", b'{"resource": 1}\n', b'{"scope": null}\n', b"\xff\n",
     b"x" * 5000, b"[" * 4000 + b"\n"],
)  # fmt: skip
def test_what_is_no_request_is_answered_and_the_door_stays_open(
    scene: Scene, door: Path, raw: bytes
) -> None:
    assert say(door, raw)["error"] in {"invalid_request", "invalid_target"}
    assert ask(door, scene.faces["data"])["token_type"] == "Bearer"


def test_callers_who_hang_up_do_not_close_the_door(scene: Scene, door: Path) -> None:
    for _ in range(20):
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(door))
    assert ask(door, scene.faces["data"])["token_type"] == "Bearer"


def test_an_error_that_nobody_foresaw_does_not_close_the_door(
    scene: Scene, door: Path, caplog: pytest.LogCaptureFixture
) -> None:
    issuer = scene.identity.issuer
    recording = issuer.audit
    issuer.audit = _broken
    with pytest.raises(json.JSONDecodeError):
        ask(door, scene.faces["data"])
    issuer.audit = recording
    assert "access_token" in ask(door, scene.faces["data"])
    assert "a local sign-in failed" in caplog.text


def test_eight_at_once_are_all_answered(scene: Scene, door: Path) -> None:
    answers: list[dict[str, Any]] = []
    threads = [
        threading.Thread(target=lambda: answers.append(ask(door, scene.faces["data"])))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({answer["refresh_token"] for answer in answers}) == 8


def test_the_door_is_for_the_owner_of_the_process(scene: Scene, door: Path) -> None:
    assert stat.S_IMODE(door.stat().st_mode) == 0o600
    assert stat.S_IMODE(door.parent.stat().st_mode) == 0o700


def test_another_user_is_refused_whatever_the_files_say(scene: Scene) -> None:
    path = scene.home.sockets / "other.sock"
    with LocalLogin(scene.identity.issuer, path, uid=os.geteuid() + 1, username="somebody"):
        assert ask(path, scene.faces["data"])["error"] == "access_denied"
    assert not scene.audit.of("identity.issue")


def test_the_kernel_names_the_other_end() -> None:
    one, two = socket.socketpair(socket.AF_UNIX)
    with one, two:
        assert peer_uid(one) == os.geteuid()


def test_a_door_left_by_a_dead_server_is_replaced(scene: Scene) -> None:
    path = scene.home.sockets / "login.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    with scene.identity.local_login():
        assert ask(path, scene.faces["data"])["token_type"] == "Bearer"
    assert not path.exists()


def test_a_second_server_of_the_home_is_told_so(scene: Scene, door: Path) -> None:
    with pytest.raises(FaultError, match="Another server"), scene.identity.local_login():
        pass
    assert ask(door, scene.faces["data"])["token_type"] == "Bearer"


def test_a_file_in_the_way_is_left_alone(scene: Scene) -> None:
    path = scene.home.sockets / "login.sock"
    path.write_text("mine")
    with pytest.raises(FaultError, match="not a socket"), scene.identity.local_login():
        pass
    assert path.read_text() == "mine"


def test_the_owners_account_is_made_once_and_has_no_password(scene: Scene) -> None:
    for _ in range(2):
        with scene.identity.local_login():
            pass
    user = scene.store.find_user(OWNER)
    assert user is not None
    assert user.password_hash is None
    added = [e for e in scene.audit.of("identity.user") if e["target"] == OWNER]
    assert len(added) == 1


def test_the_owner_may_ask_who_has_which_second_factor(scene: Scene, door: Path) -> None:
    before = say(door, json.dumps({"factors_of": "ada"}).encode() + b"\n")
    assert before == {"factors": [], "recovery_codes": 0, "people": 0}
    scene.enrol()
    found = say(door, json.dumps({"factors_of": "ada"}).encode() + b"\n")
    assert [(one["kind"], one["name"]) for one in found["factors"]] == [("totp", "")]
    assert (found["recovery_codes"], found["people"]) == (10, 1)
    assert scene.app_secret not in json.dumps(found)
    assert say(door, b'{"factors_of": 7}\n')["error"] == "invalid_request"
