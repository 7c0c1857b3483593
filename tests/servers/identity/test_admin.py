"""The administrator's commands: accounts, passwords, revocation, keys."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from auth import store as rows
from auth.accounts import Accounts
from ledger import audit
from ledger.identity import IdentityStore
from ledger.pool import Pool
from servers.identity.__main__ import change, read_password, rotate_keys
from tests.kit.identity import CHEAP, PASSWORD, USERNAME, Scene
from topology.errors import BadInputError, MissingError
from topology.home import Home

NEW = "another long sentence"


@pytest.fixture
def accounts(scene: Scene) -> Accounts:
    return Accounts(scene.store, scene.audit, scene.clock, CHEAP)


def test_a_new_user_can_sign_in(scene: Scene, accounts: Accounts) -> None:
    assert change(accounts, "add-user", "bob", lambda: NEW) == "bob can sign in."
    issuer = scene.identity.issuer
    user = issuer.passwords.check(scene.store, "bob", NEW, scene.now())
    assert user is not None
    assert user.username == "bob"
    assert NEW not in repr(vars(scene.store))


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        pytest.param(USERNAME, "already", id="taken"),
        pytest.param("", "cannot be a user name", id="empty"),
        pytest.param("a b", "cannot be a user name", id="space"),
        pytest.param("<script>", "cannot be a user name", id="markup"),
        pytest.param("x" * 65, "cannot be a user name", id="too long"),
        pytest.param("-x", "cannot be a user name", id="an option"),
        pytest.param("a\n", "cannot be a user name", id="a line break"),
    ],
)
def test_a_name_that_cannot_be(accounts: Accounts, name: str, problem: str) -> None:
    with pytest.raises(BadInputError, match=problem) as caught:
        change(accounts, "add-user", name, lambda: NEW)
    assert caught.value.hint


@pytest.mark.parametrize(
    "password",
    [
        pytest.param("", id="empty"),
        pytest.param("x" * 11, id="short"),
        pytest.param("x" * 1025, id="endless"),
        pytest.param("twelve\tchars!", id="a tab"),
    ],
)
def test_a_password_that_is_refused_is_not_repeated(accounts: Accounts, password: str) -> None:
    with pytest.raises(BadInputError, match="12 to 1024") as caught:
        change(accounts, "passwd", USERNAME, lambda: password)
    assert not password or password not in str(caught.value.body())


async def test_a_replaced_password_throws_everybody_out(scene: Scene, accounts: Accounts) -> None:
    body = await scene.tokens()
    assert change(accounts, "passwd", USERNAME, lambda: NEW) == f"{USERNAME} has a new password."
    assert (await scene.refresh(body["refresh_token"])).status_code == 400
    assert "/as/login?" in (await scene.authorize()).headers["location"]
    assert (await scene.sign_in(password=PASSWORD)).status_code == 400
    assert (await scene.sign_in(password=NEW)).status_code == 200


def test_the_first_password_of_an_account_ends_nothing(scene: Scene, accounts: Accounts) -> None:
    accounts.ensure("owner")
    change(accounts, "passwd", "owner", lambda: NEW)
    assert not scene.audit.of("identity.revoke")


async def test_passwd_unlocks_the_name(scene: Scene, accounts: Accounts) -> None:
    for _ in range(5):
        await scene.sign_in(password="wrong")
    change(accounts, "passwd", USERNAME, lambda: NEW)
    assert (await scene.sign_in(password=NEW)).status_code == 200


async def test_revoke_ends_sessions_and_grants(scene: Scene, accounts: Accounts) -> None:
    body = await scene.tokens()
    assert change(accounts, "revoke", USERNAME, lambda: "") == f"1 grants of {USERNAME} ended."
    assert (await scene.refresh(body["refresh_token"])).status_code == 400
    assert "/as/login?" in (await scene.authorize()).headers["location"]


@pytest.mark.parametrize("command", ["passwd", "revoke"])
def test_an_unknown_user_is_told_before_a_password_is_asked(
    accounts: Accounts, command: str
) -> None:
    def asked() -> str:
        pytest.fail("nobody should have been asked")

    with pytest.raises(MissingError, match="no user 'nobody'") as caught:
        change(accounts, command, "nobody", asked)
    assert "add-user" in caught.value.hint


def test_a_rotation_says_when_the_new_key_signs(scene: Scene) -> None:
    text = rotate_keys(scene.home, scene.audit, scene.clock)
    assert text.endswith("signs from 2026-01-02T03:14:05Z.")
    intended, done = scene.audit.of("identity.keys")
    assert (intended["decision"], done["decision"]) == ("intended", "done")
    assert done["target"] in text


def test_a_password_comes_from_standard_input_without_its_line_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{NEW}\r\nmore\n"))
    assert read_password() == NEW


def run(home: Home, *arguments: str, password: str = "") -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "ALPHASWARM_HOME": str(home.root)}
    environ.pop("ALPHASWARM_TOPOLOGY", None)
    return subprocess.run(
        [sys.executable, "-m", "servers.identity", *arguments],
        input=password, capture_output=True, text=True, check=False, env=environ,
    )  # fmt: skip


def test_the_command_works_on_a_real_home(migrated: Home, pool: Pool) -> None:
    before = audit.tip(pool)
    done = run(migrated, "add-user", "carol", password=NEW + "\n")
    assert (done.returncode, done.stdout, done.stderr) == (0, "carol can sign in.\n", "")
    user = IdentityStore(pool, rows).find_user("carol")
    assert user.password_hash.startswith("$argon2id$v=19$m=65536,t=3,p=4$")
    assert audit.tip(pool) != before
    again = run(migrated, "add-user", "carol", password=NEW + "\n")
    assert (again.returncode, again.stdout) == (2, "")
    assert again.stderr.startswith("There is a user 'carol' already.")
    rotated = run(migrated, "rotate-keys")
    assert rotated.returncode == 0
    assert len(list(migrated.keys.glob("as-*.json"))) >= 1


def test_a_command_without_its_store_says_so_and_exits_5(tmp_path: Path) -> None:
    home = Home(tmp_path / "empty")
    home.ensure()
    done = run(home, "revoke", "ada")
    assert done.returncode == 5
    assert done.stderr.splitlines()[1:] == [
        "Run `alphaswarm doctor`; `alphaswarm up` starts the stores."
    ]
