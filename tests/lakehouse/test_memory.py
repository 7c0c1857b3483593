"""A file larger than the memory of its ingest: on its way it is never held whole."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

from tests.kit.lake import Depot
from tests.kit.memory import measured

MEMORY_MB = 64
FILE_MB = 4 * MEMORY_MB + 8
WIDE = 2_000
"""Characters of a column that no bar needs: few rows, many bytes."""


def write(file: Path, size_mb: int) -> int:
    """Write minutes of one symbol, and return how many."""
    start = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
    rows = size_mb * (1 << 20) // WIDE
    with file.open("w") as sink:
        sink.write("vt_symbol,timestamp,open,high,low,close,volume,note\n")
        for minute in range(rows):
            moment = start + dt.timedelta(minutes=minute)
            sink.write(f"AAA.TEST,{moment:%Y-%m-%dT%H:%M}Z,1,2,1,2,100,{minute:0{WIDE}}\n")
    return rows


def test_a_file_four_times_the_memory_given_takes_no_more_than_one_that_fits(
    depot: Depot, tmp_path: Path
) -> None:
    """After the first file all libraries are there, and buffers bounded by bytes have been full."""
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    rows = [write(inbox / name, size) for name, size in (("a.csv", MEMORY_MB), ("b.csv", FILE_MB))]
    assert (inbox / "b.csv").stat().st_size > 4 * MEMORY_MB << 20
    small, large = measured(
        depot.writer, depot.app_dsn, inbox, ["a.csv", "b.csv"], memory_mb=MEMORY_MB
    )
    assert [small.new, large.new] == rows
    assert large.peak_mb - small.peak_mb < FILE_MB / 2, (small, large)
