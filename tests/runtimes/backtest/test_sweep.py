"""Sweeps from their spec to the gold tables: many trials, one run, the same bits as single runs."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from lakehouse import query
from lakehouse.scan import Where
from ledger import runs
from runtimes import dispatch
from runtimes.backtest.runtime import BacktestRuntime
from runtimes.base import perform
from runtimes.context import Workshop
from runtimes.specs.base import parse
from tests.kit.market import put, walks
from tests.kit.work import frames_of
from topology.principal import Principal

TABLE = "alphaswarm_silver_sweep.bars_1d"
SYMBOLS = ["AAA.TEST", "BBB.TEST", "CCC.TEST"]
SWEEPER = Principal(subject="sweeper", client_id="tests")
GRID: dict[str, Any] = {
    "params": {"strategy.params.fast": [3, 5, 8], "strategy.params.slow": [10, 20]},
    "keep": "all",
}
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


def run(workshop: Workshop, body: dict[str, Any], **inputs: Any) -> runs.Run:
    """Submit a spec, perform it in this thread, and return the run's row."""
    handle = dispatch.submit(
        workshop.pool,
        parse("backtest", body),
        principal=SWEEPER,
        queue="interactive",
        clock=workshop.clock,
        inputs=inputs,
    )
    perform(workshop, "backtest", handle.run_id, BacktestRuntime)
    return runs.get(workshop.pool, handle.run_id)


def rows_of(workshop: Workshop, found: runs.Run, role: str) -> list[dict[str, Any]]:
    assert found.result_tables is not None
    name = found.result_tables[role]
    rows = query.read(workshop.lake, name, where=Where(run_id=found.run_id)).to_pylist()
    return sorted(rows, key=lambda row: (row["split"], row["trial"], row.get("timestamp")))


def test_a_trial_is_the_single_run_of_its_parameters_bit_for_bit(workshop: Workshop) -> None:
    swept = run(workshop, spec(sweep=GRID))

    assert swept.status == "succeeded", swept.error
    trials, curves = rows_of(workshop, swept, "trials"), rows_of(workshop, swept, "trial_equity")
    assert [row["trial"] for row in trials] == list(range(6))
    for row in trials:
        params = {path.rpartition(".")[2]: v for path, v in json.loads(row["params"]).items()}
        single = run(workshop, spec(strategy={"name": "sma_cross", "params": params}))
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
