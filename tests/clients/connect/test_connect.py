"""`alphaswarm connect`: enter, enter again, undo to the byte; refuse what is somebody else's."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from clients.connect import places
from topology.render.clients import CLIENTS

FOREIGN = {"mcpServers": {"mine": {"command": "x"}}, "theme": "dark"}


@dataclass(frozen=True)
class Person:
    """Somebody with a home of the suite, an own home folder, and a project."""

    root: Path

    @property
    def project(self) -> Path:
        return self.root / "project"

    @property
    def environ(self) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
        return {
            **kept,
            "HOME": str(self.root),
            "ALPHASWARM_HOME": str(self.root / "swarm"),
            "ALPHASWARM_PORT": "8123",
        }

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(Path(sys.executable).with_name("alphaswarm")), "connect", *arguments],
            cwd=self.project,
            env=self.environ,
            capture_output=True,
            text=True,
            check=False,
        )

    def file(self, client: str, scope: places.Scope | None = None) -> Path:
        place = places.place(client, scope, project=self.project, environ=self.environ)
        return place.file


@pytest.fixture
def person(tmp_path: Path) -> Person:
    found = Person(tmp_path)
    found.project.mkdir()
    for folder in (".config/Claude", ".config/Code/User", ".cursor", ".theia"):
        (tmp_path / folder).mkdir(parents=True)
    return found


def test_a_client_is_entered_once_and_taken_out_to_the_byte(person: Person) -> None:
    """C1: foreign entries stay, a second run has no difference, undo gives the bytes back."""
    file = person.file("cursor")
    file.parent.mkdir()
    before = json.dumps(FOREIGN, indent=4).replace("dark", "d\u00e4rk").encode() + b"\n\n"
    file.write_bytes(before)
    done = person.run("cursor")
    assert done.returncode == 0, done.stderr
    found = json.loads(file.read_text())
    assert found["mcpServers"].pop("mine") == {"command": "x"}
    assert {name: entry["url"] for name, entry in found["mcpServers"].items()} == {
        "alphaswarm-data": "http://localhost:8123/data/mcp",
        "alphaswarm-backtest": "http://localhost:8123/backtest/mcp",
        "alphaswarm-control": "http://localhost:8123/control/mcp",
    }
    once = file.read_bytes()
    assert "nothing was changed" in person.run("cursor").stdout
    assert file.read_bytes() == once
    assert person.run("cursor", "--undo").returncode == 0
    assert file.read_bytes() == before
    assert [path.name for path in file.parent.iterdir()] == [file.name]


@pytest.mark.parametrize("client", CLIENTS)
def test_every_client_gets_its_own_form_and_loses_it_again(client: str, person: Person) -> None:
    file = person.file(client)
    done = person.run(client, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["file"] == str(file)
    text = file.read_text()
    assert "token" not in text.lower()
    if client == "claude-desktop":
        entry = json.loads(text)["mcpServers"]["alphaswarm-data"]
        assert Path(entry["command"]).is_absolute()
        assert entry["args"] == ["bridge", "data"]
        assert entry["env"]["ALPHASWARM_HOME"] == person.environ["ALPHASWARM_HOME"]
    else:
        assert "http://localhost:8123/data/mcp" in text
    assert person.run(client, "--undo").returncode == 0
    assert not file.exists()


def test_undo_cuts_out_what_is_ours_where_somebody_went_on_editing(person: Person) -> None:
    file = person.file("claude-code")
    file.write_text('{\n  "theme": "dark"\n}\n')
    person.run("claude-code")
    edited = json.loads(file.read_text())
    edited["mcpServers"]["later"] = {"command": "y"}
    file.write_text(json.dumps(edited, indent=1))
    assert person.run("claude-code", "--undo").returncode == 0
    assert json.loads(file.read_text()) == {
        "theme": "dark",
        "mcpServers": {"later": {"command": "y"}},
    }


def test_a_new_port_moves_our_entries(person: Person) -> None:
    file = person.file("vscode")
    person.run("vscode", "--only", "data")
    environ = {**person.environ, "ALPHASWARM_PORT": "9001"}
    command = [str(Path(sys.executable).with_name("alphaswarm")), "connect", "vscode", "--only"]
    subprocess.run([*command, "data"], cwd=person.project, env=environ, check=True)
    assert json.loads(file.read_text()) == {
        "servers": {"alphaswarmData": {"type": "http", "url": "http://localhost:9001/data/mcp"}}
    }
    assert person.run("vscode", "--undo").returncode == 0
    assert not file.exists()


def test_a_dry_run_shows_the_difference_and_writes_nothing(person: Person) -> None:
    done = person.run("cursor", "--dry-run", "--only", "data")
    assert '+    "alphaswarm-data": {' in done.stdout
    assert not person.file("cursor").exists()
    printed = json.loads(person.run("cursor", "--print").stdout)
    assert set(printed["mcpServers"]) == {
        f"alphaswarm-{n}" for n in ("data", "backtest", "control")
    }


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ('{"mcpServers": {', "1:17"),
        ('{\n  // mine\n  "mcpServers": {}\n}', "2:3"),
        ("[]", "1:1"),
        ('{"mcpServers": {}, "mcpServers": {}}', "1:1"),
    ],
)
def test_what_is_not_plain_json_is_left_alone(text: str, place: str, person: Person) -> None:
    """C1: exit 2, the file unchanged, line and column, and the entry to paste."""
    file = person.file("cursor")
    file.parent.mkdir()
    file.write_text(text)
    done = person.run("cursor")
    assert done.returncode == 2
    assert f"{file}:{place}" in done.stderr
    assert "http://localhost:8123/data/mcp" in done.stderr
    assert file.read_text() == text


def test_a_foreign_entry_of_our_name_is_not_replaced_without_force(person: Person) -> None:
    file = person.file("cursor")
    file.parent.mkdir()
    text = '{"mcpServers": {"alphaswarm-data": {"url": "http://other.test/"}}}'
    file.write_text(text)
    done = person.run("cursor")
    assert (done.returncode, file.read_text()) == (2, text)
    assert "--force" in done.stderr
    assert person.run("cursor", "--force").returncode == 0
    assert person.run("cursor", "--undo").returncode == 0
    assert file.read_text() == text


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["cursr"], "cursor"),
        (["claude-desktop", "--scope", "project"], "--scope user"),
        (["cursor", "--scope", "all"], "user or project"),
        (["cursor", "--only", "dta"], "data"),
    ],
)
def test_what_there_is_not_is_refused_with_the_nearest(
    arguments: list[str], said: str, person: Person
) -> None:
    done = person.run(*arguments)
    assert done.returncode == 2
    assert said in done.stderr


def test_a_client_that_is_not_there_is_named_with_its_folder(person: Person) -> None:
    (person.root / ".config" / "Claude").rmdir()
    done = person.run("claude-desktop")
    assert done.returncode == 2
    assert str(person.root / ".config" / "Claude") in done.stderr


def test_a_link_to_the_settings_stays_a_link(person: Person) -> None:
    real = person.root / "dotfiles.json"
    real.write_text("{}\n")
    file = person.file("claude-code")
    file.symlink_to(real)
    assert person.run("claude-code", "--only", "data").returncode == 0
    assert file.is_symlink()
    entries: dict[str, Any] = json.loads(real.read_text())
    assert list(entries["mcpServers"]) == ["alphaswarm-data"]
