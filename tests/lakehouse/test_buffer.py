"""A stream of single rows becomes few appends, each exactly once, whoever dies or wakes."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from multiprocessing.context import ForkServerContext
from typing import Any

import pyarrow as pa
import pytest

from lakehouse import buffer, catalog, query
from lakehouse.buffer import Stream, Target, open_stream
from lakehouse.errors import IdempotencyConflictError, SchemaMismatchError
from tests.kit.buffer_worker import feed, one
from tests.kit.faults import FaultyLog, delayed, failing
from tests.kit.fork import forkserver_of
from tests.kit.lake import FILLS, NOW, SPEC, Depot, Silent, fills
from topology.clock import FrozenClock, SystemClock
from topology.errors import BadInputError, FaultError, HaltedError, StoreUnreachableError

RUN = "01k00000000000000000000000"


def target(depot: Depot, log: Any = None) -> Target:
    return Target(depot.writer, log or depot.log, FILLS, RUN, SPEC)


def opened(depot: Depot, log: Any = None, **named: Any) -> Stream:
    named = {"progress": Silent(), "clock": SystemClock(), "age_s": 60.0, **named}
    return open_stream("fills", target(depot, log), **named)


def orders(depot: Depot) -> list[int]:
    """Return the order ids in the table, sorted."""
    table = catalog.find(depot.reader, FILLS)
    if table is None or table.current_snapshot() is None:
        return []
    return sorted(query.read(depot.reader, FILLS).column("order_id").to_pylist())


def appends(depot: Depot) -> int:
    return len(catalog.load(depot.reader, FILLS).snapshots())


def until(what: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_rows_are_appended_in_large_pieces_and_the_rest_at_the_end(depot: Depot) -> None:
    with opened(depot, rows=100) as stream:
        for number in range(250):
            stream.write(one(number), upto=str(number))
        until(lambda: stream.durable is not None)

    assert orders(depot) == list(range(250))
    assert appends(depot) <= 3
    assert stream.durable == "249"


def test_a_quiet_stream_is_written_when_its_first_row_is_old(depot: Depot) -> None:
    clock = FrozenClock(NOW)
    with opened(depot, clock=clock, age_s=5.0) as stream:
        stream.write(one(1), upto="a")
        clock.advance(4.9)
        time.sleep(2 * buffer.LOOK_S)
        assert stream.durable is None
        clock.advance(0.1)
        until(lambda: stream.durable == "a")
    assert orders(depot) == [1]


def test_flush_waits_until_the_table_has_everything(depot: Depot) -> None:
    with opened(depot) as stream:
        stream.write(one(1), upto="a")
        stream.flush()
        assert (orders(depot), stream.durable) == ([1], "a")
        stream.flush()
        assert appends(depot) == 1


def test_the_rows_of_one_write_are_never_parted(depot: Depot) -> None:
    with opened(depot, rows=10) as stream:
        stream.write(fills(RUN, 25), upto="all")
    assert (orders(depot), appends(depot)) == (list(range(25)), 1)


def test_a_stream_opened_again_says_where_to_go_on(depot: Depot) -> None:
    with opened(depot) as stream:
        stream.write(one(1), upto="09:30")
        stream.flush()
        stream.write(one(2), upto="09:31")
        stream.flush()

    with opened(depot) as again:
        assert again.durable == "09:31"
        again.write(one(3), upto="09:32")
    assert orders(depot) == [1, 2, 3]
    with open_stream("other", target(depot), progress=Silent(), clock=SystemClock()) as other:
        assert other.durable is None


def test_what_died_between_commit_and_receipt_counts_as_written(depot: Depot) -> None:
    stream = opened(depot, FaultyLog(depot.log, {"before settle": failing(InterruptedError())}))
    stream.write(one(1), upto="a")
    with pytest.raises(InterruptedError):
        stream.flush()

    with opened(depot) as again:
        assert again.durable == "a"
    assert orders(depot) == [1]


def test_what_died_before_the_commit_is_given_again_in_any_pieces(depot: Depot) -> None:
    """Its claim stands for other rows than ours: that must not be in our way."""
    with opened(depot) as stream:
        stream.write(one(1), upto="a")
    doomed = opened(depot, FaultyLog(depot.log, {"after claim": failing(InterruptedError())}))
    doomed.write(one(2), upto="b")
    with pytest.raises(InterruptedError):
        doomed.flush()

    with opened(depot) as again:
        assert again.durable == "a"
        again.write(one(2), upto="b")
        again.write(one(3), upto="c")
    assert orders(depot) == [1, 2, 3]


def test_of_two_holders_of_a_stream_one_is_refused(depot: Depot) -> None:
    """A worker that slept beyond its lease wakes and writes on: it must not double rows."""
    sleeper = opened(depot)
    with opened(depot) as heir:
        heir.write(one(1), upto="a")

    sleeper.write(fills(RUN, 2), upto="a")
    with pytest.raises(IdempotencyConflictError):
        sleeper.flush()
    assert orders(depot) == [1]


def test_a_fast_source_waits_for_a_slow_store(depot: Depot) -> None:
    log = FaultyLog(depot.log, {"before claim": delayed(0.5)})
    with opened(depot, log, rows=10) as stream:
        begun = time.monotonic()
        for number in range(31):
            stream.write(one(number), upto=str(number))
        assert time.monotonic() - begun > 0.3
    assert orders(depot) == list(range(31))


def test_a_store_that_comes_back_costs_nothing_but_time(
    depot: Depot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(buffer, "RETRY_S", 0.05)
    busy = FaultError("busy", code="table_busy")
    away = StoreUnreachableError("away", store="catalog")
    plan = {"before find": failing(away), "before claim": failing(busy)}
    with opened(depot, FaultyLog(depot.log, plan)) as stream:
        stream.write(one(1), upto="a")
        stream.flush()
    assert orders(depot) == [1]


def test_a_store_that_stays_away_is_said_after_the_patience(
    depot: Depot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(buffer, "RETRY_S", 0.05)

    class Away(FaultyLog):
        def find(self, table: str, key: str) -> Any:
            raise StoreUnreachableError("away", store="postgres")

    stream = opened(depot, Away(depot.log, {}), patience_s=0.3)
    stream.write(one(1), upto="a")
    with pytest.raises(StoreUnreachableError):
        stream.close()
    assert orders(depot) == []


def test_a_halt_writes_nothing_more_and_is_raised_where_rows_are_given(depot: Depot) -> None:
    pressed = threading.Event()

    class Halting(Silent):
        def checkpoint(self) -> None:
            if pressed.is_set():
                raise HaltedError("halted")

    stream = opened(depot, progress=Halting())
    stream.write(one(1), upto="a")
    stream.flush()
    pressed.set()
    stream.write(one(2), upto="b")
    with pytest.raises(HaltedError):
        stream.flush()
    with pytest.raises(HaltedError):
        stream.write(one(3), upto="c")
    assert orders(depot) == [1]


def test_a_batch_that_the_table_refuses_ends_the_stream(depot: Depot) -> None:
    stream = opened(depot)
    stream.write(pa.table({"nonsense": [1]}), upto="a")
    with pytest.raises(SchemaMismatchError):
        stream.close()
    with opened(depot) as again:
        assert again.durable is None


def test_rows_before_an_error_of_the_caller_are_kept(depot: Depot) -> None:
    def trips() -> None:
        with opened(depot) as stream:
            stream.write(one(1), upto="a")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        trips()
    assert orders(depot) == [1]


@pytest.mark.parametrize("name", ["Fills", "", "x" * 41, "a:b"])
def test_the_name_of_a_stream_is_short_and_plain(depot: Depot, name: str) -> None:
    with pytest.raises(BadInputError):
        open_stream(name, target(depot), progress=Silent(), clock=SystemClock())


@pytest.mark.parametrize("mark", ["", "x" * 101, "a\n"])
def test_a_mark_is_short_and_printable(depot: Depot, mark: str) -> None:
    with opened(depot) as stream, pytest.raises(BadInputError):
        stream.write(one(1), upto=mark)


def test_a_closed_stream_takes_nothing(depot: Depot) -> None:
    stream = opened(depot)
    stream.close()
    with pytest.raises(FaultError, match="closed"):
        stream.write(one(1), upto="a")


@pytest.fixture(scope="module")
def processes() -> Iterator[ForkServerContext]:
    """Yield a maker of processes that have imported everything already."""
    yield from forkserver_of("tests.kit.buffer_worker")


@pytest.mark.parametrize(
    ("rows", "kills"),
    [
        pytest.param(300, 2, id="two kills"),
        pytest.param(5_000, 60, id="sixty kills", marks=pytest.mark.soak),
    ],
)
def test_a_feeder_killed_again_and_again_loses_and_doubles_no_row(
    depot: Depot, processes: ForkServerContext, rows: int, kills: int
) -> None:
    """Each start asks the stream where it is and goes on from there, as a bot does."""
    given = (depot.writer.uri, depot.writer.warehouse, depot.app_dsn, rows)
    for kill in range(kills):
        feeder = processes.Process(target=feed, args=given, daemon=True)
        feeder.start()
        wanted = rows * (kill + 1) // (kills + 1)
        try:
            until(lambda enough=wanted: len(orders(depot)) >= enough)  # type: ignore[misc]
        finally:
            feeder.kill()
            feeder.join(20)
        assert feeder.exitcode == -signal.SIGKILL
        there = orders(depot)
        assert there == list(range(len(there))), "whole up to where it is"
    last = processes.Process(target=feed, args=given, daemon=True)
    last.start()
    last.join(60)
    assert last.exitcode == 0
    assert orders(depot) == list(range(rows))
