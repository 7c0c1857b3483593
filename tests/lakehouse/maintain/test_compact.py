"""Compaction: many small files become one, and no row, snapshot or reader notices."""

from __future__ import annotations

import dataclasses
import datetime as dt
import stat
import threading
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyiceberg.io.fileformat import FileFormatFactory, FileFormatWriter
from pyiceberg.manifest import FileFormat
from pyiceberg.table.update.snapshot import _OverwriteFiles

from lakehouse import catalog, query, scan
from lakehouse.maintain.compact import COMPACT, OPERATION, compact, groups
from lakehouse.maintain.policy import Policy, live, measure
from lakehouse.maintain.rewrite import ROWS
from tests.kit.lake import DAY, FILLS, NOW, Depot, Silent, bars, fills
from tests.kit.upkeep import KEEP_FEW, Follower, closes, ids, keep_up, small
from topology.errors import FaultError

ALL = dataclasses.replace(KEEP_FEW, keep=10_000)
"""Joins whatever can be joined, and forgets nothing."""


def join(depot: Depot, table: str, spill: Path, policy: Policy = ALL) -> tuple[int, int]:
    done = compact(
        depot.writer, depot.log, table, policy=policy, spill=spill, progress=Silent(), summary={}
    )
    return done.before, done.after


def test_small_files_become_one_per_partition(depot: Depot, name: str, tmp_path: Path) -> None:
    small(depot, name, 9, every=5)  # on 2, 7, 12, 17, 22, 27 January, on 1, 6, 11 February
    before = query.read(depot.reader, name)

    assert join(depot, name, tmp_path) == (9, 2)

    table = catalog.load(depot.reader, name)
    files = {file.partition[0]: file.record_count for file in live(table)}
    assert files == {(2024 - 1970) * 12: 6, (2024 - 1970) * 12 + 1: 3}
    assert query.read(depot.reader, name).equals(before)
    assert join(depot, name, tmp_path) == (0, 0), "a second pass finds nothing to do"


def test_rows_come_out_in_the_order_of_the_table(depot: Depot, name: str, tmp_path: Path) -> None:
    for n, symbol in enumerate(["MSFT.NASDAQ", "AAPL.NASDAQ", "IBM.NYSE"]):
        depot.append(name, bars(symbol, (3.0, 2.0), start=DAY + dt.timedelta(days=n)), key=symbol)

    join(depot, name, tmp_path)

    (file,) = scan.plan(catalog.load(depot.reader, name)).files
    rows = pq.read_table(file, partitioning=None)
    assert rows.column("vt_symbol").to_pylist() == [
        *["AAPL.NASDAQ"] * 2,
        *["IBM.NYSE"] * 2,
        *["MSFT.NASDAQ"] * 2,
    ]
    assert rows.equals(rows.sort_by([("vt_symbol", "ascending"), ("timestamp", "ascending")]))


def test_the_snapshot_says_that_no_row_changed(depot: Depot, name: str, tmp_path: Path) -> None:
    small(depot, name, 6)

    join(depot, name, tmp_path)

    table = catalog.load(depot.reader, name)
    now = table.current_snapshot()
    assert now is not None
    assert now.summary is not None
    facts = now.summary.additional_properties
    assert (now.summary.operation.value, facts[OPERATION]) == ("overwrite", COMPACT)
    assert (facts["added-records"], facts["deleted-records"]) == ("6", "6")
    assert (facts["total-records"], facts["total-data-files"]) == ("6", "1")


def test_every_earlier_snapshot_reads_as_before(depot: Depot, name: str, tmp_path: Path) -> None:
    small(depot, name, 5)
    kept = ids(catalog.load(depot.reader, name))
    before = [query.read(depot.reader, name, as_of=one) for one in kept]

    join(depot, name, tmp_path)

    assert [query.read(depot.reader, name, as_of=one) for one in kept] == before
    assert [rows.num_rows for rows in before] == [1, 2, 3, 4, 5]


