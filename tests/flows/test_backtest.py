"""From data to a result, through dispatch, relay, Valkey and real worker processes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import anyio
import pytest

from lakehouse import query
from lakehouse.lake import open_lake
from ledger.halts import Halts
from ledger.progress.bus import Bus
from ledger.progress.events import history
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
        suite(tmp_path_factory.mktemp("flow")) as opened,
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
