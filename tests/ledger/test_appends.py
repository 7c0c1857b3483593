"""The append log: one claim per key, one writer per table, whatever dies in between."""

from __future__ import annotations

import datetime as dt
import multiprocessing
import os
import signal
import threading
import time
from typing import Any

import pytest

from ledger.appends import Appends, Entry
from ledger.pool import Pool, open_pool
from topology.errors import FaultError
from topology.ids import new_id

TABLE = "alphaswarm_gold_backtests.fills"


@pytest.fixture
def key() -> str:
    """Return a key that no other test uses."""
    return new_id(dt.datetime(2026, 1, 1, tzinfo=dt.UTC)) + ":fills"


@pytest.fixture
def log(pool: Pool, app_dsn: str) -> Appends:
    """Return the append log of this process."""
    return Appends(pool, app_dsn)


def test_a_write_is_claimed_then_settled(log: Appends, key: str) -> None:
    assert log.find(TABLE, key) is None
    assert log.claim(TABLE, key, "d1", 10, "run") == Entry("d1", None)
    assert log.find(TABLE, key) == Entry("d1", None)
    log.settle(TABLE, key, "9223372036854775807")
    assert log.find(TABLE, key) == Entry("d1", "9223372036854775807")


def test_a_second_claim_gets_what_the_first_one_said(log: Appends, key: str) -> None:
    log.claim(TABLE, key, "d1", 10, "run")
    assert log.claim(TABLE, key, "d2", 12, "other") == Entry("d1", None)
    log.settle(TABLE, key, "7")
    log.settle(TABLE, key, "8")
    assert log.claim(TABLE, key, "d1", 10, "run") == Entry("d1", "7")


def test_the_same_key_is_free_in_another_table(log: Appends, key: str) -> None:
    log.claim(TABLE, key, "d1", 10, "run")
    assert log.find("alphaswarm_gold_backtests.orders", key) is None


def test_one_holds_a_table_at_a_time(log: Appends) -> None:
    inside, most = 0, 0

    def work() -> None:
        nonlocal inside, most
        for _ in range(3):
            with log.lock("one.table"):
                inside += 1
                most = max(most, inside)
                time.sleep(0.005)
                inside -= 1

    crowd = [threading.Thread(target=work) for _ in range(6)]
    for thread in crowd:
        thread.start()
    for thread in crowd:
        thread.join()
    assert most == 1


def test_tables_do_not_wait_for_each_other(log: Appends) -> None:
    with log.lock("table.a"), log.lock("table.b"):
        pass


def test_who_waits_too_long_is_told_which_table(pool: Pool, app_dsn: str, log: Appends) -> None:
    hasty = Appends(pool, app_dsn, patience_s=0.2)
    with log.lock("busy.table"), pytest.raises(FaultError) as busy, hasty.lock("busy.table"):
        pass
    body = busy.value.body()
    assert (body["code"], body["facts"]) == ("table_busy", {"table": "busy.table"})


def test_a_failure_inside_frees_the_table(log: Appends) -> None:
    for _ in range(2):
        with pytest.raises(ZeroDivisionError), log.lock("failing.table"):
            raise ZeroDivisionError


def _hold(dsn: str, held: Any) -> None:
    with Appends(open_pool(dsn, name="victim"), dsn).lock("killed.table"):
        held.set()
        time.sleep(60)


def test_a_killed_holder_frees_the_table(log: Appends, app_dsn: str) -> None:
    context = multiprocessing.get_context("spawn")
    held = context.Event()
    victim = context.Process(target=_hold, args=(app_dsn, held))
    victim.start()
    assert held.wait(30)
    assert victim.pid is not None
    os.kill(victim.pid, signal.SIGKILL)
    started = time.monotonic()
    with log.lock("killed.table"):
        assert time.monotonic() - started < 5
    victim.join()
