"""Walk-forwards through the public door: what is chosen where, and judged on which bars."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import numpy as np
import pytest

from lakehouse import query
from lakehouse.scan import Where
from ledger import runs
from runtimes import dispatch
from runtimes.backtest import playing
from runtimes.backtest.runtime import BacktestRuntime
from runtimes.base import perform
from runtimes.context import Workshop
from runtimes.specs.base import parse
from tests.kit.market import put, walks
from topology.latch import Latch
from topology.principal import Principal

TABLE = "alphaswarm_silver_walkforward.bars_1d"
SYMBOLS = ["AAA.TEST", "BBB.TEST"]
WALKER = Principal(subject="walker", client_id="tests")
SWEEP: dict[str, Any] = {
    "params": {"strategy.params.fast": [3, 6], "strategy.params.slow": [10, 20]}
}
ROLLING: dict[str, Any] = {"mode": "rolling", "train": 60, "test": 30, "purge": 2}


@pytest.fixture(scope="module", autouse=True)
def bars(workshop: Workshop) -> None:
    """Put 300 days of two symbols into the lake, weekends too: a bar is a day."""
    put(workshop, TABLE, walks(SYMBOLS, bars=300, seed=11))


def spec(**changes: Any) -> dict[str, Any]:
    """Return a crossover spec over 200 bars that begin on 2001-02-10."""
    return {
        "kind": "backtest",
        "name": "walk-small",
        "universe": {"symbols": SYMBOLS},
        "data": {"table": TABLE, "start": "2001-02-10", "end": "2001-08-28", "adjust": "none"},
        "strategy": {"name": "sma_cross", "params": {"fast": 3, "slow": 10}},
    } | changes


def submit(workshop: Workshop, body: dict[str, Any], **inputs: Any) -> dispatch.Handle:
    return dispatch.submit(
        workshop.pool,
        parse("backtest", body),
        principal=WALKER,
        queue="interactive",
        clock=workshop.clock,
        inputs=inputs,
    )


def run(workshop: Workshop, body: dict[str, Any], **inputs: Any) -> runs.Run:
    """Submit a spec, perform it in this thread, and return the run's row."""
    handle = submit(workshop, body, **inputs)
    perform(workshop, "backtest", handle.run_id, BacktestRuntime)
    return runs.get(workshop.pool, handle.run_id)


def rows_of(workshop: Workshop, found: runs.Run, role: str) -> list[dict[str, Any]]:
    assert found.status == "succeeded", found.error
    assert found.result_tables is not None
    name = found.result_tables[role]
    rows = query.read(workshop.lake, name, where=Where(run_id=found.run_id)).to_pylist()
    return sorted(rows, key=lambda row: (row["split"], row["trial"], row.get("timestamp")))


def single(workshop: Workshop, params: dict[str, Any], first: int, last: int) -> list[float]:
    """Return the equity of a single run of ``params``, traded bars ``first`` to ``last``."""
    start = dt.date(2001, 2, 10)
    days = {"start": start + dt.timedelta(first), "end": start + dt.timedelta(last)}
    own = {path.rpartition(".")[2]: value for path, value in params.items()}
    body = spec(strategy={"name": "sma_cross", "params": own})
    body["data"] = body["data"] | {name: str(day) for name, day in days.items()}
    found = run(workshop, body)
    assert found.result_tables is not None
    equity = query.read(workshop.lake, found.result_tables["equity"]).column("equity")
    return [float(value) for value in equity.to_pylist()]


def test_each_window_is_the_single_run_of_its_days_and_the_best_in_sample_is_taken(
    workshop: Workshop,
) -> None:
    """200 bars, train 60, purge 2, test 30: tests begin at bars 62, 92, 122 and 152."""
    walked = run(workshop, spec(sweep=SWEEP, walk_forward=ROLLING))

    trials = rows_of(workshop, walked, "trials")
    splits = sorted({row["split"] for row in trials})
    names = [f"in-{n:03d}" for n in range(4)] + [f"out-{n:03d}" for n in range(4)]
    assert splits == [*names, "path-000"]
    inside = [row for row in trials if row["split"] == "in-001"]
    assert [row["trial"] for row in inside] == [0, 1, 2, 3]
    chosen = max(inside, key=lambda row: row["sharpe"])
    (outside,) = (row for row in trials if row["split"] == "out-001")
    assert (outside["trial"], outside["params"]) == (chosen["trial"], chosen["params"])

    trained = single(workshop, json.loads(inside[2]["params"]), 30, 89)
    assert inside[2]["total_return"] == trained[-1] / 100_000 - 1
    tested = single(workshop, json.loads(chosen["params"]), 92, 121)
    assert outside["total_return"] == tested[-1] / 100_000 - 1


def test_the_stitched_path_is_the_test_windows_one_after_the_other(workshop: Workshop) -> None:
    walked = run(workshop, spec(sweep=SWEEP, walk_forward=ROLLING))

    path = rows_of(workshop, walked, "trial_equity")
    trials = rows_of(workshop, walked, "trials")
    outside = [row for row in trials if row["split"].startswith("out-")]
    begin = dt.datetime(2001, 2, 10, 21, tzinfo=dt.UTC)
    assert {row["trial"] for row in path} == {-1}
    assert [row["timestamp"] for row in path] == [
        begin + dt.timedelta(62 + bar) for bar in range(120)
    ]
    ends = [path[30 * n + 29]["equity"] for n in range(4)]
    grown = np.cumprod([1 + row["total_return"] for row in outside])
    assert ends == pytest.approx(100_000 * grown)
    assert walked.statistics is not None
    assert walked.statistics["total_return"] == pytest.approx(grown[-1] - 1)
    assert walked.statistics["bars"] == 120
    assert walked.statistics["trials"] == 4
    told = walked.statistics["degradation"]
    ins = [one["in_sample"] for one in walked.statistics["splits"]]
    assert told["in_sample"] == pytest.approx(np.mean(ins))
    assert told["out_of_sample"] == pytest.approx(np.mean([row["sharpe"] for row in outside]))
    inside = [row["sharpe"] for row in trials if row["split"].startswith("in-")]
    ratios = np.reshape(inside, (4, 4)).mean(axis=0)  # of each trial, over the four trainings
    assert walked.statistics["trial_sharpes"] == pytest.approx(
        {"count": 4, "mean": ratios.mean(), "variance": ratios.var(ddof=1)}
    )


