"""Exactly once, whoever dies: real processes, real kill -9, real PostgreSQL."""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from lakehouse import about, catalog, query
from lakehouse.write import KEY
from tests.kit.append_worker import die_at, write_all, write_one
from tests.kit.fork import forkserver_of
from tests.kit.lake import FILLS, Depot

WRITERS, ROWS = 8, 100
PATIENCE_S = 150.0
"""For 25 kills, which take about 12 s on two idle cores."""


@pytest.fixture(scope="module")
def processes() -> Iterator[ForkServerContext]:
    """Yield a maker of processes that have imported everything already, but not pytest."""
    yield from forkserver_of("tests.kit.append_worker")


def settings(depot: Depot) -> tuple[str, str, str]:
    return depot.writer.uri, depot.writer.warehouse, depot.app_dsn


@pytest.mark.parametrize(
    ("count", "enough"),
    [
        pytest.param(60, 25, id="twenty-five kills"),
        pytest.param(400, 250, id="two hundred and fifty kills", marks=pytest.mark.soak),
    ],
)
def test_eight_writers_and_many_kills_lose_and_double_nothing(
    depot: Depot, processes: ForkServerContext, count: int, enough: int
) -> None:
    keys = [f"run{place:03d}" for place in range(count)]
    chance, patience_s = random.Random(7), PATIENCE_S * enough / 25
    seeds = iter(range(100_000))

    def start() -> BaseProcess:
        writer = processes.Process(
            target=write_all, args=(*settings(depot), keys, next(seeds)), daemon=True
        )
        writer.start()
        return writer

    write_one(depot.writer, depot.log, keys[0])  # the table is there, so that kills hit commits
    writers = [start() for _ in range(WRITERS)]
    kills, begun = 0, time.monotonic()
    while kills < enough:
        assert time.monotonic() - begun < patience_s, f"only {kills} kills"
        time.sleep(chance.uniform(0.05, 0.35))
        place = chance.randrange(WRITERS)
        pid = writers[place].pid
        if pid is not None and writers[place].is_alive():
            os.kill(pid, signal.SIGKILL)
            kills += 1
        writers[place].join(5)
        writers[place] = start()
    for writer in writers:
        writer.join(patience_s)
        assert writer.exitcode == 0
    assert {write_one(depot.writer, depot.log, key) for key in keys} == {"replay"}
    assert_each_once(depot, keys)


def assert_each_once(depot: Depot, keys: list[str]) -> None:
    """One snapshot, one key, 100 rows each; none lost, none doubled."""
    kept = catalog.load(depot.reader, FILLS).snapshots()
    named = [s.summary.additional_properties[KEY] for s in kept if s.summary is not None]
    assert sorted(named) == sorted(keys)
    held = query.read(depot.reader, FILLS)
    rows = Counter(
        zip(held.column("run_id").to_pylist(), held.column("order_id").to_pylist(), strict=True)
    )
    assert set(rows.values()) == {1}
    assert len(rows) == len(keys) * ROWS


@pytest.mark.parametrize(
    ("moment", "there", "how"),
    [
        pytest.param("data file", 0, "new", id="data file written"),
        pytest.param("manifest", 0, "new", id="manifest written"),
        pytest.param("metadata", 0, "new", id="metadata written, not swapped in"),
        pytest.param("swap", 1, "recovered", id="committed, not settled"),
        pytest.param("before settle", 1, "recovered", id="just before settling"),
        pytest.param("after settle", 1, "replay", id="settled"),
        pytest.param("after claim", 0, "new", id="claimed"),
        pytest.param("after lock", 0, "new", id="locked"),
    ],
)
def test_death_at_any_step_leaves_all_rows_or_none_and_a_retry_gives_them_once(
    depot: Depot, processes: ForkServerContext, moment: str, there: int, how: str
) -> None:
    assert write_one(depot.writer, depot.log, "before") == "new"
    doomed = processes.Process(target=die_at, args=(*settings(depot), "k", moment), daemon=True)
    doomed.start()
    doomed.join(PATIENCE_S)
    assert doomed.exitcode == -signal.SIGKILL
    assert about.describe(depot.reader, FILLS).rows == (1 + there) * ROWS
    assert query.read(depot.reader, FILLS).num_rows == (1 + there) * ROWS
    assert write_one(depot.writer, depot.log, "k") == how
    assert_each_once(depot, ["before", "k"])


def test_a_dead_writers_lock_is_free_at_once(depot: Depot, processes: ForkServerContext) -> None:
    doomed = processes.Process(
        target=die_at, args=(*settings(depot), "k", "after lock"), daemon=True
    )
    doomed.start()
    doomed.join(PATIENCE_S)
    begun = time.monotonic()
    write_one(depot.writer, depot.log, "other")
    assert time.monotonic() - begun < 5.0


def test_what_dead_writers_leave_is_beside_the_table_not_in_it(
    depot: Depot, processes: ForkServerContext
) -> None:
    """Orphans cost disk until maintenance sweeps them, never a wrong row."""
    write_one(depot.writer, depot.log, "before")
    folder = Path(depot.writer.warehouse.removeprefix("file://"))
    doomed = processes.Process(target=die_at, args=(*settings(depot), "k", "metadata"), daemon=True)
    doomed.start()
    doomed.join(PATIENCE_S)
    assert len(list(folder.rglob("*.parquet"))) == 2
    assert about.describe(depot.reader, FILLS).files == 1
