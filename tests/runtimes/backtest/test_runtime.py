"""A backtest from its spec to the gold tables, with the real ledger, lake and engine."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

from lakehouse import query
from lakehouse.scan import Where
from ledger import runs
from ledger.pool import transaction
from runtimes import dispatch
from runtimes.backtest.runtime import BacktestRuntime
from runtimes.base import perform
from runtimes.context import Workshop
from runtimes.engine.identity import identity
from runtimes.specs.base import parse
from tests.kit.market import put, walks
from tests.kit.work import frames_of, with_lease
from topology.canonical import sha256
from topology.errors import AlphaSwarmError
from topology.latch import Latch
from topology.principal import Principal

TABLE = "alphaswarm_silver_runtime.bars_1d"
SYMBOLS = ["AAA.TEST", "BBB.TEST", "CCC.TEST"]
ANNA = Principal(subject="anna", client_id="tests")


@pytest.fixture(scope="module", autouse=True)
def bars(workshop: Workshop) -> None:
    """Put 400 days of three symbols into the lake, once."""
    put(workshop, TABLE, walks(SYMBOLS, bars=400))


def spec(**changes: Any) -> dict[str, Any]:
    """Return a small momentum spec over the test's bars."""
    return {
        "kind": "backtest",
        "name": "small",
        "universe": {"symbols": SYMBOLS},
        "data": {"table": TABLE, "start": "2001-03-01", "end": "2001-12-31", "adjust": "none"},
        "strategy": {"name": "momentum", "params": {"lookback": 20, "top": 2}},
        "seed": 7,
    } | changes


def submit(workshop: Workshop, body: dict[str, Any]) -> dispatch.Handle:
    return dispatch.submit(
        workshop.pool,
        parse("backtest", body),
        principal=ANNA,
        queue="interactive",
        clock=workshop.clock,
    )


def pinned(
    workshop: Workshop, handle: dispatch.Handle, snapshot_ids: dict[str, str], *, lease_s: float
) -> runs.Claim:
    """Do what an attempt does first, claim and pin, and then nothing more."""
    claim = runs.claim(workshop.pool, "backtest", handle.run_id, worker="dies", lease_s=lease_s)
    assert claim is not None
    asked = {
        "spec_sha256": handle.spec_hash,
        "inputs": {},
        "snapshot_ids": snapshot_ids,
        "seed": 7,
        "engine": identity(),
    }
    runs.pin(
        workshop.pool,
        claim,
        snapshot_ids=snapshot_ids,
        engine=identity(),
        run_sha=sha256(asked),
    )
    return claim


def backtest(workshop: Workshop, body: dict[str, Any]) -> runs.Run:
    """Submit a spec, perform it in this thread, and return the run's row."""
    handle = submit(workshop, body)
    perform(workshop, "backtest", handle.run_id, BacktestRuntime)
    return runs.get(workshop.pool, handle.run_id)


def test_a_backtest_ends_with_statistics_tables_and_both_digests(workshop: Workshop) -> None:
    run = backtest(workshop, spec())

    assert run.status == "succeeded", run.error
    assert run.statistics is not None
    assert run.result_tables is not None
    assert run.statistics["partial"] is False
    assert run.statistics["bars"] == 306
    assert run.snapshot_ids is not None
    assert set(run.snapshot_ids) == {TABLE}
    assert run.run_sha == sha256(
        {
            "spec_sha256": run.spec_sha256,
            "inputs": {},
            "snapshot_ids": run.snapshot_ids,
            "seed": 7,
            "engine": run.engine,
        }
    )
    with transaction(workshop.pool) as connection:
        row = connection.execute(
            "SELECT sharpe, total_return, max_drawdown FROM backtest_runs WHERE run_id = %s",
            (run.run_id,),
        ).fetchone()
    assert row is not None
    assert row["sharpe"] == pytest.approx(run.statistics["sharpe"])
    assert row["max_drawdown"] == pytest.approx(run.statistics["max_drawdown"])


