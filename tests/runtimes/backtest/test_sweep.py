"""Sweeps from their spec to the gold tables: many trials, one run, the same bits as single runs."""

from __future__ import annotations

import json
import math
import time
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from lakehouse import query
from lakehouse.scan import Where
from ledger import runs
from runtimes import dispatch
from runtimes.backtest import playing, trial_tables
from runtimes.backtest.runtime import BacktestRuntime
from runtimes.base import perform
from runtimes.context import Workshop
from runtimes.specs.backtest import BacktestSpec
from runtimes.specs.base import parse
from tests.kit.market import put, walks
from tests.kit.work import frames_of, with_lease
from topology.errors import LeaseLostError
from topology.latch import Latch
from topology.principal import Principal

TABLE = "alphaswarm_silver_sweep.bars_1d"
SYMBOLS = ["AAA.TEST", "BBB.TEST", "CCC.TEST"]
SWEEPER = Principal(subject="sweeper", client_id="tests")
GRID: dict[str, Any] = {
    "params": {"strategy.params.fast": [3, 5, 8], "strategy.params.slow": [10, 20]},
    "keep": "all",
}
NONE = {"cuts": 0, "noise": 0}
METRICS = ("total_return", "sharpe", "sortino", "cagr", "volatility", "max_drawdown", "end_equity")


@pytest.fixture(scope="module", autouse=True)
def bars(workshop: Workshop) -> None:
    """Put 400 days of three symbols into the lake, one of them with a hole and a late start."""
    rows = walks(SYMBOLS, bars=400)
    gaps = np.ones(rows.num_rows, dtype=bool)
    gaps[800:870] = False
    gaps[1000:1010] = False
    put(workshop, TABLE, rows.filter(gaps))


def spec(**changes: Any) -> dict[str, Any]:
    """Return a small crossover spec over the test's bars."""
    return {
        "kind": "backtest",
        "name": "sweep-small",
        "universe": {"symbols": SYMBOLS},
        "data": {"table": TABLE, "start": "2001-03-01", "end": "2001-12-31", "adjust": "none"},
        "strategy": {"name": "sma_cross", "params": {"fast": 3, "slow": 10}},
        "seed": 7,
    } | changes


def submit(workshop: Workshop, body: dict[str, Any], **inputs: Any) -> dispatch.Handle:
    return dispatch.submit(
        workshop.pool,
        parse("backtest", body),
        principal=SWEEPER,
        queue="interactive",
        clock=workshop.clock,
        inputs=inputs,
    )


def run(workshop: Workshop, body: dict[str, Any], **inputs: Any) -> runs.Run:
    """Submit a spec, perform it in this thread, and return the run's row."""
    handle = submit(workshop, body, **inputs)
    perform(workshop, "backtest", handle.run_id, BacktestRuntime)
    return runs.get(workshop.pool, handle.run_id)


def with_limits(workshop: Workshop, **limits: Any) -> Workshop:
    """Return the workshop of an installation with other limits."""
    own = workshop.topology.limits.model_copy(update=limits)
    return replace(workshop, topology=workshop.topology.model_copy(update={"limits": own}))


def rows_of(workshop: Workshop, found: runs.Run, role: str) -> list[dict[str, Any]]:
    assert found.result_tables is not None
    name = found.result_tables[role]
    rows = query.read(workshop.lake, name, where=Where(run_id=found.run_id)).to_pylist()
    return sorted(rows, key=lambda row: (row["split"], row["trial"], row.get("timestamp")))


def test_what_makes_a_single_run_doubtful_is_said_of_a_sweep_too(workshop: Workshop) -> None:
    """CCC has its first bar late, prices are raw, and one trial fills at its own close."""
    params = {"execution.fill": ["next_open", "same_close"]}
    swept = run(workshop, spec(sweep={"params": params}))
    alone = run(workshop, spec(execution={"fill": "same_close"}, audit=NONE))

    def codes(found: runs.Run) -> set[str]:
        assert found.statistics is not None
        return {warning["code"] for warning in found.statistics["warnings"]}

    data = {"survivorship", "late_listing", "raw_prices_no_actions", "same_bar_fill"}
    assert codes(swept) >= data
    assert codes(swept) <= codes(alone)
    assert swept.statistics is not None
    assert not swept.statistics["verdict"]["facts"]["same_bar_fill"]["kept"]


