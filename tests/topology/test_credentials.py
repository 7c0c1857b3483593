"""Credential references: resolved late, private, and never shown."""

from __future__ import annotations

import json
from pathlib import Path

import keyring
import keyring.backend
import keyring.errors
import pytest

from topology.credentials import CredentialRef
from topology.errors import CredentialError


def private(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o600)
    return path


@pytest.mark.parametrize(
    "text",
    ["env:PG_PASSWORD", "file:/run/secrets/pg", "file:/run/secrets/all.json#pg", "keyring:a/b"],
)
def test_a_reference_prints_as_it_is_written(text: str) -> None:
    assert str(CredentialRef.parse(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hunter2",
        "env:",
        "env:1A",
        "env:A B",
        "file:relative",
        "file:/a\0b",
        "keyring:nobody",
        "cmd:pass show pg",
        "vault:kv/pg#word",
        "ENV:NAME_OF_IT",
    ],
)
def test_anything_else_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(ValueError, match="reference") as refused:
        CredentialRef.parse(text)
    target = text.partition(":")[2] or text
    assert text in {"", "env:"} or target not in str(refused.value)


def test_a_variable_of_the_environment() -> None:
    reference = CredentialRef.parse("env:PG_PASSWORD")
    assert reference.resolve({"PG_PASSWORD": "word"}).get_secret_value() == "word"
    with pytest.raises(CredentialError, match="empty or not set") as refused:
        reference.resolve({"PG_PASSWORD": ""})
    assert refused.value.body()["code"] == "credential_missing"


def test_a_private_file_loses_only_its_last_line_break(tmp_path: Path) -> None:
    file = private(tmp_path / "word", " a b \n")
    assert CredentialRef.parse(f"file:{file}").resolve().get_secret_value() == " a b "


def test_a_member_of_a_json_file(tmp_path: Path) -> None:
    file = private(tmp_path / "all.json", json.dumps({"pg": "word", "port": 5}))
    assert CredentialRef.parse(f"file:{file}#pg").resolve().get_secret_value() == "word"
    for key in ("missing", "port"):
        with pytest.raises(CredentialError, match="empty or not set"):
            CredentialRef.parse(f"file:{file}#{key}").resolve()


def test_a_file_that_others_may_read_is_refused(tmp_path: Path) -> None:
    file = private(tmp_path / "word", "x")
    file.chmod(0o640)
    with pytest.raises(CredentialError, match="other users may read it") as refused:
        CredentialRef.parse(f"file:{file}").resolve()
    assert refused.value.hint == "Run chmod 600 on it."


def test_a_link_may_stay_in_its_folder_but_not_leave_it(tmp_path: Path) -> None:
    inside, outside = tmp_path / "in", tmp_path / "out"
    inside.mkdir()
    outside.mkdir()
    (inside / "..data").mkdir()
    private(inside / "..data" / "word", "mounted")
    private(outside / "word", "stolen")
    (inside / "word").symlink_to("..data/word")
    (inside / "leak").symlink_to(outside / "word")
    assert CredentialRef.parse(f"file:{inside}/word").resolve().get_secret_value() == "mounted"
    with pytest.raises(CredentialError, match="leads out"):
        CredentialRef.parse(f"file:{inside}/leak").resolve()


@pytest.mark.parametrize("what", ["missing", "folder", "bytes", "loop"])
def test_a_file_that_is_none_is_named_by_its_reference_only(what: str, tmp_path: Path) -> None:
    file = tmp_path / "word"
    if what == "folder":
        file.mkdir()
    elif what == "bytes":
        private(file, "")
        file.write_bytes(b"\xff\xfe")
    elif what == "loop":
        file.symlink_to(file)
    with pytest.raises(CredentialError) as refused:
        CredentialRef.parse(f"file:{file}").resolve()
    assert refused.value.facts == {"reference": f"file:{file}"}


class OneWord(keyring.backend.KeyringBackend):
    """A keyring that knows one password."""

    priority = 1

    def get_password(self, service: str, username: str) -> str | None:
        return "word" if (service, username) == ("alphaswarm", "pg") else None

    def set_password(self, service: str, username: str, password: str) -> None:
        raise keyring.errors.PasswordSetError


class Locked(OneWord):
    """A keyring that nobody unlocked."""

    def get_password(self, service: str, username: str) -> str | None:
        raise keyring.errors.KeyringLocked


def test_the_keyring_of_the_desktop() -> None:
    before = keyring.get_keyring()
    try:
        keyring.set_keyring(OneWord())  # type: ignore[no-untyped-call]  # its base is untyped
        assert CredentialRef.parse("keyring:alphaswarm/pg").resolve().get_secret_value() == "word"
        with pytest.raises(CredentialError, match="empty or not set"):
            CredentialRef.parse("keyring:alphaswarm/other").resolve()
        keyring.set_keyring(Locked())  # type: ignore[no-untyped-call]  # its base is untyped
        with pytest.raises(CredentialError, match="no keyring"):
            CredentialRef.parse("keyring:alphaswarm/pg").resolve()
    finally:
        keyring.set_keyring(before)


def test_a_resolved_secret_does_not_print() -> None:
    reference = CredentialRef.parse("env:A")
    secret = reference.resolve({"A": "hunter2"})
    assert "hunter2" not in f"{secret} {secret!r} {reference!r}"
