"""Measures by hand, their nan rules, and properties over all series."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from runtimes.engine import metrics

EIGHT = np.array([0.01, -0.02, 0.03, 0.005, -0.01, 0.02, 0.0, 0.015])
DAY = 86_400 * 10**9
YEAR = int(365.25 * DAY)
NAN = float("nan")
NANO = st.integers(-500_000_000, 500_000_000).map(lambda part: part / 1e9)
RETURNS = arrays(np.float64, st.integers(2, 60), elements=NANO)


def is_nan(value: float) -> bool:
    return math.isnan(value)


@pytest.mark.parametrize(
    ("returns", "expected"),
    [
        pytest.param([], NAN, id="no data"),
        pytest.param([0.01], NAN, id="one return has no deviation"),
        pytest.param([0.01] * 10, NAN, id="ten equal returns have no risk"),
        pytest.param([0.0] * 10, NAN, id="never traded"),
        pytest.param([1e-9] * 5 + [1e-9 + 1e-24] * 5, NAN, id="rounding is not risk"),
        pytest.param([0.01, 0.03], 0.02 / math.sqrt(0.0002), id="by hand"),
        pytest.param(EIGHT.tolist(), 0.3857583749, id="the eight returns of the design"),
    ],
)
def test_sharpe_by_hand(returns: list[float], expected: float) -> None:
    found = metrics.sharpe(np.array(returns), periods_per_year=1)
    assert found == pytest.approx(expected, rel=1e-9, nan_ok=True)


def test_sharpe_is_annualised_by_the_root_of_the_periods() -> None:
    one = metrics.sharpe(EIGHT, periods_per_year=1)
    assert metrics.sharpe(EIGHT, periods_per_year=252) == pytest.approx(one * math.sqrt(252))


@pytest.mark.parametrize(
    ("returns", "expected"),
    [
        pytest.param([0.01, 0.02], NAN, id="nothing was lost"),
        pytest.param([0.03, -0.01], 0.01 / math.sqrt(0.0001 / 2), id="losses over all bars"),
        pytest.param([0.01], NAN, id="one return"),
    ],
)
def test_sortino_by_hand(returns: list[float], expected: float) -> None:
    found = metrics.sortino(np.array(returns), periods_per_year=1)
    assert found == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize(
    ("equity", "deepest", "longest"),
    [
        pytest.param([], NAN, 0, id="no bars"),
        pytest.param([100, 110, 120], 0.0, 0, id="only up"),
        pytest.param([50], 0.5, 1, id="the first bar counts against the start"),
        pytest.param([200, 100, 50, 210], 0.75, 2, id="two halvings from the peak"),
        pytest.param([120, 90, 130, 120, 110, 100], 0.25, 3, id="an open drawdown counts"),
        pytest.param([100, -20], 1.2, 1, id="more than everything"),
    ],
)
def test_drawdowns_by_hand(equity: list[float], deepest: float, longest: int) -> None:
    curve = np.array(equity, dtype=float)
    found = metrics.max_drawdown(curve, start=100)
    assert found == pytest.approx(deepest, nan_ok=True)
    assert metrics.drawdown_bars(curve, start=100) == longest


@pytest.mark.parametrize(
    ("equity", "days", "expected"),
    [
        pytest.param([100, 121], [0, 2 * YEAR], 0.1, id="ten percent a year for two years"),
        pytest.param([100, 50], [0, YEAR], -0.5, id="half is gone in a year"),
        pytest.param([100, -5], [0, YEAR], -1.0, id="all is gone"),
        pytest.param([100], [0], NAN, id="one bar is no time"),
        pytest.param([100, 1e9], [0, 1], NAN, id="a nanosecond is no year"),
    ],
)
def test_cagr_by_hand(equity: list[float], days: list[int], expected: float) -> None:
    found = metrics.cagr(np.array(equity, dtype=float), np.array(days), start=100)
    assert found == pytest.approx(expected, nan_ok=True)


def test_the_first_return_is_against_the_starting_cash() -> None:
    found = metrics.returns_of(np.array([110.0, 99.0]), start=100)
    assert found == pytest.approx([0.1, -0.1])


def test_a_ruined_account_has_no_returns() -> None:
    found = metrics.returns_of(np.array([50.0, -10.0, -10.0]), start=100)
    assert found == pytest.approx([-0.5, -1.2, 0.0])


def test_probabilistic_sharpe_of_the_design() -> None:
    skew, kurtosis = metrics.moments(EIGHT)
    assert skew == pytest.approx(-0.2120878540, abs=1e-10)
    assert kurtosis == pytest.approx(2.1467444121, abs=1e-10)
    assert metrics.probabilistic_sharpe(EIGHT) == pytest.approx(0.8320943470, abs=1e-10)


def test_probabilistic_sharpe_of_a_flat_series_is_nan() -> None:
    assert is_nan(metrics.probabilistic_sharpe(np.full(10, 0.01)))


@pytest.mark.parametrize(
    ("outcomes", "rate", "factor"),
    [
        pytest.param([], NAN, NAN, id="no trades"),
        pytest.param([0.0, 0.0], NAN, NAN, id="only zeros decide nothing"),
        pytest.param([3.0, -1.0, 0.0], 0.5, 3.0, id="zeros do not count"),
        pytest.param([1.0, 2.0], 1.0, NAN, id="no losses, no factor"),
    ],
)
def test_trade_measures_by_hand(outcomes: list[float], rate: float, factor: float) -> None:
    values = np.array(outcomes)
    assert metrics.hit_rate(values) == pytest.approx(rate, nan_ok=True)
    assert metrics.profit_factor(values) == pytest.approx(factor, nan_ok=True)


def test_value_at_risk_is_a_loss_by_history() -> None:
    returns = np.linspace(-0.1, 0.1, 21)
    assert metrics.value_at_risk(returns) == pytest.approx(0.09)
    assert is_nan(metrics.value_at_risk(returns[:1]))


def test_shortfall_tails_and_omega_are_those_of_empyrical() -> None:
    """Reference: empyrical-reloaded 0.7.1 on the eight returns of the design."""
    assert metrics.value_at_risk(EIGHT) == pytest.approx(0.0165)
    assert metrics.conditional_value_at_risk(EIGHT) == pytest.approx(0.02)
    assert metrics.tail_ratio(EIGHT) == pytest.approx(1.6060606060606057)
    assert metrics.omega(EIGHT) == pytest.approx(8 / 3)


@pytest.mark.parametrize(
    ("returns", "shortfall", "tails", "omega"),
    [
        pytest.param([], NAN, NAN, NAN, id="no data"),
        pytest.param([0.01], NAN, NAN, NAN, id="one return"),
        pytest.param([0.0] * 5, 0.0, NAN, NAN, id="nothing moved"),
        pytest.param([0.01, 0.02], -0.01, 0.0195 / 0.0105, NAN, id="nothing was lost"),
    ],
)
def test_tails_that_are_not_there(
    returns: list[float], shortfall: float, tails: float, omega: float
) -> None:
    values = np.array(returns)
    assert metrics.conditional_value_at_risk(values) == pytest.approx(shortfall, nan_ok=True)
    assert metrics.tail_ratio(values) == pytest.approx(tails, nan_ok=True)
    assert metrics.omega(values) == pytest.approx(omega, nan_ok=True)


def test_the_ulcer_index_weighs_depth_and_time() -> None:
    below = metrics.drawdowns(np.array([100.0, 90.0, 80.0, 100.0]), start=100)
    assert metrics.ulcer_index(below) == pytest.approx(math.sqrt((0.1**2 + 0.2**2) / 4))
    assert is_nan(metrics.ulcer_index(np.zeros(0)))


def test_calmar_needs_a_loss() -> None:
    assert metrics.calmar(0.2, 0.1) == pytest.approx(2.0)
    assert is_nan(metrics.calmar(0.2, 0.0))


def test_beta_of_twice_the_market_is_two() -> None:
    assert metrics.beta(2 * EIGHT + 0.001, EIGHT) == pytest.approx(2.0)
    assert is_nan(metrics.beta(EIGHT, np.full(8, 0.01)))


def test_the_information_ratio_of_the_market_itself_is_nan() -> None:
    assert is_nan(metrics.information_ratio(EIGHT, EIGHT, periods_per_year=252))


@given(RETURNS)
def test_no_measure_is_infinite_or_raises(returns: np.ndarray) -> None:
    equity = 100 * np.cumprod(1 + returns)
    times = np.arange(returns.size) * DAY
    values = [
        metrics.sharpe(returns, periods_per_year=252),
        metrics.sortino(returns, periods_per_year=252),
        metrics.volatility(returns, periods_per_year=252),
        metrics.max_drawdown(equity, start=100),
        metrics.cagr(equity, times, start=100),
        metrics.probabilistic_sharpe(returns),
        metrics.value_at_risk(returns),
        metrics.conditional_value_at_risk(returns),
        metrics.omega(returns),
        metrics.ulcer_index(metrics.drawdowns(equity, start=100)),
        *metrics.moments(returns),
    ]
    assert not any(math.isinf(value) for value in values)
    assert 0 <= metrics.max_drawdown(equity, start=100) <= 1


@given(RETURNS, st.floats(0.5, 4))
def test_sharpe_does_not_depend_on_the_size_of_the_bet(returns: np.ndarray, size: float) -> None:
    one = metrics.sharpe(returns, periods_per_year=252)
    other = metrics.sharpe(returns * size, periods_per_year=252)
    assert one == pytest.approx(other, rel=1e-6, abs=1e-9, nan_ok=True)