def test_a_trial_is_the_single_run_of_its_parameters_bit_for_bit(workshop: Workshop) -> None:
    swept = run(workshop, spec(sweep=GRID))

    assert swept.status == "succeeded", swept.error
    trials, curves = rows_of(workshop, swept, "trials"), rows_of(workshop, swept, "trial_equity")
    assert [row["trial"] for row in trials] == list(range(6))
    for row in trials:
        params = {path.rpartition(".")[2]: v for path, v in json.loads(row["params"]).items()}
        single = run(workshop, spec(strategy={"name": "sma_cross", "params": params}, audit=NONE))
        assert single.result_tables is not None
        assert single.statistics is not None
        alone = query.read(workshop.lake, single.result_tables["equity"])
        own = [point["equity"] for point in curves if point["trial"] == row["trial"]]
        assert own == alone.column("equity").to_pylist()
        told = json.loads(row["statistics"])
        assert {name: told[name] for name in METRICS} == {
            name: single.statistics[name] for name in METRICS
        }
        assert row["sharpe"] == single.statistics["sharpe"]


def test_the_run_tells_the_best_trial_and_how_far_it_can_be_believed(workshop: Workshop) -> None:
    swept = run(workshop, spec(sweep=GRID))

    trials, told = rows_of(workshop, swept, "trials"), swept.statistics
    assert told is not None
    best = max(trials, key=lambda row: row["sharpe"])
    ratios = [row["sharpe"] for row in trials]
    assert told["best_trial"] == best["trial"]
    assert told["best_params"] == json.loads(best["params"])
    assert told["sharpe"] == best["sharpe"]
    assert (told["trials"], told["failed_trials"]) == (6, 0)
    assert told["trial_sharpes"] == pytest.approx(
        {"count": 6, "mean": np.mean(ratios), "variance": np.var(ratios, ddof=1)}
    )
    assert 0.0 <= told["pbo"] <= 1.0
    assert told["pbo_combinations"] == math.comb(16, 8)
    assert told["trials_counted"] >= 6
    assert told["deflated_sharpe"] < told["probabilistic_sharpe"]
    by_fast = told["parameters"]["strategy.params.fast"]
    assert [group["value"] for group in by_fast] == [3, 5, 8]
    assert by_fast[0]["mean"] == pytest.approx(np.mean(ratios[:2]))
    assert told["heatmap"]["rows"] == [3, 5, 8]
    assert told["heatmap"]["columns"] == [10, 20]
    assert np.ravel(told["heatmap"]["values"]).tolist() == ratios


def test_the_threads_change_nothing(workshop: Workshop) -> None:
    """The same run_sha: another result would fail as replay_diverged."""
    sweep = workshop.topology.limits.sweep
    found = [run(workshop, spec(sweep=GRID))]
    for threads in (1, 5):
        own = with_limits(workshop, sweep=sweep.model_copy(update={"threads": threads}))
        found.append(run(own, spec(sweep=GRID)))

    assert {one.status for one in found} == {"succeeded"}
    assert len({(one.run_sha, one.result_sha) for one in found}) == 1


def test_frames_count_trials_and_the_last_one_always_comes(workshop: Workshop) -> None:
    swept = run(workshop, spec(sweep=GRID))

    frames = [f.extras for f in frames_of(workshop.pool, swept.task_id) if f.stage == "trial.done"]
    assert frames[-1].items() >= {"trial": 5, "current": 6, "total": 6}.items()


