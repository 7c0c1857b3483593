"""Which program works, what it is told about the world, and where providers may come from."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr

from runtimes.terraform import binary
from topology.errors import BinaryMissingError


def program(folder: Path, name: str, mode: int = 0o755) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\n# {name}\n")
    path.chmod(mode)
    return path


def test_the_topology_names_the_program_and_path_is_not_asked(tmp_path: Path) -> None:
    named = program(tmp_path / "named", "anything")
    program(tmp_path / "path", "tofu")
    found = binary.find(str(named), {"PATH": str(tmp_path / "path")})
    assert found.path == named


def test_tofu_comes_before_terraform_wherever_they_lie(tmp_path: Path) -> None:
    program(tmp_path / "first", "terraform")
    tofu = program(tmp_path / "second", "tofu")
    path = f"{tmp_path / 'first'}:{tmp_path / 'second'}"
    assert binary.find(None, {"PATH": path}).path == tofu
    tofu.unlink()
    assert binary.find(None, {"PATH": path}).path.name == "terraform"


@pytest.mark.parametrize("configured", [None, "/nowhere/tofu", "plain"])
def test_a_missing_program_is_named(tmp_path: Path, configured: str | None) -> None:
    plain = program(tmp_path / "a", "tofu", 0o644)
    with pytest.raises(BinaryMissingError) as refused:
        binary.find(str(plain) if configured == "plain" else configured, {"PATH": str(tmp_path)})
    assert refused.value.wire_code == "binary_missing"
    assert refused.value.facts["binary"]


def test_another_build_has_another_hash(tmp_path: Path) -> None:
    path = program(tmp_path, "tofu")
    before = binary.find(str(path)).sha256
    path.write_text("#!/bin/sh\n# built anew\n")
    assert binary.find(str(path)).sha256 != before


def test_the_environment_is_built_from_nothing(tmp_path: Path) -> None:
    ours = {"PATH": "/bin", "PGPASSWORD": "x", "TF_LOG": "TRACE", "TF_CLI_ARGS": "-destroy"}
    found = binary.environment(tmp_path, {"TOKEN": SecretStr("t")}, ours)
    assert found == {
        "PATH": "/bin",
        "HOME": str(tmp_path),
        "LANG": "C.UTF-8",
        "TF_IN_AUTOMATION": "1",
        "TF_INPUT": "0",
        "CHECKPOINT_DISABLE": "1",
        "TF_CLI_CONFIG_FILE": str(tmp_path / "cli.tfrc"),
        "TOKEN": "t",
    }


@pytest.mark.parametrize(
    ("registries", "mirror", "expected"),
    [
        pytest.param((), None, ['direct { exclude = ["*/*/*"] }'], id="nothing is listed"),
        pytest.param(
            ("registry.example.com",),
            None,
            ['direct { include = ["registry.example.com/*/*"] }'],
            id="a registry",
        ),
        pytest.param(
            (),
            "/srv/providers",
            ['filesystem_mirror { path = "/srv/providers" }', 'direct { exclude = ["*/*/*"] }'],
            id="a folder",
        ),
    ],
)
def test_providers_come_from_listed_places_only(
    registries: tuple[str, ...], mirror: str | None, expected: list[str]
) -> None:
    text = binary.configuration(registries, mirror)
    head = ["disable_checkpoint = true", "provider_installation {"]
    assert text.splitlines() == [*head, *(f"  {line}" for line in expected), "}"]
