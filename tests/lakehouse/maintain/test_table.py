"""A whole pass: what it reports, that it stays fast, that it can be killed and repeated."""

from __future__ import annotations

import dataclasses
import multiprocessing
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from multiprocessing.context import ForkServerContext
from pathlib import Path

import pytest

from lakehouse import catalog, query, scan, schemas
from lakehouse.layers import TableName
from lakehouse.maintain.policy import Policy, measure
from tests.kit.fork import forkserver_of
from tests.kit.lake import FILLS, Depot, Silent, fills
from tests.kit.upkeep import KEEP_FEW, Follower, closes, ids, keep_up, parquet, small
from tests.kit.upkeep_worker import MOMENTS, tidy, tidy_and_die
from topology.errors import HaltedError

EVERY = 20
"""Appends between two passes in the tests of speed."""
FLAT = dataclasses.replace(KEEP_FEW, keep=20)
PATIENCE_S = 60.0


def settings_of(depot: Depot) -> tuple[str, str, str]:
    return depot.writer.uri, depot.writer.warehouse, depot.app_dsn


@pytest.fixture(scope="module")
def processes() -> Iterator[ForkServerContext]:
    """Yield a maker of processes that have imported everything already."""
    yield from forkserver_of("tests.kit.upkeep_worker")


def test_a_pass_reports_what_it_did(depot: Depot, name: str, tmp_path: Path) -> None:
    small(depot, name, 7)

    done = keep_up(depot.writer, depot.log, name, tmp_path)

    body = done.body()
    assert body["before"]["files"] == 7
    assert body["after"]["files"] == 1
    assert (body["before"]["snapshots"], body["after"]["snapshots"]) == (7, 2)
    assert body["after"]["bytes"] < body["before"]["bytes"]
    assert (body["files_joined"], body["snapshots_expired"]) == (7, 6)
    assert body["orphans"]["files"] > 0
    assert done.before.rows == done.after.rows == 7


def test_only_what_is_due_is_touched_if_so_asked(depot: Depot, name: str, tmp_path: Path) -> None:
    small(depot, name, 4)
    table = catalog.load(depot.reader, name)
    crowded, long = Policy(crowd=4), Policy(crowd=99, history=4)
    calm = Policy(crowd=5, history=5)

    assert measure(table, crowded).due(crowded)
    assert measure(table, long).due(long)
    assert not measure(table, calm).due(calm)
    with pytest.raises(AssertionError):
        keep_up(depot.writer, depot.log, name, tmp_path, policy=calm, due=True)
    assert len(ids(table)) == 4


def test_snapshots_that_runs_name_do_not_make_a_table_due(
    depot: Depot, name: str, tmp_path: Path
) -> None:
    """They never go: a table full of them would be passed over again and again."""
    small(depot, name, 4)
    named = ids(catalog.load(depot.reader, name))
    keep_up(depot.writer, depot.log, name, tmp_path, policy=Policy(), named=named)

    condition = measure(catalog.load(depot.reader, name), Policy(history=4))

    assert (condition.snapshots, condition.untagged) == (4, 0)


def test_an_empty_table_can_be_tidied(depot: Depot, name: str, tmp_path: Path) -> None:
    catalog.create(depot.writer, TableName.parse(name), schemas.BARS)
    done = keep_up(depot.writer, depot.log, name, tmp_path)
    assert (done.before.files, done.before.snapshots) == (0, 0)


def test_a_halt_stops_a_pass_at_its_next_step(depot: Depot, name: str, tmp_path: Path) -> None:
    small(depot, name, 6)

    class Halted(Silent):
        def checkpoint(self) -> None:
            self.emit("asked", "")
            if len(self.frames) == 3:
                raise HaltedError("halted")

    with pytest.raises(HaltedError):
        keep_up(depot.writer, depot.log, name, tmp_path, progress=Halted())

    assert closes(query.read(depot.reader, name)) == [float(n) for n in range(6)]
    assert keep_up(depot.writer, depot.log, name, tmp_path).after.files == 1


def timed(depot: Depot, number: int) -> tuple[float, float]:
    """Append one fill; return the seconds of the append and of planning a read."""
    fill = fills("run", 1).set_column(7, "order_id", [[number]])
    begun = time.perf_counter()
    depot.append(FILLS, fill, key=f"{number}")
    committed = time.perf_counter()
    scan.plan(catalog.load(depot.reader, FILLS))
    return committed - begun, time.perf_counter() - committed