def test_few_files_or_large_ones_are_left_alone(depot: Depot, name: str, tmp_path: Path) -> None:
    small(depot, name, 4)
    table = catalog.load(depot.writer, name)

    assert groups(table, dataclasses.replace(ALL, least=5)) == []
    assert groups(table, dataclasses.replace(ALL, small=1)) == []
    sizes = [file.file_size_in_bytes for file in live(table)]
    by_two = dataclasses.replace(ALL, group=sizes[0] + sizes[1] + 10)
    assert [len(group.files) for group in groups(table, by_two)] == [2, 2]


@pytest.mark.parametrize("table", [FILLS, "alphaswarm_bronze_vendor.prices"])
def test_any_table_can_be_compacted(alone: Depot, tmp_path: Path, table: str) -> None:
    """Fills lie in buckets; bronze has no order, and the vendor's names for columns."""
    for n in range(3):
        if table == FILLS:
            data = fills("run", rows=3)
        else:
            data = pa.table({"Adj. Close (USD)": [float(n), None], "größe": ["a", None]})
            for name, value in (("_source", "v"), ("_payload_sha256", f"{n}"), ("_run_id", "r")):
                data = data.append_column(name, pa.array([value] * 2))
            data = data.append_column(
                "_ingested_at", pa.array([NOW] * 2, pa.timestamp("us", "UTC"))
            )
        alone.append(table, data, key=f"{n}", run_id="run")
    before = query.read(alone.reader, table)
    names = before.column_names

    files, left = join(alone, table, tmp_path)

    after = query.read(alone.reader, table)
    assert files - left > 0
    assert Counter(map(str, after.to_pylist())) == Counter(map(str, before.to_pylist()))
    assert (after.column_names, after.schema) == (names, before.schema)


def test_more_rows_than_memory_holds_are_sorted_on_the_disk(alone: Depot, tmp_path: Path) -> None:
    """Two row groups and a bit: the file has groups of exactly the table's size, in order."""
    rows = ROWS + 40_000
    half = rows // 2
    for n in range(2):
        data = fills(f"{1 - n}", rows=half)
        alone.append(FILLS, data, key=f"{n}", run_id=f"{1 - n}")
    one_bucket = dataclasses.replace(ALL, least=1, memory_mb=64)

    join(alone, FILLS, tmp_path, one_bucket)

    files = [pq.ParquetFile(f) for f in scan.plan(catalog.load(alone.reader, FILLS)).files]
    assert sum(file.metadata.num_rows for file in files) == rows
    for file in files:
        sizes = [file.metadata.row_group(n).num_rows for n in range(file.num_row_groups)]
        assert all(size == ROWS for size in sizes[:-1])
        order = file.read(columns=["run_id", "timestamp"])
        assert order.equals(order.sort_by([("run_id", "ascending"), ("timestamp", "ascending")]))


def test_new_files_are_sealed_and_statistics_still_prune(
    depot: Depot, name: str, tmp_path: Path
) -> None:
    for n in range(3):
        depot.append(
            name, bars("AAPL.NASDAQ", (1.0,), start=DAY + dt.timedelta(days=n)), key=f"{n}"
        )
    join(depot, name, tmp_path)
    table = catalog.load(depot.reader, name)

    (file,) = scan.plan(table).files
    assert stat.S_IMODE(Path(file).stat().st_mode) == 0o444
    assert scan.plan(table, where=scan.Where(symbols=["ZZZ.NASDAQ"])).files == ()
    assert scan.plan(table, where=scan.Where(symbols=["AAPL.NASDAQ"])).files == (file,)


