"""Whatever is written into the warehouse is read-only from its first byte."""

from __future__ import annotations

import stat
from pathlib import Path

from lakehouse import catalog
from tests.kit.lake import BARS, Depot, bars


def test_data_manifests_and_metadata_are_read_only_once_written(depot: Depot) -> None:
    depot.append(BARS, bars())
    folder = Path(depot.reader.warehouse.removeprefix("file://"))
    files = [place for place in folder.rglob("*") if place.is_file()]
    assert {file.suffix for file in files} == {".parquet", ".avro", ".json"}
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o444}


def test_a_sealed_file_is_whole_and_a_table_goes_on(depot: Depot) -> None:
    depot.append(BARS, bars(), key="1")
    depot.append(BARS, bars("MSFT.NASDAQ"), key="2")
    assert catalog.load(depot.reader, BARS).scan().to_arrow().num_rows == 6


def test_a_sealed_file_may_be_removed(depot: Depot) -> None:
    depot.append(BARS, bars())
    table = catalog.load(depot.writer, BARS)
    (task,) = table.scan().plan_files()
    table.io.delete(task.file.file_path)
    assert not Path(task.file.file_path.removeprefix("file://")).exists()