def test_its_frames_count_the_bars_and_end_with_the_result(workshop: Workshop) -> None:
    run = backtest(workshop, spec())

    frames = frames_of(workshop.pool, run.task_id)
    counts = [frame.extras for frame in frames if frame.stage == "bar.processed"]
    assert frames[0].stage == "start"
    assert counts[-1]["current"] == counts[-1]["total"] == 306
    assert frames[-1].stage == "done"
    assert frames[-1].extras["run_id"] == run.run_id
    assert frames[-1].extras["result"] == {
        "statistics": run.statistics,
        "result_tables": run.result_tables,
        "run_sha": run.run_sha,
        "result_sha": run.result_sha,
    }


def test_the_gold_tables_hold_what_the_statistics_say(workshop: Workshop) -> None:
    run = backtest(workshop, spec())
    assert run.result_tables is not None
    assert run.statistics is not None

    curve = query.read(workshop.lake, run.result_tables["equity"])
    fills = query.read(workshop.lake, run.result_tables["fills"], where=Where(run_id=run.run_id))
    numbers = query.read(
        workshop.lake, run.result_tables["statistics"], where=Where(run_id=run.run_id)
    )

    assert curve.num_rows == 306
    equity = curve.column("equity").to_numpy()
    assert equity[-1] / 100_000 - 1 == pytest.approx(run.statistics["total_return"])
    signed = (
        np.where(np.array(fills.column("side").to_pylist()) == "buy", -1.0, 1.0)
        * fills.column("quantity").to_numpy()
        * fills.column("price").to_numpy()
    )
    cash = 100_000 + signed.sum() - fills.column("fee").to_numpy().sum()
    assert cash == pytest.approx(curve.column("cash").to_numpy()[-1], rel=1e-9)
    stored = dict(
        zip(numbers.column("name").to_pylist(), numbers.column("value").to_pylist(), strict=True)
    )
    assert stored["sharpe"] == run.statistics["sharpe"]


def test_the_same_spec_on_the_same_bars_is_the_same_work_with_the_same_result(
    workshop: Workshop,
) -> None:
    first, second = backtest(workshop, spec()), backtest(workshop, spec())

    assert first.run_id != second.run_id
    assert (first.run_sha, first.result_sha) == (second.run_sha, second.result_sha)
    assert first.statistics == second.statistics


def test_look_back_bars_before_the_start_are_read_but_not_simulated(workshop: Workshop) -> None:
    run = backtest(workshop, spec())
    assert run.result_tables is not None

    fills = query.read(workshop.lake, run.result_tables["fills"], where=Where(run_id=run.run_id))
    first = fills.column("timestamp").to_pylist()[0]
    assert str(first.date()) == "2001-03-02"  # decided on the first day, filled on the next


def test_a_later_attempt_reads_what_the_first_one_pinned(workshop: Workshop) -> None:
    table = "alphaswarm_silver_pinned.bars_1d"
    put(workshop, table, walks(["AAA.TEST"], bars=100))
    body = spec(universe={"symbols": ["AAA.TEST"]}, strategy={"name": "buy_and_hold"})
    body["data"] = body["data"] | {"table": table, "start": "2001-01-01"}
    handle = submit(workshop, body)
    old = query.resolve(workshop.lake, [table])
    pinned(workshop, handle, old, lease_s=0.5)
    put(workshop, table, walks(["AAA.TEST"], bars=200).slice(100))
    time.sleep(0.5)

    perform(workshop, "backtest", handle.run_id, BacktestRuntime)

    run = runs.get(workshop.pool, handle.run_id)
    assert run.status == "succeeded", run.error
    assert run.statistics is not None
    assert (run.attempts, run.snapshot_ids, run.statistics["bars"]) == (2, old, 100)


