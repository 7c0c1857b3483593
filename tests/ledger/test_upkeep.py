"""What upkeep asks the record: snapshots that runs name, runs at work, appends since a time."""

from __future__ import annotations

import datetime as dt

from ledger import runs, upkeep
from ledger.appends import Appends
from ledger.pool import Pool
from tests.kit.ledger import Desk
from topology.clock import SystemClock
from topology.ids import new_id

TABLE = "alphaswarm_silver_upkeep.bars_1d"


def test_every_snapshot_that_a_run_of_any_kind_names_is_known(pool: Pool, desk: Desk) -> None:
    for kind, number in (("backtest", "11"), ("data", "22"), ("data", "22"), ("analysis", "33")):
        claim = desk.claimed(kind=kind)
        named = {TABLE: number, "alphaswarm_silver_upkeep.adjustments": "99"}
        runs.pin(pool, claim, snapshot_ids=named, engine={}, run_sha=new_id(SystemClock().now()))
        runs.finish(pool, claim, status="failed", stage="failed", message="over")

    assert upkeep.named(pool, TABLE) == {"11", "22", "33"}
    assert upkeep.named(pool, "alphaswarm_silver_upkeep.nothing") == set()


def test_runs_are_unfinished_until_they_end(pool: Pool, desk: Desk) -> None:
    waiting, working, over = desk.submit(), desk.claimed(), desk.claimed()
    runs.finish(pool, over, status="succeeded", stage="done", message="over")

    found = upkeep.unfinished(pool)

    assert {waiting.run_id, working.run_id} <= found
    assert over.run_id not in found
    runs.cancel(pool, waiting.run_id, by="tests")
    assert waiting.run_id not in upkeep.unfinished(pool)


def test_appends_are_counted_by_table_since_a_time(pool: Pool, app_dsn: str) -> None:
    log, since = Appends(pool, app_dsn), SystemClock().now()
    for table, count in ((TABLE, 3), (f"{TABLE}_revisions", 2)):
        for _ in range(count):
            key = new_id(SystemClock().now())
            log.claim(table, key, "0" * 64, 1, "r")
            log.settle(table, key, "1")
    log.claim(TABLE, new_id(SystemClock().now()), "0" * 64, 1, "r")  # never arrived

    written = upkeep.written(pool, since)

    assert written.most == 3
    assert written.first is not None
    assert since < written.first < SystemClock().now()
    assert upkeep.written(pool, SystemClock().now() + dt.timedelta(hours=1)).first is None


def test_a_claim_is_unsettled_until_it_is_settled(pool: Pool, app_dsn: str) -> None:
    log, run = Appends(pool, app_dsn), new_id(SystemClock().now())
    for n in (2, 1, 10):
        log.claim(TABLE, f"{run}:s:{n:04d}", "0" * 64, 1, "r")
    log.settle(TABLE, f"{run}:s:0001", "7")

    assert {f"{run}:s:0002", f"{run}:s:0010"} <= set(log.unsettled(TABLE))
    assert f"{run}:s:0001" not in log.unsettled(TABLE)
    assert log.keys(TABLE, f"{run}:s:") == [
        (f"{run}:s:0001", True),
        (f"{run}:s:0002", False),
        (f"{run}:s:0010", False),
    ]
