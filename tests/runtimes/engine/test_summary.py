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
from runtimes.engine.summary import Looked, deflated, summarise
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


DAYS = 252.0
PAPER = {
    "sharpe": 2.5 / math.sqrt(250) * math.sqrt(DAYS),
    "bars": 1_250,
    "skew": -3.0,
    "kurtosis": 10.0,
}
"""The example of Bailey and Lopez de Prado 2014: a yearly ratio of 2.5 over five years of 250."""


@pytest.mark.parametrize(
    ("count", "expected"), [(100, 0.900397), (46, 0.950502)], ids=("N 100", "N 46")
)
def test_the_deflated_ratio_of_the_paper(count: int, expected: float) -> None:
    variance = 0.5 / 250 * DAYS
    found = deflated(PAPER, Looked(count, variance), periods_per_year=DAYS)
    assert found["deflated_sharpe"] == pytest.approx(expected, abs=1e-6)
    assert (found["trials_counted"], found["trials_variance"]) == (count, variance)
    if count == 100:
        assert found["deflated_threshold"] == pytest.approx(0.113172 * math.sqrt(DAYS), rel=1e-5)


def test_a_run_that_is_the_only_one_is_not_deflated() -> None:
    stats = summarise(run(), cash=CASH, periods_per_year=252)
    found = deflated(stats, Looked(), periods_per_year=252)
    assert found["deflated_sharpe"] == pytest.approx(stats["probabilistic_sharpe"])
    assert (found["deflated_threshold"], found["trials_variance"]) == (0.0, None)


def test_without_recorded_trials_luck_alone_sets_the_threshold() -> None:
    """The variance is the one with which the run's own ratio is estimated."""
    ratio = 2.5 / math.sqrt(250)
    own = (1 + 3 * ratio + 9 / 4 * ratio**2) / 1_249 * DAYS
    found = deflated(PAPER, Looked(100), periods_per_year=DAYS)
    known = deflated(PAPER, Looked(100, own), periods_per_year=DAYS)
    assert found["deflated_sharpe"] == pytest.approx(known["deflated_sharpe"])
    assert found["trials_variance"] is None


def test_more_trials_never_make_a_result_more_credible() -> None:
    chances = [
        deflated(PAPER, Looked(n), periods_per_year=DAYS)["deflated_sharpe"] for n in (1, 2, 9, 99)
    ]
    assert chances == sorted(chances, reverse=True)  # type: ignore[type-var]


def test_a_flat_account_has_no_deflated_ratio() -> None:
    stats = summarise(flat(), cash=CASH, periods_per_year=252)
    found = deflated(stats, Looked(10, 1.0), periods_per_year=252)
    assert found["deflated_sharpe"] is None
    assert found["trials_counted"] == 10


def test_long_and_short_exposure_add_up_to_gross_and_net() -> None:
    stats = summarise(run(), cash=CASH, periods_per_year=252)
    assert stats["exposure_long"] + stats["exposure_short"] == pytest.approx(stats["exposure"])
    assert stats["exposure_long"] - stats["exposure_short"] == pytest.approx(stats["exposure_net"])
    assert stats["turnover_yearly"] == pytest.approx(stats["turnover"] * 126)


def test_who_never_sells_short_has_no_short_exposure_at_all() -> None:
    market = random_market(5, bars=120, symbols=3)
    held = Targets(np.array([0, 40, 80]), np.full((3, 3), 0.29))
    simulation = Simulation(market, names(3), held, make(cash=CASH, fractional=True))
    simulation.advance(120)
    stats = summarise(simulation.result(), cash=CASH, periods_per_year=252)
    assert stats["exposure_short"] == 0.0
    assert stats["exposure_long"] == pytest.approx(stats["exposure"])


def test_intervals_hold_their_value_and_follow_the_seed() -> None:
    result = run()
    stats = summarise(result, cash=CASH, periods_per_year=252, seed=3)
    for name in ("sharpe", "cagr"):
        assert stats[f"{name}_low"] < stats[name] < stats[f"{name}_high"]
    assert summarise(result, cash=CASH, periods_per_year=252, seed=3) == stats
    assert summarise(result, cash=CASH, periods_per_year=252, seed=4) != stats