def test_another_result_for_the_same_work_is_refused(workshop: Workshop) -> None:
    """A row says that the same work once gave something else, on a broken machine perhaps."""
    handle = submit(workshop, spec(name="diverges"))
    claim = pinned(workshop, handle, query.resolve(workshop.lake, [TABLE]), lease_s=30)
    elsewhere = "f" * 64
    assert runs.finish(
        workshop.pool,
        claim,
        status="succeeded",
        stage="done",
        message="Done.",
        result_sha=elsewhere,
    )

    run = backtest(workshop, spec(name="diverges"))

    assert run.status == "failed"
    assert run.error is not None
    assert run.error["code"] == "replay_diverged"
    assert run.error["facts"]["earlier"] == elsewhere
    assert run.result_tables is None


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        pytest.param({"universe": {"symbols": ["AAB.TEST"]}}, "unknown_name", id="no such symbol"),
        pytest.param({"benchmark": "SPY.ARCA"}, "unknown_name", id="no such benchmark"),
        pytest.param(
            {"data": {"table": TABLE, "start": "1990-01-01", "end": "1990-12-31"}},
            "empty_window",
            id="before the first bar",
        ),
        pytest.param(
            {"data": {"table": TABLE, "start": "2020-01-01", "end": "2020-12-31"}},
            "empty_window",
            id="after the last bar",
        ),
        pytest.param(
            {
                "data": {
                    "table": "alphaswarm_silver_runtme.bars_1d",
                    "start": "2001-01-01",
                    "end": "2001-12-31",
                }
            },
            "table_not_found",
            id="no such table",
        ),
    ],
)
def test_what_the_lake_does_not_hold_fails_with_the_way_out(
    workshop: Workshop, changes: dict[str, Any], code: str
) -> None:
    run = backtest(workshop, spec(**changes))

    assert run.status == "failed"
    assert run.error is not None
    assert run.error["code"] == code
    assert run.error["hint"]
    if code == "empty_window":
        assert run.error["facts"]["first"] == "2001-01-01T21:00:00Z"


def test_a_halt_in_the_middle_keeps_the_bars_so_far_and_says_partial(
    workshop: Workshop,
) -> None:
    """The checkpoint before the second chunk sees the halt that was pressed in the first."""
    handle = submit(workshop, spec(name="stopped-midway"))
    scope = f"run:{handle.run_id}"

    class PressesAfterTheFirstChunk(BacktestRuntime):
        def work(self, context: Any) -> Any:
            emit = context.emit

            def watching(stage: str, message: str, **extras: Any) -> None:
                emit(stage, message, **extras)
                if stage == "bar.processed":
                    with Latch.open(workshop.home.latch) as latch:
                        latch.press(scope)

            context.emit = watching
            return super().work(context)

    perform(with_lease(workshop, 30), "backtest", handle.run_id, PressesAfterTheFirstChunk)

    run = runs.get(workshop.pool, handle.run_id)
    assert run.status == "halted", run.error
    assert run.statistics is not None
    assert run.result_tables is not None
    assert run.statistics["partial"] is True
    assert 0 < run.statistics["bars"] < 306
    assert run.result_sha is None
    curve = query.read(workshop.lake, run.result_tables["equity"])
    assert curve.num_rows == run.statistics["bars"]
    last = frames_of(workshop.pool, run.task_id)[-1]
    assert (last.stage, last.extras["scope"]) == ("halted", scope)
    assert last.extras["result"]["statistics"]["partial"] is True


@pytest.mark.parametrize("attempt", [1, 2])
def test_the_error_of_a_backtest_never_holds_a_path_or_sql(
    workshop: Workshop, attempt: int
) -> None:
    run = backtest(workshop, spec(universe={"symbols": [f"NONE{attempt}.TEST"]}))

    assert run.error is not None
    text = str(run.error)
    assert str(workshop.home.root) not in text
    assert "SELECT" not in text
    with pytest.raises(AlphaSwarmError):
        query.read(workshop.lake, f"alphaswarm_gold_backtests.run_{run.run_id}")