@pytest.mark.parametrize(
    "appends",
    [
        pytest.param(40, id="forty"),
        pytest.param(1_000, id="a thousand", marks=pytest.mark.soak),
    ],
)
def test_small_appends_stay_as_fast_as_the_first_ones(
    alone: Depot, tmp_path: Path, appends: int
) -> None:
    """Best of ten, because this machine does other things, too; the benchmark has the medians."""
    follower = Follower(alone.reader, FILLS, "order_id")
    seconds = []
    for number in range(appends):
        seconds.append(timed(alone, number))
        if number % EVERY == EVERY - 1:
            follower.look()
            keep_up(alone.writer, alone.log, FILLS, tmp_path, policy=FLAT)
    follower.look()

    first, last = seconds[5:15], seconds[-10:]
    for n, what in enumerate(("append", "plan")):
        early, late = (min(pair[n] for pair in ten) for ten in (first, last))
        assert late <= 2 * early, what
    held = query.read(alone.reader, FILLS).column("order_id").to_pylist()
    assert sorted(held) == list(range(appends))
    assert follower.seen == Counter(range(appends))


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_pass_killed_at_any_step_loses_nothing_and_the_next_one_continues(
    depot: Depot, name: str, processes: ForkServerContext, tmp_path: Path, moment: str
) -> None:
    small(depot, name, 4)
    named = ids(catalog.load(depot.reader, name))[1]
    before = query.read(depot.reader, name)
    doomed = processes.Process(
        target=tidy_and_die, args=(*settings_of(depot), name, str(tmp_path), named, moment)
    )
    doomed.start()
    doomed.join(PATIENCE_S)
    assert doomed.exitcode == -signal.SIGKILL

    assert query.read(depot.reader, name).equals(before)
    small(depot, name, 1, first=4)
    done = keep_up(depot.writer, depot.log, name, tmp_path, named=[named])

    assert closes(query.read(depot.reader, name)) == [float(n) for n in range(5)]
    assert query.read(depot.reader, name, as_of=named).num_rows == 2
    assert done.after.files <= 2
    assert on_disk(depot, name) == needed(depot, name), "no orphan is left"


def on_disk(depot: Depot, table: str) -> set[str]:
    return {str(file) for file in parquet(depot.writer, table)}


def needed(depot: Depot, table: str) -> set[str]:
    """Return the data files that kept snapshots name."""
    loaded = catalog.load(depot.reader, table)
    kept = [str(snapshot.snapshot_id) for snapshot in loaded.snapshots()]
    return {file for one in kept for file in scan.plan(loaded, snapshot_id=one).files}


@pytest.mark.parametrize(
    ("keys", "kills"),
    [
        pytest.param(8, 3, id="three kills"),
        pytest.param(200, 100, id="a hundred kills", marks=pytest.mark.soak),
    ],
)
def test_passes_killed_at_random_beside_writers_and_readers_change_no_row(
    alone: Depot, processes: ForkServerContext, tmp_path: Path, keys: int, kills: int
) -> None:
    """Two endless passes at once, killed and started again while rows come in."""
    chance = random.Random(7)
    alone.append(FILLS, fills("0", 3), key="0", run_id="0")

    def start() -> multiprocessing.process.BaseProcess:
        doomed = processes.Process(
            target=tidy, args=(*settings_of(alone), FILLS, str(tmp_path)), daemon=True
        )
        doomed.start()
        return doomed

    passes = [start(), start()]
    killed = 0
    for n in range(1, keys):
        alone.append(FILLS, fills(f"{n}", 3), key=f"{n}", run_id=f"{n}")
        assert query.read(alone.reader, FILLS).num_rows == 3 * (n + 1)
        if n * kills // keys > killed:
            place = chance.randrange(2)
            passes[place].kill()
            passes[place].join(PATIENCE_S)
            passes[place], killed = start(), killed + 1
    for one in passes:
        one.kill()
        one.join(PATIENCE_S)

    rows = query.read(alone.reader, FILLS)
    seen = Counter(zip(*(rows.column(c).to_pylist() for c in ("run_id", "order_id")), strict=True))
    assert seen == Counter((f"{n}", order) for n in range(keys) for order in range(3))
    keep_up(alone.writer, alone.log, FILLS, tmp_path)
    assert query.read(alone.reader, FILLS).num_rows == 3 * keys
    assert on_disk(alone, FILLS) == needed(alone, FILLS)
