"""The sweep: only old files that nothing names, only in the table's own folders, or nothing."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from lakehouse import catalog, query
from lakehouse.maintain.orphans import PRIVATE, SHARED, Swept, reachable, sweep
from tests.kit.lake import FILLS, Depot, Silent, fills
from tests.kit.upkeep import HOUR, closes, folder_of, keep_up, now, parquet, small
from topology.errors import FaultError


def clean(depot: Depot, name: str, *, in_h: float = 2, orphan: dt.timedelta | None = None) -> Swept:
    at = now() + in_h * HOUR
    return sweep(depot.writer, depot.log, name, now=at, orphan=orphan, progress=Silent())


def litter(folder: Path) -> list[Path]:
    """Put what killed writers leave into a table's folder."""
    left = [
        folder / "data" / "00000-0-dead.parquet",
        folder / "metadata" / "dead-m0.avro",
        folder / "metadata" / "snap-1-0-dead.avro",
        folder / "metadata" / "00009-dead.metadata.json",
    ]
    for file in left:
        file.write_bytes(b"x" * 10)
        file.chmod(0o444)
    return left


def test_what_killed_writers_left_goes_once_it_is_old(depot: Depot, name: str) -> None:
    small(depot, name, 3)
    left = litter(folder_of(depot.writer, name))
    Path(depot.writer.warehouse.removeprefix("file://")).chmod(0o700)

    assert clean(depot, name, in_h=0.9) == Swept()
    assert all(file.exists() for file in left)
    assert clean(depot, name, in_h=1.1) == Swept(files=4, bytes=40)
    assert not any(file.exists() for file in left)
    assert closes(query.read(depot.reader, name)) == [0.0, 1.0, 2.0]
    assert clean(depot, name, in_h=99) == Swept()


def test_a_warehouse_that_others_may_read_is_given_a_day(depot: Depot, name: str) -> None:
    small(depot, name, 1)
    litter(folder_of(depot.writer, name))
    root = Path(depot.writer.warehouse.removeprefix("file://"))

    root.chmod(0o755)
    assert clean(depot, name, in_h=23).files == 0
    assert clean(depot, name, in_h=25).files == 4
    assert (PRIVATE, SHARED) == (HOUR, 24 * HOUR)


def test_files_of_expired_snapshots_go_and_those_of_kept_ones_stay(
    depot: Depot, name: str, tmp_path: Path
) -> None:
    small(depot, name, 6)
    files = parquet(depot.writer, name)

    done = keep_up(depot.writer, depot.log, name, tmp_path)

    table = catalog.load(depot.reader, name)
    left = parquet(depot.writer, name)
    assert (len(files), done.compacted.before) == (6, 6)
    assert done.swept.files > 0
    assert {str(file) for file in left} == {f for f in reachable(table) if f.endswith(".parquet")}
    for snapshot in table.snapshots():
        as_of = str(snapshot.snapshot_id)
        assert query.read(depot.reader, name, as_of=as_of).num_rows == 6


def test_the_metadata_files_before_the_current_one_stay(depot: Depot, name: str) -> None:
    """pyiceberg deletes them itself, past the tenth."""
    small(depot, name, 4)
    folder = folder_of(depot.writer, name) / "metadata"
    before = sorted(folder.glob("*.metadata.json"))

    clean(depot, name, in_h=99)

    assert sorted(folder.glob("*.metadata.json")) == before


def test_other_files_and_links_are_none_of_our_business(
    depot: Depot, name: str, tmp_path: Path
) -> None:
    small(depot, name, 1)
    folder = folder_of(depot.writer, name)
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "precious.parquet").write_bytes(b"x")
    ours = [folder / "data" / "README.txt", folder / "notes.parquet", folder / "metadata" / "x.csv"]
    for file in ours:
        file.write_bytes(b"x")
    (folder / "data" / "linked").symlink_to(foreign)
    (folder / "data" / "one.parquet").symlink_to(foreign / "precious.parquet")

    assert clean(depot, name, in_h=99) == Swept()

    assert all(file.exists() for file in ours)
    assert (foreign / "precious.parquet").exists()
    assert (folder / "data" / "one.parquet").is_symlink()


def test_another_tables_files_are_never_touched(depot: Depot, name: str) -> None:
    small(depot, name, 1)
    depot.append(FILLS, fills("r", 3), key="f", run_id="r")
    theirs = litter(folder_of(depot.writer, FILLS))

    assert clean(depot, name, in_h=99) == Swept()

    assert all(file.exists() for file in theirs)


def test_a_table_that_lacks_a_file_is_not_swept_at_all(depot: Depot, name: str) -> None:
    """Whoever lost one file may have lost more: deleting what is left is the wrong cure."""
    small(depot, name, 2)
    parquet(depot.writer, name)[0].unlink()
    left = litter(folder_of(depot.writer, name))

    with pytest.raises(FaultError) as raised:
        clean(depot, name, in_h=99)

    assert raised.value.wire_code == "warehouse_unsafe"
    assert raised.value.facts["missing"] == 1
    assert all(file.exists() for file in left)


@pytest.mark.parametrize("which", ["table", "namespace"])
def test_a_folder_that_is_a_link_is_not_swept(
    depot: Depot, name: str, tmp_path: Path, which: str
) -> None:
    small(depot, name, 1)
    folder = folder_of(depot.writer, name)
    left = litter(folder)
    moved = folder if which == "table" else folder.parent
    aside = tmp_path / "elsewhere"
    moved.rename(aside)
    moved.symlink_to(aside)

    with pytest.raises(FaultError, match="over a link"):
        clean(depot, name, in_h=99)

    assert all(file.exists() for file in left)
    assert query.read(depot.reader, name).num_rows == 1


def test_a_folder_outside_the_warehouse_is_not_swept(
    depot: Depot, name: str, tmp_path: Path
) -> None:
    small(depot, name, 1)
    outside = type(depot.writer)(depot.writer.uri, f"file://{tmp_path / 'other'}")
    (tmp_path / "other").mkdir()

    with pytest.raises(FaultError, match="not below the warehouse"):
        sweep(outside, depot.log, name, now=now() + 99 * HOUR, orphan=None, progress=Silent())
