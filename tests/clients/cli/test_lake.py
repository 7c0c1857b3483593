"""What ``data ingest`` tells the server: a provider, or a copy in the inbox."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from clients.cli.bringing import located
from topology.errors import BadInputError, MissingError
from topology.home import Home


@pytest.fixture
def home(tmp_path: Path) -> Home:
    place = Home(tmp_path / "home")
    place.ensure()
    return place


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "bars.csv"
    path.write_text("a,b\n1,2\n")
    return path


def test_a_name_is_a_provider(home: Home) -> None:
    assert located(home, "sample") == "sample"


def test_a_pattern_is_resolved_by_the_server(home: Home) -> None:
    assert located(home, "eod/**/*.csv") == "eod/**/*.csv"


@pytest.mark.parametrize("source", ["missing.csv", "folder/missing", "./sample", "/no/such"])
def test_what_looks_like_a_path_must_exist(home: Home, source: str) -> None:
    with pytest.raises(MissingError, match="There is no file or folder"):
        located(home, source)


def test_a_folder_is_copied_once_and_then_only_what_is_new(home: Home, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    (folder / "2024").mkdir(parents=True)
    (folder / "2024" / "a.csv").write_text("a")
    (folder / ".hidden").write_text("x")

    copy = Path(located(home, str(folder)))
    first = (copy / "2024" / "a.csv").stat().st_ino
    (folder / "b.csv").write_text("b")

    assert Path(located(home, str(folder))) == copy
    assert copy.is_relative_to(home.inbox)
    assert sorted(str(p.relative_to(copy)) for p in copy.rglob("*.*")) == ["2024/a.csv", "b.csv"]
    assert (copy / "2024" / "a.csv").stat().st_ino == first
    (folder / "b.csv").write_text("other")
    located(home, str(folder))
    assert (copy / "b.csv").read_text() == "other"


@pytest.mark.parametrize(
    "beside", ["bars.csv.mapping.yaml", "bars.mapping.yaml", "alphaswarm-mapping.yaml"]
)
def test_the_mapping_beside_a_file_travels_along(home: Home, tmp_path: Path, beside: str) -> None:
    (tmp_path / "bars.csv").write_text("a")
    (tmp_path / beside).write_text("timezone: America/New_York")
    copy = Path(located(home, str(tmp_path / "bars.csv")))
    words = copy.with_name("bars.csv.mapping.yaml")
    assert words.read_text() == "timezone: America/New_York"
    (tmp_path / beside).write_text("timezone: UTC")
    assert Path(located(home, str(tmp_path / "bars.csv"))) == copy
    assert words.read_text() == "timezone: UTC"


def test_folders_of_the_same_name_do_not_meet(home: Home, tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name / "data").mkdir(parents=True)
    places = {located(home, str(tmp_path / name / "data")) for name in ("one", "two")}
    assert len(places) == 2


def test_a_folder_that_the_server_may_read_is_not_copied(home: Home, tmp_path: Path) -> None:
    (tmp_path / "market" / "equity").mkdir(parents=True)
    wanted = str(tmp_path / "market" / "equity")
    assert located(home, wanted, [tmp_path / "market"]) == wanted


def test_a_device_is_no_source(home: Home) -> None:
    with pytest.raises(BadInputError, match="neither a file nor a folder"):
        located(home, "/dev/null")


def test_a_file_is_copied_into_the_inbox_once(home: Home, file: Path) -> None:
    first = located(home, str(file))
    assert Path(first) == home.inbox / "bars.csv"
    assert Path(first).read_bytes() == file.read_bytes()
    assert stat.S_IMODE(Path(first).stat().st_mode) == 0o600
    assert located(home, str(file)) == first
    assert os.listdir(home.inbox) == ["bars.csv"]


def test_other_content_of_the_same_name_replaces_nothing(home: Home, file: Path) -> None:
    first = located(home, str(file))
    file.write_text("a,b\n3,4\n")
    second = located(home, str(file))
    assert second != first
    assert Path(first).read_text() == "a,b\n1,2\n"
    assert Path(second).read_text() == "a,b\n3,4\n"
    assert located(home, str(file)) == second


def test_a_file_of_the_inbox_stays_where_it_is(home: Home) -> None:
    inside = home.inbox / "there.csv"
    inside.write_text("x")
    assert located(home, str(inside)) == str(inside.resolve())


def test_a_link_is_followed_here_and_its_content_copied(home: Home, file: Path) -> None:
    link = file.with_name("link.csv")
    link.symlink_to(file)
    copy = Path(located(home, str(link)))
    assert copy.is_relative_to(home.inbox)
    assert not copy.is_symlink()


@pytest.mark.parametrize("inside", ["equity/usa/daily", "equity/usa", "equity"])
def test_a_part_of_a_lean_folder_comes_with_what_explains_it(
    home: Home, tmp_path: Path, inside: str
) -> None:
    """Without its map files a ticker is nobody; without its place nothing says what it is."""
    files = [
        "equity/usa/daily/aapl.zip",
        "equity/usa/map_files/aapl.csv",
        "equity/usa/factor_files/aapl.csv",
        "market-hours/market-hours-database.json",
    ]
    for name in [*files, "forex/oanda/daily/eurusd.zip"]:
        (tmp_path / "lean" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "lean" / name).write_text(name)

    copy = Path(located(home, str(tmp_path / "lean" / inside), lean=True))

    root = copy.parents[inside.count("/")]
    assert copy == root / inside
    assert root.parent == home.inbox
    found = [one.relative_to(root).as_posix() for one in root.rglob("*") if one.is_file()]
    assert sorted(found) == sorted(files)
    assert Path(located(home, str(tmp_path / "lean"), lean=True)) == root
    assert (root / "forex/oanda/daily/eurusd.zip").is_file()
