"""Intervals that every run can afford: seeded, as wide as they say, and bounded in time."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from runtimes.engine import intervals, metrics
from runtimes.engine.arrays import Floats
from runtimes.engine.intervals import compounded, draw
from runtimes.engine.validation import bootstrap


def rng(seed: int = 5) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=seed))


def measured(returns: Floats, **options: Any) -> dict[str, float]:
    return intervals.measures(
        returns, **{"years": returns.size / 252, "periods_per_year": 252.0, "seed": 7} | options
    )


def test_the_same_seed_gives_the_same_bounds_and_another_one_others() -> None:
    returns = rng().normal(0.001, 0.01, 300)
    assert measured(returns) == measured(returns)
    assert measured(returns) != measured(returns, seed=8)


def test_bounds_do_not_depend_on_how_many_draws_are_held_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    returns = rng().normal(0.001, 0.01, 100)
    whole = measured(returns)
    monkeypatch.setattr(intervals, "CELLS", 250)
    assert measured(returns) == whole


def test_a_draw_is_what_the_measures_say_of_its_returns() -> None:
    """With blocks that never end a draw is the series itself, begun somewhere."""
    returns = rng().normal(0.001, 0.02, 40)
    turns = [np.roll(returns, -k) for k in range(40)]
    deepest = [
        metrics.max_drawdown(np.asarray(np.cumprod(1.0 + turn), dtype=np.float64), start=1.0)
        for turn in turns
    ]
    ratio, growth, drawdown = draw(returns, block=1e12, seed=3)
    assert ratio == pytest.approx(np.full(1_000, metrics.sharpe(returns, periods_per_year=1)))
    assert growth == pytest.approx(np.full(1_000, np.prod(1 + returns)))
    assert np.abs(drawdown[:, None] - np.array(deepest)).min(axis=1).max() < 1e-12
    assert len(set(drawdown.round(12).tolist())) > 1


def test_it_draws_as_the_plain_bootstrap_does() -> None:
    """The interval of the mean-like ratio agrees with the slow, general way within noise."""
    returns = rng(2).normal(0.0005, 0.01, 400)
    block = 4.0
    quick, _, _ = draw(returns, block=block, seed=1)
    chosen = returns[bootstrap.resample(400, 1_000, block=block, rng=rng())]
    slow = chosen.mean(axis=1) / chosen.std(axis=1, ddof=1)
    assert quick.mean() == pytest.approx(slow.mean(), abs=0.01)
    assert quick.std() == pytest.approx(slow.std(), rel=0.15)


def test_the_interval_covers_the_true_ratio_as_often_as_it_says() -> None:
    source, covered = rng(11), 0
    for seed in range(120):
        found = measured(source.normal(0.001, 0.01, 80), seed=seed)
        covered += found["sharpe_low"] <= 0.1 * math.sqrt(252) <= found["sharpe_high"]
    assert 0.87 <= covered / 120 <= 0.99


@pytest.mark.parametrize(
    ("returns", "defined"),
    [
        pytest.param([], (), id="no bars"),
        pytest.param([0.01], (), id="one return"),
        pytest.param([0.0] * 9, ("cagr", "max_drawdown"), id="a flat account has no ratio"),
        pytest.param([0.01] * 9, ("cagr", "max_drawdown"), id="neither has a straight line"),
        pytest.param([-1.2, 0.5, 0.1], ("sharpe", "cagr", "max_drawdown"), id="ruined"),
    ],
)
def test_what_is_not_defined_is_nan(returns: list[float], defined: tuple[str, ...]) -> None:
    found = measured(np.array(returns))
    for name in intervals.NAMES:
        assert math.isnan(found[f"{name}_low"]) == (name not in defined), name
    assert not any(math.isinf(value) for value in found.values())


def test_a_long_series_is_drawn_in_compounded_bars() -> None:
    returns = rng().normal(0.0001, 0.001, 12_345)
    assert compounded(returns, 3).size == 4_115
    assert np.prod(1 + compounded(returns, 3)) == pytest.approx(np.prod(1 + returns))
    assert compounded(np.array([0.1, 0.2, 0.5]), 2) == pytest.approx([0.1, 0.8])
    found = measured(returns)
    truth = metrics.sharpe(returns, periods_per_year=252)
    assert found["sharpe_low"] < truth < found["sharpe_high"]
    assert found["bootstrap_block"] >= 3
