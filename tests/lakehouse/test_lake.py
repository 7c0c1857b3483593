"""The handle of a lake, and what other tools open it with."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from lakehouse import catalog, query
from lakehouse.lake import CATALOG, open_lake
from tests.kit.faults import after_file, failing
from tests.kit.lake import BARS, Depot, bars
from topology.errors import HomeError, StoreUnreachableError

READ = """
from pyiceberg.catalog import load_catalog
table = load_catalog("alphaswarm").load_table("alphaswarm_silver_market.bars_1d")
print(table.scan().to_arrow().num_rows)
"""
WRITE = READ + "table.append(table.scan().to_arrow())\n"


def run(program: str, home: Path) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "PYICEBERG_HOME": str(home)}
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=environ, check=False
    )


def test_other_tools_read_with_the_properties_of_the_reader_and_cannot_commit(
    depot: Depot, tmp_path: Path
) -> None:
    depot.append(BARS, bars())
    settings = {"catalog": {CATALOG: depot.reader.properties()}}
    (tmp_path / ".pyiceberg.yaml").write_text(yaml.safe_dump(settings))
    assert run(READ, tmp_path).stdout.strip() == "3"
    assert "InsufficientPrivilege" in run(WRITE, tmp_path).stderr
    assert query.read(depot.reader, BARS).num_rows == 3


def test_a_lake_does_not_show_its_address(depot: Depot) -> None:
    assert "passfile" not in repr(depot.reader)


def test_nothing_is_contacted_before_the_first_use() -> None:
    open_lake("postgresql+psycopg://nobody@/lake?host=/nowhere", "/nowhere")


@pytest.mark.parametrize("call", [query.tables, lambda lake: query.coverage(lake, BARS)])
def test_a_catalog_that_does_not_answer_is_named(tmp_path: Path, call: object) -> None:
    lake = open_lake(f"postgresql+psycopg://nobody@/lake?host={tmp_path}", str(tmp_path))
    assert callable(call)
    with pytest.raises(StoreUnreachableError) as caught:
        call(lake)
    catalog.close(lake)
    assert caught.value.facts["store"] == "catalog"
    assert "alphaswarm doctor" in caught.value.hint


def test_files_that_are_gone_are_a_fault_of_the_warehouse(depot: Depot) -> None:
    depot.append(BARS, bars())
    for file in Path(depot.writer.warehouse.removeprefix("file://")).rglob("*.parquet"):
        file.unlink()
    with pytest.raises(StoreUnreachableError) as caught:
        query.read(depot.reader, BARS)
    assert caught.value.facts["store"] == "warehouse"


@pytest.mark.parametrize("kind", ["*.metadata.json", "snap-*.avro"])
def test_metadata_that_is_gone_is_a_fault_of_the_warehouse(depot: Depot, kind: str) -> None:
    depot.append(BARS, bars())
    for file in Path(depot.writer.warehouse.removeprefix("file://")).rglob(kind):
        file.unlink()
    with pytest.raises(StoreUnreachableError) as caught:
        query.read(depot.reader, BARS)
    assert caught.value.facts["store"] == "warehouse"
    assert depot.writer.warehouse.removeprefix("file://") not in str(caught.value.body())


@pytest.mark.parametrize(
    ("number", "words"),
    [
        pytest.param(errno.ENOSPC, "disk is full", id="full disk"),
        pytest.param(errno.EROFS, "read-only", id="read-only"),
    ],
)
@pytest.mark.parametrize("step", ["data file", "manifest"])
def test_a_disk_that_takes_no_more_is_told_and_loses_nothing(
    depot: Depot, step: str, number: int, words: str
) -> None:
    depot.append(BARS, bars(), key="before")
    refusal = OSError(number, os.strerror(number), "/some/file")
    more = bars("MSFT.NASDAQ")
    with after_file(step, failing(refusal)), pytest.raises(HomeError) as caught:
        depot.append(BARS, more, key="after")
    assert words in caught.value.hint
    assert "/some/file" not in str(caught.value.body())
    assert query.read(depot.reader, BARS).num_rows == 3
    assert depot.append(BARS, more, key="after").how == "new"
    assert query.read(depot.reader, BARS).num_rows == 6


def test_a_file_in_the_way_of_the_warehouse_is_told(depot: Depot, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    blocked = open_lake(depot.writer.uri, str(tmp_path / "file"))
    with pytest.raises(HomeError, match="warehouse cannot be written"):
        depot.append(BARS, bars(), lake=blocked)
    catalog.close(blocked)


def test_a_closed_lake_opens_again(depot: Depot) -> None:
    depot.append(BARS, bars())
    catalog.close(depot.reader)
    assert query.tables(depot.reader) == [BARS]


@pytest.mark.parametrize(
    "name", ["with space", "größe", "a'quote", "[brackets]", "star*", "per%20cent"]
)
def test_a_warehouse_may_have_an_odd_path(depot: Depot, tmp_path: Path, name: str) -> None:
    odd = open_lake(depot.writer.uri, str(tmp_path / name))
    try:
        depot.append(BARS, bars(), lake=odd)
        assert query.read(odd, BARS).num_rows == 3
    finally:
        catalog.close(odd)
