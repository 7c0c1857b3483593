"""An ingest that is killed anywhere: nothing lost, nothing twice, the next attempt goes on."""

from __future__ import annotations

import datetime as dt
import random
import signal
from collections import Counter
from collections.abc import Iterator
from multiprocessing.context import ForkServerContext
from pathlib import Path

import pytest

from lakehouse import catalog, query
from tests.kit.fork import forkserver_of
from tests.kit.ingest_worker import bring, bring_and_die
from tests.kit.lake import NOW, Depot, depot
from tests.kit.upkeep import KEEP_FEW, keep_up
from topology.ids import new_id

__all__ = ["depot"]

SYMBOLS, DAYS = ("AAA.TEST", "BBB.TEST", "CCC.TEST"), 4
HEADER = "vt_symbol,timestamp,open,high,low,close,volume\n"
PATIENCE_S = 60.0


@pytest.fixture(scope="module")
def processes() -> Iterator[ForkServerContext]:
    """Yield a maker of processes that have imported everything already."""
    yield from forkserver_of("tests.kit.ingest_worker")


def fill(place: Path, number: int) -> None:
    """Write a file per symbol: four bars, and one that is none.

    Prices begin at ``number``, so that no two folders have a payload in common.
    """
    (place / "inbox").mkdir(parents=True)
    (place / "spill").mkdir()
    for row, symbol in enumerate(SYMBOLS):
        price = 10.0 * (number + 1) + row
        lines = [
            f"{symbol},2024-01-0{day + 2},{price},{price},{price},{price},100\n"
            for day in range(DAYS)
        ]
        lines.append(f"{symbol},2024-01-09,-1,-1,-1,-1,100\n")
        (place / "inbox" / f"{symbol}.csv").write_text(HEADER + "".join(lines))


def table(number: int) -> str:
    return f"alphaswarm_silver_kill{number}.bars_1d"


def beside(number: int, name: str) -> str:
    return table(number).replace("bars_1d", name)


def assert_each_once(depot: Depot, number: int, run_id: str) -> None:
    """Every bar, reject, bronze line and payload of the folder is there, and is there once."""
    bars = query.read(depot.reader, table(number)).to_pylist()
    held = Counter((bar["vt_symbol"], bar["close"]) for bar in bars)
    assert held == {(s, 10.0 * (number + 1) + row): DAYS for row, s in enumerate(SYMBOLS)}
    assert len({(bar["vt_symbol"], bar["timestamp"]) for bar in bars}) == len(bars)
    assert query.read(depot.reader, beside(number, "rejects")).num_rows == len(SYMBOLS)
    assert query.read(depot.reader, beside(number, "payloads")).num_rows == len(SYMBOLS)
    for name in query.tables(depot.reader):
        if name.startswith("alphaswarm_bronze"):
            rows = query.read(depot.reader, name)
            mine = [r for r in rows.column("_run_id").to_pylist() if r == run_id]
            assert len(mine) == len(SYMBOLS) * (DAYS + 1)
            assert depot.log.unsettled(name) == []


@pytest.mark.parametrize(
    "kills",
    [
        pytest.param(3, id="three points"),
        pytest.param(40, id="forty points", marks=pytest.mark.soak),
    ],
)
def test_an_ingest_killed_at_random_points_ends_as_if_nothing_had_happened(
    depot: Depot, processes: ForkServerContext, tmp_path: Path, kills: int
) -> None:
    """After each death a pass of maintenance comes by, as it may, and then the second attempt."""
    chance = random.Random(11)
    events = 0
    for number in range(2):  # the second finds the bronze table made, as those after it do
        fill(tmp_path / f"{number}", number)
        given = (tmp_path / f"{number}", new_id(NOW), table(number))
        whole, events = bring(depot.writer, depot.log, *given)
        assert (whole.new, whole.rejected) == (len(SYMBOLS) * DAYS, len(SYMBOLS))

    for number in range(2, kills + 2):
        place, run_id = tmp_path / f"{number}", new_id(NOW + dt.timedelta(seconds=number))
        fill(place, number)
        at = chance.randrange(1, events + 1)
        lake = (depot.writer.uri, depot.writer.warehouse, depot.app_dsn)
        doomed = processes.Process(
            target=bring_and_die, args=(*lake, str(place), run_id, table(number), at)
        )
        doomed.start()
        doomed.join(PATIENCE_S)
        assert doomed.exitcode == -signal.SIGKILL, f"event {at} of {events}"
        tidy(depot, tmp_path, run_id)

        bring(depot.writer, depot.log, place, run_id, table(number))

        assert_each_once(depot, number, run_id)
        again, _ = bring(depot.writer, depot.log, place, new_id(NOW), table(number))
        assert (again.new, again.skipped) == (0, len(SYMBOLS)), f"event {at} of {events}"


def tidy(depot: Depot, spill: Path, run_id: str) -> None:
    """Pass over whatever has changed, as ruthlessly as the killed run allows."""
    for name in query.tables(depot.reader):
        loaded = catalog.load(depot.reader, name)
        if len(loaded.snapshots()) > KEEP_FEW.keep:
            keep_up(depot.writer, depot.log, name, spill, unfinished=[run_id])