@pytest.mark.parametrize(
    ("keep", "kept"),
    [pytest.param("top:2", 2, id="the best two"), pytest.param("none", 0, id="nobody")],
)
def test_equity_is_stored_of_those_that_keep_names(
    workshop: Workshop, keep: str, kept: int
) -> None:
    swept = run(workshop, spec(sweep=GRID | {"keep": keep}))

    trials = rows_of(workshop, swept, "trials")
    best = sorted(trials, key=lambda row: -row["sharpe"])[:kept]
    assert swept.result_tables is not None
    stored = rows_of(workshop, swept, "trial_equity") if kept else []
    assert {row["trial"] for row in stored} == {row["trial"] for row in best}
    assert ("trial_equity" in swept.result_tables) == bool(kept)


def test_a_random_sweep_draws_from_the_seed_and_never_the_same_twice(workshop: Workshop) -> None:
    block = {
        "method": "random",
        "trials": 7,
        "params": {
            "strategy.params.fast": {"distribution": "int", "low": 2, "high": 6},
            "portfolio.cash": {"distribution": "log", "low": 1e4, "high": 1e6},
            "execution.fee": [{"model": "zero"}, {"model": "bps", "bps": 5}],
        },
        "constraints": [["strategy.params.fast", "<", "strategy.params.slow"]],
    }

    def draw(**changes: Any) -> list[dict[str, Any]]:
        parsed = BacktestSpec.model_validate(spec(sweep=block, **changes))
        return [dict(trial.params) for trial in parsed.trials]

    drawn, again, other = draw(), draw(), draw(seed=8)

    assert drawn == again
    assert drawn != other
    assert len({json.dumps(params, sort_keys=True) for params in drawn}) == 7
    swept = run(workshop, spec(sweep=block))
    assert swept.status == "succeeded", swept.error
    assert [json.loads(row["params"]) for row in rows_of(workshop, swept, "trials")] == drawn


def test_a_trial_that_fails_is_a_row_with_its_reason(workshop: Workshop) -> None:
    swept = run(workshop, spec(sweep={"params": {"portfolio.leverage": [0.5, 1.0]}}))

    assert swept.status == "succeeded", swept.error
    failed, sound = rows_of(workshop, swept, "trials")
    assert json.loads(failed["statistics"])["error"]["code"] == "invalid_weights"
    assert failed["sharpe"] is None
    assert sound["sharpe"] is not None
    assert swept.statistics is not None
    assert (swept.statistics["trials"], swept.statistics["failed_trials"]) == (2, 1)
    assert swept.statistics["pbo"] is None


def test_a_sweep_of_which_every_trial_fails_fails_with_the_first_reason(
    workshop: Workshop,
) -> None:
    swept = run(workshop, spec(sweep={"params": {"portfolio.leverage": [0.5, 0.6]}}))

    assert swept.status == "failed"
    assert swept.error is not None
    assert swept.error["code"] == "invalid_weights"
    assert swept.error["facts"]["leverage"] == 0.5
    kept = rows_of(workshop, swept, "trials")
    assert len(kept) == 2


def halted(workshop: Workshop, body: dict[str, Any], *, after: int) -> runs.Run:
    """Return a run that is halted when so many of its trials are done."""
    handle = submit(workshop, body)

    class Presses(BacktestRuntime):
        def work(self, context: Any) -> Any:
            emit = context.emit

            def watching(stage: str, message: str, **extras: Any) -> None:
                emit(stage, message, **extras)
                if stage == "trial.done" and extras["current"] >= after:
                    with Latch.open(workshop.home.latch) as latch:
                        latch.press(f"run:{handle.run_id}")

            context.emit = watching
            return super().work(context)

    perform(with_lease(workshop, 30), "backtest", handle.run_id, Presses)
    return runs.get(workshop.pool, handle.run_id)


