"""From data to a result, through dispatch, relay, Valkey and real worker processes."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import anyio
import pytest

from auth.policy import ACR_MFA
from lakehouse import query
from lakehouse.lake import open_lake
from ledger.halts import Halts
from ledger.progress.bus import Bus
from ledger.progress.events import history
from runtimes.sandbox import calls
from tests.kit.office import ANNA
from tests.kit.suite import Suite, suite, working
from tools import backtest, data, data_jobs
from tools.registry import Office
from topology.clock import SystemClock
from topology.errors import HaltedError
from topology.stores import catalog_uri, valkey_address, warehouse

MOMENTUM: dict[str, Any] = {
    "kind": "backtest",
    "name": "momentum-top3",
    "universe": {"symbols": ["AAPL.NASDAQ", "FB.NASDAQ", "GOOG.NASDAQ", "IBM.NYSE", "MSFT.NASDAQ"]},
    "data": {"start": "2001-01-01", "end": "2012-12-31", "adjust": "total"},
    "strategy": {
        "name": "momentum",
        "params": {"lookback": 126, "top": 3, "rebalance": "monthly"},
    },
    "execution": {"slippage": {"model": "bps", "bps": 1}},
    "seed": 7,
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Suite]:
    """Yield a suite whose three worker groups run what the product runs."""
    with (
        suite(tmp_path_factory.mktemp("flow"), strategy={"bar_s": 4}) as opened,
        working(opened, "runtimes.groups"),
    ):
        yield opened


@pytest.fixture(scope="module")
def desk(place: Suite) -> Office:
    """Return what a server of that suite hands to tools."""
    address = valkey_address(place.topology, place.home)
    bus = Bus(socket=address.socket, url=address.url, password=address.password() or "")
    return Office(
        topology=place.topology,
        home=place.home,
        pool=place.pool,
        bus=bus,
        lake=open_lake(
            catalog_uri(place.topology, place.home, "alphaswarm_reader"),
            str(warehouse(place.topology, place.home)),
        ),
        halts=Halts(place.pool, place.home, bus),
        clock=SystemClock(),
    )


async def silent(value: float, total: float | None, message: str) -> None:
    """Take a progress report and do nothing with it."""


async def test_the_sample_and_a_momentum_backtest_twice_bit_for_bit(desk: Office) -> None:
    handle = await data_jobs.ingest("sample", office=desk, caller=ANNA)
    assert handle.run_id is not None
    ingested = await data.get_run(handle.run_id, 50, office=desk, caller=ANNA, report=silent)
    assert ingested.status == "succeeded", ingested.error

    views = []
    for _ in range(2):
        submitted = await backtest.submit_backtest(MOMENTUM, office=desk, caller=ANNA)
        views.append(
            await backtest.get_run(submitted.run_id, 50, office=desk, caller=ANNA, report=silent)
        )
    first, second = views

    assert first.status == second.status == "succeeded", (first.error, second.error)
    assert first.run_id != second.run_id
    assert (first.run_sha, first.result_sha) == (second.run_sha, second.result_sha)
    assert first.statistics is not None
    assert first.statistics["sharpe"] is not None
    assert first.snapshot_ids is not None
    assert set(first.snapshot_ids) >= {
        "alphaswarm_silver_market.bars_1d",
        "alphaswarm_silver_market.adjustments",
    }
    curves = [
        query.read(desk.lake, view.result_tables["equity"]).column("equity").to_pylist()
        for view in views
        if view.result_tables
    ]
    assert len(curves[0]) == 3_017
    assert curves[0] == curves[1]


async def test_the_frames_of_a_run_reach_the_ledger_in_order(desk: Office) -> None:
    submitted = await backtest.submit_backtest(
        MOMENTUM | {"name": "framed"}, office=desk, caller=ANNA
    )
    view = await backtest.get_run(submitted.run_id, 50, office=desk, caller=ANNA, report=silent)

    frames = history(desk.pool, view.task_id)
    assert [frame.seq for frame in frames] == list(range(1, len(frames) + 1))
    assert frames[0].stage == "start"
    assert frames[-1].stage == "done"
    assert frames[-1].extras["run_id"] == view.run_id
    assert frames[-1].extras["result"]["result_sha"] == view.result_sha
    assert [f.extras["current"] for f in frames if f.stage == "bar.processed"][-1] == 3_017


@pytest.mark.skipif(bool(calls.lacking()), reason="no Landlock")
async def test_source_that_never_returns_fails_and_its_worker_goes_on(
    place: Suite, desk: Office
) -> None:
    """Through dispatch, Valkey and a real worker: the bars before it are kept, nobody dies."""
    workers = place.workers("interactive")
    code = """
class Strategy:
    def on_bar(self, account):
        if account.bar == 0:
            account.target("IBM.NYSE", 0.5)
        while account.bar == 40:
            pass
"""
    hangs = MOMENTUM | {"name": "hangs", "strategy": {"name": "endless", "code": code}}
    person = replace(
        ANNA, scopes=frozenset({"backtest:code"}), acr=ACR_MFA, auth_time=int(time.time())
    )
    submitted = await backtest.submit_backtest(hangs, office=desk, caller=person)
    view = await asyncio.to_thread(place.ended, submitted.run_id, within_s=120)

    assert view.status == "failed"
    assert view.error is not None
    assert view.error["code"] == "strategy_error"
    assert view.error["facts"] == {
        "limit_s": 4.0,
        "bar": 40,
        "timestamp": "2001-03-01T21:00:00Z",
    }
    assert view.statistics is not None
    assert view.statistics["partial"] is True
    assert view.result_tables is not None
    kept = query.read(desk.lake, view.result_tables["equity"])
    assert kept.num_rows == 40
    assert len(set(kept.column("equity").to_pylist())) > 30, "it had traded"
    assert place.workers("interactive") == workers
    after = await backtest.submit_backtest(MOMENTUM | {"name": "after"}, office=desk, caller=ANNA)
    ended = await asyncio.to_thread(place.ended, after.run_id, within_s=120)
    assert ended.status == "succeeded", ended.error


def test_the_break_glass_halt_stops_new_work_and_a_lift_lets_it_go_on(
    place: Suite, desk: Office
) -> None:
    scope = "kind:backtest"
    command = [sys.executable, "-m", "topology.latch", "halt", scope, "--reason", "a drill"]
    subprocess.run(command, env=dict(place.environ), check=True, capture_output=True)
    place.until(
        lambda: scope in [halt.scope for halt in desk.halts.status().scopes],
        within_s=15,
        what="the halt is in the record",
    )

    with pytest.raises(HaltedError):
        anyio.run(lambda: backtest.submit_backtest(MOMENTUM, office=desk, caller=ANNA))
    epoch = next(halt.epoch for halt in desk.halts.status().scopes if halt.scope == scope)
    desk.halts.lift(scope, epoch=epoch, actor="anna", acr="", auth_time=0, reason="over")
    submitted = anyio.run(lambda: backtest.submit_backtest(MOMENTUM, office=desk, caller=ANNA))

    assert place.ended(submitted.run_id, within_s=50).status == "succeeded"
