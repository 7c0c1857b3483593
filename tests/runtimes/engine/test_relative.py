"""A strategy beside its benchmark: by hand, by empyrical's figures, and what is not defined."""

from __future__ import annotations

import math

import numpy as np
import pytest

from runtimes.engine import relative
from runtimes.engine.relative import alongside, compare

OWN = np.array([0.01, -0.02, 0.03, 0.005, -0.01, 0.02, 0.0, 0.015])
MARKET = np.array([0.005, -0.01, 0.02, 0.01, -0.015, 0.01, -0.002, 0.012])


def test_alpha_tracking_error_and_batting_average_are_those_of_empyrical() -> None:
    """Reference: empyrical-reloaded 0.7.1, annualised by 1."""
    assert relative.alpha(OWN, MARKET, periods_per_year=1) == pytest.approx(0.001522070015)
    assert relative.tracking_error(OWN, MARKET, periods_per_year=1) == pytest.approx(
        0.006948792289723034
    )
    assert relative.batting_average(OWN, MARKET) == pytest.approx(0.75)


def test_treynor_is_the_yearly_return_by_beta() -> None:
    assert relative.treynor(OWN, MARKET, periods_per_year=252) == pytest.approx(
        OWN.mean() * 252 / 1.260781329274
    )


def test_capture_compares_geometric_means_on_one_side_of_the_market() -> None:
    up = MARKET > 0
    ours = math.prod((1 + OWN[up]).tolist()) ** (1 / up.sum()) - 1
    theirs = math.prod((1 + MARKET[up]).tolist()) ** (1 / up.sum()) - 1
    assert relative.capture(OWN, MARKET, up=True) == pytest.approx(ours / theirs)
    assert relative.capture(MARKET * 0.5, MARKET, up=False) == pytest.approx(0.5, rel=0.01)
    assert math.isnan(relative.capture(OWN, np.abs(MARKET), up=False))
    assert math.isnan(relative.capture(np.array([-1.0]), np.array([-0.5]), up=False))


def test_over_a_gap_of_the_benchmark_own_returns_are_compounded() -> None:
    closes = np.array([math.nan, 100.0, math.nan, 121.0])
    ours, theirs = alongside(np.array([0.5, 0.1, 0.1, 0.2]), closes)
    assert ours == pytest.approx([1.1 * 1.2 - 1])
    assert theirs == pytest.approx([0.21])


@pytest.mark.parametrize(
    ("returns", "closes"),
    [
        pytest.param([], [], id="no bars"),
        pytest.param([0.1, 0.1], [math.nan, 5.0], id="one close"),
        pytest.param([0.1, 0.1, 0.2], [5.0, 5.0, 5.0], id="a benchmark that never moves"),
        pytest.param([0.1, -1.0, 0.0], [5.0, 6.0, 7.0], id="all is lost"),
    ],
)
def test_what_is_not_defined_is_nan_and_never_raises(
    returns: list[float], closes: list[float]
) -> None:
    found = compare(np.array(returns), np.array(closes), periods_per_year=252)
    assert not any(math.isinf(value) for value in found.values())
    if len(returns) < 3:
        assert all(math.isnan(value) for value in found.values())


def test_the_market_itself_has_beta_one_and_no_alpha() -> None:
    closes = 50 * np.cumprod(1 + MARKET)
    found = compare(np.concatenate([[0.0], MARKET[1:]]), closes, periods_per_year=252)
    assert found["benchmark_beta"] == pytest.approx(1.0)
    assert found["benchmark_alpha"] == pytest.approx(0.0, abs=1e-12)
    assert found["up_capture"] == pytest.approx(1.0)
    assert found["down_capture"] == pytest.approx(1.0)
    assert found["tracking_error"] == pytest.approx(0.0, abs=1e-12)