@settings(
    max_examples=4,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(steps=st.lists(st.sampled_from(["append", "append", "tidy", "look"]), max_size=6))
def test_an_incremental_reader_sees_each_row_once_whenever_a_pass_comes(
    depot: Depot, tmp_path: Path, steps: list[str]
) -> None:
    domain = f"alphaswarm_silver_example{next(_NUMBERS)}.bars_1d"
    reader = Follower(depot.reader, domain, "close")
    given_rows = 0
    for step in ["append", *steps, "append", "tidy", "look"]:
        if step == "append":
            small(depot, domain, 1, first=given_rows)
            given_rows += 1
        elif step == "look":
            reader.look()
        else:
            keep_up(depot.writer, depot.log, domain, tmp_path, policy=ALL)
    assert reader.seen == Counter(float(n) for n in range(given_rows))
    assert closes(query.read(depot.reader, domain)) == [float(n) for n in range(given_rows)]


_NUMBERS = iter(range(10_000))


def test_two_passes_at_once_join_each_file_once(depot: Depot, name: str, tmp_path: Path) -> None:
    small(depot, name, 12)
    gate = threading.Barrier(2)
    found: list[tuple[int, int]] = []

    def tidy() -> None:
        gate.wait()
        found.append(join(depot, name, tmp_path))

    threads = [threading.Thread(target=tidy) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(found) in ([(0, 0), (12, 1)], [(1, 1), (12, 1)])
    assert closes(query.read(depot.reader, name)) == [float(n) for n in range(12)]


def test_appends_go_on_while_files_are_rewritten(depot: Depot, name: str, tmp_path: Path) -> None:
    """The pass holds no lock while it rewrites: what comes in meanwhile is simply left alone."""
    small(depot, name, 5)

    class Busy(Silent):
        def checkpoint(self) -> None:
            if not self.frames:
                self.emit("seen", "")
                small(depot, name, 1, first=5)

    compact(depot.writer, depot.log, name, policy=ALL, spill=tmp_path, progress=Busy(), summary={})

    assert closes(query.read(depot.reader, name)) == [float(n) for n in range(6)]
    assert measure(catalog.load(depot.reader, name), ALL).files == 2


def test_a_file_that_was_swept_under_us_is_not_put_into_the_table(
    depot: Depot, name: str, tmp_path: Path
) -> None:
    """A machine that sleeps between rewriting and exchanging may find its new file gone."""
    small(depot, name, 5)
    folder = Path(catalog.load(depot.reader, name).location().removeprefix("file://"))
    old = set(folder.rglob("*.parquet"))

    class Sweeper(Silent):
        def checkpoint(self) -> None:
            for file in set(folder.rglob("*.parquet")) - old:
                if file.stat().st_mode & 0o222 == 0:  # complete
                    file.unlink()

    done = compact(
        depot.writer, depot.log, name, policy=ALL, spill=tmp_path, progress=Sweeper(), summary={}
    )

    assert (done.before, done.after) == (0, 0)
    assert closes(query.read(depot.reader, name)) == [float(n) for n in range(5)]


def test_files_that_give_other_rows_than_they_say_are_never_exchanged(
    depot: Depot, name: str, tmp_path: Path
) -> None:
    small(depot, name, 5)
    table = catalog.load(depot.reader, name)
    first = Path(scan.plan(table).files[0])
    first.chmod(0o644)
    pq.write_table(pa.concat_tables([pq.read_table(first, partitioning=None)] * 2), first)

    with pytest.raises(FaultError, match="nothing was changed") as raised:
        join(depot, name, tmp_path)

    assert (raised.value.facts["rows_before"], raised.value.facts["rows_after"]) == (5, 6)
    assert len(ids(catalog.load(depot.reader, name))) == 5


def test_what_we_use_of_pyiceberg_is_still_there(depot: Depot, name: str) -> None:
    """A contract with a library below 1.0: the snapshot producer, and a writer in pieces."""
    small(depot, name, 1)
    table = catalog.load(depot.writer, name)
    with table.transaction() as change:
        producer = change.update_snapshot(snapshot_properties={}).overwrite()
        assert isinstance(producer, _OverwriteFiles)
        assert callable(producer.delete_data_file)
        assert callable(producer.append_data_file)
    writer = FileFormatFactory.get(FileFormat.PARQUET).create_writer(
        table.io.new_output(f"{table.location()}/data/x.parquet"), table.schema(), {}
    )
    assert isinstance(writer, FileFormatWriter)
