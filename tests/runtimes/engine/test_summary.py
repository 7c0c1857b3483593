"""The statistics of a run are those of its stored tables, and null where nothing is defined."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from runtimes.engine import metrics
from runtimes.engine.arrays import Targets
from runtimes.engine.params import make
from runtimes.engine.results import Result
from runtimes.engine.simulation import Simulation
from runtimes.engine.summary import summarise
from tests.kit.engine import flat_market, names, random_market, random_targets

CASH = 50_000.0


def run(*, bars: int | None = None) -> Result:
    market = random_market(7, bars=120, symbols=3)
    targets = random_targets(7, bars=120, symbols=3)
    params = make(cash=CASH, fee="bps", fee_bps=5)
    simulation = Simulation(market, names(3), targets, params)
    simulation.advance(bars or 120)
    return simulation.result()


def flat() -> Result:
    none = Targets(np.zeros(0, dtype=np.int64), np.zeros((0, 1)))
    simulation = Simulation(flat_market([[10.0]] * 10), names(1), none, make(cash=CASH))
    simulation.advance()
    return simulation.result()


def test_statistics_follow_from_the_stored_tables() -> None:
    result = run()
    stats = summarise(result, cash=CASH, periods_per_year=252)
    table = result.equity_table()
    returns = np.diff(np.concatenate([[CASH], table["equity"]])) / np.concatenate(
        [[CASH], table["equity"][:-1]]
    )
    assert stats["sharpe"] == pytest.approx(metrics.sharpe(returns, periods_per_year=252))
    assert stats["total_return"] == pytest.approx(table["equity"][-1] / CASH - 1)
    assert stats["max_drawdown"] == pytest.approx(table["drawdown"].max())
    assert stats["total_fees"] == pytest.approx(result.fills["fee"].sum())
    assert stats["turnover"] == pytest.approx(table["turnover"].mean())
    assert (stats["fills"], stats["trials"], stats["partial"]) == (
        result.fills["price"].size,
        1,
        False,
    )


def test_an_account_that_never_traded_has_null_where_nothing_is_defined() -> None:
    stats = summarise(flat(), cash=CASH, periods_per_year=252)
    assert stats["total_return"] == 0.0
    assert stats["max_drawdown"] == 0.0
    undefined = {name for name, value in stats.items() if value is None}
    assert {"sharpe", "sortino", "calmar", "probabilistic_sharpe", "hit_rate"} <= undefined
    assert "NaN" not in json.dumps(stats)


def test_a_halted_run_says_partial() -> None:
    assert summarise(run(bars=30), cash=CASH, periods_per_year=252)["partial"] is True


def test_a_run_halted_before_its_first_bar_still_has_statistics() -> None:
    market = random_market(7, bars=9, symbols=1)
    targets = random_targets(7, bars=9, symbols=1)
    result = Simulation(market, names(1), targets, make(cash=CASH)).result()
    stats = summarise(result, cash=CASH, periods_per_year=252)
    assert (stats["bars"], stats["end_equity"], stats["total_return"]) == (0, CASH, None)


def test_a_benchmark_adds_its_return_and_the_comparison() -> None:
    result = run()
    closes = 3 * result.curve.equity
    stats = summarise(result, cash=CASH, periods_per_year=252, benchmark=closes)
    assert stats["benchmark_beta"] == pytest.approx(1.0)
    assert stats["benchmark_correlation"] == pytest.approx(1.0)
    assert stats["benchmark_return"] == pytest.approx(closes[-1] / closes[0] - 1)
    assert stats["information_ratio"] is None


def test_a_benchmark_with_gaps_is_compared_where_it_has_bars() -> None:
    result = run()
    closes = result.curve.equity.copy()
    closes[::7] = math.nan
    stats = summarise(result, cash=CASH, periods_per_year=252, benchmark=closes)
    assert stats["benchmark_beta"] == pytest.approx(1.0)


def test_a_benchmark_without_bars_compares_to_nothing() -> None:
    result = run()
    closes = np.full(result.timestamps.size, math.nan)
    stats = summarise(result, cash=CASH, periods_per_year=252, benchmark=closes)
    assert stats["benchmark_return"] is None
    assert stats["information_ratio"] is None
