"""Regression on factors: coefficients and Newey-West t-statistics as statsmodels has them."""

from __future__ import annotations

import math

import numpy as np
import pytest

from runtimes.engine.factors import automatic_lags, measures, regress

RNG = np.random.default_rng(5)
FACTORS = RNG.normal(0, 0.01, (60, 2)).round(4)
RETURNS = (0.0005 + FACTORS @ [0.8, -0.3] + RNG.normal(0, 0.005, 60)).round(4)


def test_it_is_the_regression_of_statsmodels() -> None:
    """Reference: statsmodels 0.14, OLS, cov_type HAC, maxlags 3, no correction."""
    found = regress(RETURNS, FACTORS)
    assert found.lags == 3
    assert found.alpha == pytest.approx(4.050743353185e-04)
    assert found.betas == pytest.approx([7.138620811060e-01, -3.829307936449e-01])
    assert found.t == pytest.approx([0.714460636214, 9.652917655845, -7.127747744145])
    assert found.r_squared == pytest.approx(0.676296378534595)
    assert found.residual == pytest.approx(0.004947653315285978)


def test_without_lags_the_errors_are_those_of_white() -> None:
    found = regress(RETURNS, FACTORS, lags=0)
    assert found.t == pytest.approx([0.611114607122, 8.601451827989, -5.695830106375])


@pytest.mark.parametrize(
    ("bars", "lags"), [(10, 2), (60, 3), (100, 4), (1_260, 7), (5_000, 9)], ids=str
)
def test_lags_grow_slowly_with_the_bars(bars: int, lags: int) -> None:
    assert automatic_lags(bars) == lags


def test_three_bars_by_hand_are_too_few_and_four_fit() -> None:
    line = np.array([[0.0], [1.0], [2.0], [3.0]])
    assert math.isnan(regress(np.array([1.0, 3.0, 5.0]), line[:3]).alpha)
    found = regress(np.array([1.0, 3.0, 5.0, 7.5]), line)
    assert (found.alpha, found.betas[0]) == pytest.approx((0.9, 2.15))


def test_bars_without_a_factor_are_left_out() -> None:
    gaps = FACTORS.copy()
    gaps[::7, 1] = np.nan
    kept = ~np.isnan(gaps[:, 1])
    assert regress(RETURNS, gaps).alpha == regress(RETURNS[kept], FACTORS[kept]).alpha
    assert regress(RETURNS, gaps).bars == int(kept.sum())


@pytest.mark.parametrize(
    "factors",
    [
        pytest.param(np.column_stack([FACTORS[:, 0], 2 * FACTORS[:, 0]]), id="the same twice"),
        pytest.param(np.full((60, 1), 0.01), id="a constant"),
        pytest.param(np.full((60, 1), np.nan), id="no values"),
    ],
)
def test_factors_that_explain_nothing_of_their_own_give_nan(factors: np.ndarray) -> None:
    found = regress(RETURNS, factors)
    assert math.isnan(found.alpha)
    assert np.isnan(found.t).all()


def test_flat_returns_have_no_t_statistic() -> None:
    found = regress(np.full(60, 0.01), FACTORS)
    assert found.alpha == pytest.approx(0.01)
    assert np.isnan(found.t).all()
    assert math.isnan(found.r_squared)


def test_the_names_of_factors_are_those_of_the_statistics() -> None:
    found = measures(["MKT", "SMB"], regress(RETURNS, FACTORS), periods_per_year=252)
    assert found["factor_beta.SMB"] == pytest.approx(-0.3829307936449)
    assert found["factor_alpha"] == pytest.approx(252 * 4.050743353185e-04)
    assert found["factor_t.MKT"] == pytest.approx(9.652917655845)
