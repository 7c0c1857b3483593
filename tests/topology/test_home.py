"""The home: private, complete, and clear about why it cannot be used."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from topology.errors import HomeError
from topology.home import LONGEST_SOCKET_FOLDER, Home, explaining, write_private


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        pytest.param({}, Path.home() / ".alphaswarm", id="nothing set"),
        pytest.param({"ALPHASWARM_HOME": ""}, Path.home() / ".alphaswarm", id="set to nothing"),
        pytest.param({"ALPHASWARM_HOME": "/srv/a/../b"}, Path("/srv/b"), id="made plain"),
        pytest.param({"ALPHASWARM_HOME": "~/x"}, Path.home() / "x", id="the user's folder"),
        pytest.param({"ALPHASWARM_HOME": "here"}, Path.cwd() / "here", id="relative to here"),
    ],
)
def test_the_environment_names_the_home(environ: dict[str, str], expected: Path) -> None:
    assert Home.from_environment(environ).root == expected


@pytest.mark.parametrize(
    "text", ["/a\0b", "/a\nb", "/a\udcff"], ids=["NUL", "line break", "not UTF-8"]
)
def test_a_path_that_cannot_be_is_refused(text: str) -> None:
    with pytest.raises(HomeError, match="may not hold"):
        Home.from_environment({"ALPHASWARM_HOME": text})


def test_an_unknown_users_folder_is_refused() -> None:
    with pytest.raises(HomeError, match="no home folder") as refused:
        Home.from_environment({"ALPHASWARM_HOME": "~nobody-has-this-name/x"})
    assert "absolute path" in refused.value.hint


def test_every_folder_is_made_private_and_making_it_again_changes_nothing(tmp_path: Path) -> None:
    home = Home(tmp_path / "new" / "home")
    home.ensure()
    (home.inbox / "kept.csv").write_text("x")
    home.ensure()
    folders = [home.pg, home.valkey, home.warehouse, home.keys, home.run]
    folders += [home.artifacts, home.inbox, home.logs, home.secrets]
    assert {mode(folder) for folder in [home.root, *folders]} == {0o700}
    assert (home.inbox / "kept.csv").read_text() == "x"


def test_an_open_folder_of_ours_is_tightened(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    home.ensure()
    home.root.chmod(0o755)
    home.secrets.chmod(0o755)
    home.ensure()
    assert (mode(home.root), mode(home.secrets)) == (0o700, 0o700)


def test_an_open_folder_with_other_files_is_refused_and_left_alone(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(HomeError, match="holds other files") as refused:
        Home(tmp_path).ensure()
    assert refused.value.facts["entries"] == ["thesis.txt"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["thesis.txt"]
    assert mode(tmp_path) == 0o755


def test_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("a file")
    with pytest.raises(HomeError, match="cannot be used") as refused:
        Home(tmp_path / "home").ensure()
    assert refused.value.body()["code"] == "home_unusable"
    assert "file stands" in refused.value.hint


@pytest.mark.parametrize(
    ("number", "cure"),
    [
        pytest.param(errno.EROFS, "read-only", id="read-only"),
        pytest.param(errno.ENOSPC, "disk is full", id="full disk"),
        pytest.param(errno.EDQUOT, "quota", id="quota"),
        pytest.param(errno.EACCES, "write permission", id="no permission"),
        pytest.param(errno.EIO, "folder that you may write", id="anything else"),
    ],
)
def test_the_systems_refusals_come_with_a_cure(number: int, cure: str, tmp_path: Path) -> None:
    with pytest.raises(HomeError) as refused, explaining(tmp_path):
        raise OSError(number, os.strerror(number), str(tmp_path / "pg"))
    assert cure in refused.value.hint
    assert refused.value.facts["path"] == str(tmp_path / "pg")


def test_sockets_stand_in_run_while_the_path_is_short() -> None:
    assert Home(Path("/srv/a")).sockets == Path("/srv/a/run")


def test_a_long_home_gets_one_private_folder_for_sockets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = Home(tmp_path / ("x" * 150))
    home.ensure()
    sockets = home.sockets
    try:
        assert len(os.fsencode(sockets)) <= LONGEST_SOCKET_FOLDER
        assert mode(sockets) == 0o700
        monkeypatch.setenv("TMPDIR", str(tmp_path))
        assert Home(home.root).sockets == sockets, "another TMPDIR still meets it"
        other = Home(tmp_path / ("y" * 150))
        assert other.sockets != sockets
    finally:
        sockets.rmdir()


@pytest.mark.skipif(os.geteuid() != 0, reason="not root: it gives a folder to another account")
def test_not_even_root_takes_a_socket_folder_that_another_user_made(tmp_path: Path) -> None:
    """Its name can be foretold, and everybody may make folders in the temporary directory."""
    home = Home(tmp_path / ("w" * 150))
    place = home.sockets
    place.mkdir(mode=0o700)
    os.chown(place, 65_534, 65_534)
    try:
        with pytest.raises(HomeError, match="not a private folder"):
            home.ensure()
    finally:
        place.rmdir()


@pytest.mark.parametrize("what", ["a link", "open to others"])
def test_a_socket_folder_that_somebody_prepared_is_refused(what: str, tmp_path: Path) -> None:
    home = Home(tmp_path / ("z" * 150))
    place, elsewhere = home.sockets, tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    if what == "a link":
        place.symlink_to(elsewhere)
    else:
        place.mkdir()
        place.chmod(0o777)
    try:
        with pytest.raises(HomeError, match="not a private folder"):
            home.ensure()
    finally:
        place.unlink() if place.is_symlink() else place.rmdir()


def test_a_secret_is_private_and_replaced_whole(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    home.ensure()
    home.write_secret("word", "one")
    path = home.write_secret("word", "two")
    assert (path.read_text(), mode(path)) == ("two", 0o600)
    assert [p.name for p in home.secrets.iterdir()] == ["word"]


def test_a_secret_that_cannot_be_written_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "word"
    write_private(path, "old")
    with pytest.raises(UnicodeEncodeError):
        write_private(path, "\ud800")
    assert [p.read_text() for p in tmp_path.iterdir()] == ["old"]