def test_purge_and_embargo_both_lie_between_train_and_test(workshop: Workshop) -> None:
    """Purge 2 or purge 1 and embargo 1: the same bars, so the same trials and path."""
    changed = ROLLING | {"purge": 1, "embargo": 1}
    one, other = (
        run(workshop, spec(sweep=SWEEP, walk_forward=block)) for block in (ROLLING, changed)
    )
    assert (other.status, other.result_sha) == ("succeeded", one.result_sha)


@pytest.mark.parametrize(
    ("block", "count", "trainings"),
    [
        pytest.param(ROLLING | {"retrain": 2}, 4, 2, id="chosen for every other window"),
        pytest.param(ROLLING | {"mode": "expanding"}, 4, 4, id="expanding"),
        pytest.param(ROLLING | {"step": 60}, 2, 2, id="windows apart"),
        pytest.param(ROLLING | {"unit": "days"}, 4, 4, id="in days: here a bar is a day"),
        pytest.param({"mode": "kfold", "groups": 5, "purge": 3, "embargo": 3}, 5, 5, id="k-fold"),
    ],
)
def test_modes_have_so_many_splits_and_one_path(
    workshop: Workshop, block: dict[str, Any], count: int, trainings: int
) -> None:
    walked = run(workshop, spec(sweep=SWEEP, walk_forward=block))

    trials = rows_of(workshop, walked, "trials")
    assert walked.statistics is not None
    assert len(walked.statistics["splits"]) == count
    assert sum(row["split"].startswith("in-") for row in trials) == 4 * trainings
    assert sum(row["split"].startswith("path-") for row in trials) == 1


def test_cpcv_has_paths_that_hold_every_group_once(workshop: Workshop) -> None:
    """(6, 2): 15 splits, 5 paths of all 200 bars (Lopez de Prado 2018, chapter 12)."""
    block = {"mode": "cpcv", "groups": 6, "test_groups": 2, "purge": 1, "embargo": 1}

    walked = run(workshop, spec(sweep=SWEEP, walk_forward=block))

    points = rows_of(workshop, walked, "trial_equity")
    assert walked.statistics is not None
    assert len(walked.statistics["splits"]) == 15
    assert walked.statistics["paths"]["count"] == 5
    for number in range(5):
        own = [row for row in points if row["split"] == f"path-{number:03d}"]
        assert len({row["timestamp"] for row in own}) == len(own) == 200
    ratios = walked.statistics["paths"]["sharpe"]
    assert walked.statistics["sharpe"] == sorted(ratios)[2]
    assert walked.statistics["paths"]["mean"] == pytest.approx(np.mean(ratios))


def test_one_set_of_parameters_can_be_walked_too(workshop: Workshop) -> None:
    walked = run(workshop, spec(walk_forward=ROLLING))

    assert walked.status == "succeeded", walked.error
    assert walked.statistics is not None
    assert walked.statistics["trials"] == 1
    assert [one["trial"] for one in walked.statistics["splits"]] == [0, 0, 0, 0]


@pytest.mark.parametrize(
    ("block", "code"),
    [
        pytest.param(
            {"train": 180, "test": 30}, "bad_splits", id="one window is longer than the data"
        ),
        pytest.param(
            {"mode": "cpcv", "groups": 6, "test_groups": 5, "purge": 40},
            "bad_splits",
            id="the purge leaves nothing",
        ),
        pytest.param(
            {"mode": "cpcv", "groups": 20, "test_groups": 19},
            "not_enough_history",
            id="one group is shorter than the look-back",
        ),
    ],
)
def test_splits_that_the_data_does_not_allow_fail(
    workshop: Workshop, block: dict[str, Any], code: str
) -> None:
    walked = run(workshop, spec(sweep=SWEEP, walk_forward=block))

    assert walked.status == "failed"
    assert walked.error is not None
    assert walked.error["code"] == code
    assert walked.result_tables is None


def test_a_halted_walk_keeps_its_windows_and_another_run_goes_on_from_them(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(playing, "FRAME_S", 0.0)
    monkeypatch.setattr(playing, "LOOK_S", 0.0)
    body = spec(name="walk-halted", sweep=SWEEP, walk_forward=ROLLING)
    handle = submit(workshop, body)

    class Presses(BacktestRuntime):
        def work(self, context: Any) -> Any:
            emit = context.emit

            def watching(stage: str, message: str, **extras: Any) -> None:
                emit(stage, message, **extras)
                if stage == "trial.done" and extras["current"] == 7:
                    with Latch.open(workshop.home.latch) as latch:
                        latch.press(f"run:{handle.run_id}")

            context.emit = watching
            return super().work(context)

    perform(workshop, "backtest", handle.run_id, Presses)
    stopped = runs.get(workshop.pool, handle.run_id)
    resumed, whole = run(workshop, body, resume_from=stopped.run_id), run(workshop, body)

    assert stopped.status == "halted", stopped.error
    assert stopped.statistics is not None
    assert stopped.statistics["partial"] is True
    assert resumed.status == "succeeded", resumed.error
    assert resumed.result_sha == whole.result_sha