def test_a_halted_sweep_keeps_its_trials_and_another_run_goes_on_from_them(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(playing, "FRAME_S", 0.0)
    monkeypatch.setattr(playing, "LOOK_S", 0.0)
    body = spec(name="sweep-halted", sweep=GRID | {"keep": "top:1"})

    stopped = halted(workshop, body, after=2)

    assert stopped.status == "halted", stopped.error
    kept = rows_of(workshop, stopped, "trials")
    assert stopped.statistics is not None
    assert stopped.statistics["partial"] is True
    assert 2 <= len(kept) == stopped.statistics["trials"] < 6

    played: list[int] = []
    scores = playing.Players.scores

    def counting(self: Any, trials: Any, on: Any) -> Any:
        played.extend(trial.number for trial in trials)
        return scores(self, trials, on)

    monkeypatch.setattr(playing.Players, "scores", counting)
    resumed = run(workshop, body, resume_from=stopped.run_id)
    whole = run(workshop, body)

    assert resumed.status == "succeeded", resumed.error
    assert played[: 6 - len(kept)] == list(range(len(kept), 6))
    assert rows_but_id(workshop, resumed) == rows_but_id(workshop, whole)
    assert resumed.result_sha == whole.result_sha
    assert resumed.statistics is not None
    assert resumed.statistics["resume_from"] == stopped.run_id


def test_a_sweep_whose_worker_died_has_every_row_once(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two trials fill a batch of equity; the first attempt ends behind the fourth trial."""
    monkeypatch.setattr(trial_tables, "ROWS", 600)
    monkeypatch.setattr(playing, "FRAME_S", 0.0)
    handle = submit(workshop, spec(name="sweep-died", sweep=GRID))

    class Dies(BacktestRuntime):
        def work(self, context: Any) -> Any:
            emit = context.emit

            def watching(stage: str, message: str, **extras: Any) -> None:
                emit(stage, message, **extras)
                if stage == "trial.done" and extras["current"] == 4:
                    raise LeaseLostError("The worker died.")

            context.emit = watching
            return super().work(context)

    perform(with_lease(workshop, 0.5), "backtest", handle.run_id, Dies)
    time.sleep(0.5)  # until the lease has ended
    perform(workshop, "backtest", handle.run_id, BacktestRuntime)

    found = runs.get(workshop.pool, handle.run_id)
    assert (found.status, found.attempts) == ("succeeded", 2), found.error
    points = rows_of(workshop, found, "trial_equity")
    assert len(points) == 6 * 306
    assert len({(row["trial"], row["timestamp"]) for row in points}) == len(points)
    assert len(rows_of(workshop, found, "trials")) == 6


def rows_but_id(workshop: Workshop, found: runs.Run) -> list[dict[str, Any]]:
    return [row | {"run_id": ""} for row in rows_of(workshop, found, "trials")]


def test_a_run_of_another_spec_cannot_be_continued(workshop: Workshop) -> None:
    earlier = run(workshop, spec(sweep=GRID))

    other = run(workshop, spec(sweep=GRID | {"objective": "cagr"}), resume_from=earlier.run_id)

    assert other.status == "failed"
    assert other.error is not None
    assert other.error["code"] == "resume_refused"
    assert "spec" in other.error["message"]


def test_more_trials_than_the_topology_allows_are_refused(workshop: Workshop) -> None:
    sweep = workshop.topology.limits.sweep
    small = with_limits(workshop, sweep=sweep.model_copy(update={"trials": 5}))

    swept = run(small, spec(name="sweep-too-many", sweep=GRID))

    assert swept.error is not None
    assert swept.error["facts"]["errors"][0]["value"] == 6


def test_a_script_is_swept_like_any_other_strategy(workshop: Workshop) -> None:
    """Each trial plays in a process of its own, as its single run does.

    The first one of a version compiles the kernels, on a busy machine for longer than a strategy
    may plan.
    """
    limits = workshop.topology.limits
    patient = limits.strategy.model_copy(update={"plan_s": 600})
    workshop = with_limits(workshop, strategy=patient)
    script = {"name": "bracket_breakout", "params": {"lookback": 10}}
    block = {"params": {"strategy.params.lookback": [5, 10]}, "keep": "all"}

    swept = run(workshop, spec(strategy=script, sweep=block))
    single = run(workshop, spec(strategy=script, audit=NONE))

    assert swept.status == "succeeded", swept.error
    assert single.result_tables is not None
    alone = query.read(workshop.lake, single.result_tables["equity"]).column("equity")
    points = rows_of(workshop, swept, "trial_equity")
    assert [row["equity"] for row in points if row["trial"] == 1] == alone.to_pylist()
    assert len({row["equity"] for row in points}) > 2
