"""Information coefficients: by hand, and as alphalens and scipy compute them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from runtimes.engine.information import coefficients, measures, ranks, stability

RNG = np.random.default_rng(9)
CLOSES = (50 * np.exp(np.cumsum(RNG.normal(0, 0.02, (30, 6)), axis=0))).round(2)
SIGNAL = RNG.integers(0, 5, (30, 6)).astype(np.float64)


def test_a_bar_by_hand() -> None:
    """Signals 1, 2, 3 before returns of 10 %, 0 % and 20 %: ranks 2, 1, 3."""
    closes = np.array([[10.0, 10.0, 10.0], [11.0, 10.0, 12.0]])
    signal = np.array([[1.0, 2.0, 3.0], [0.0, 0.0, 0.0]])
    ranked = coefficients(signal, closes, horizon=1)
    assert ranked[0] == pytest.approx(0.5)
    assert math.isnan(ranked[1])
    plain = coefficients(signal, closes, horizon=1, ranked=False)
    assert plain[0] == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("horizon", "expected", "icir"),
    [(1, -0.048097, -0.089647), (5, 0.135076, 0.348562), (20, 0.169712, 0.351467)],
    ids=str,
)
def test_it_is_the_information_coefficient_of_alphalens(
    horizon: int, expected: float, icir: float
) -> None:
    """Reference: alphalens-reloaded 0.5.1, which keeps the dates that have all three horizons."""
    found = coefficients(SIGNAL, CLOSES, horizon=horizon)[:10]
    assert found.mean() == pytest.approx(expected, abs=5e-7)
    assert stability(found) == pytest.approx(icir, abs=5e-7)


def test_means_over_all_bars_are_those_of_scipy() -> None:
    """Reference: scipy.stats.spearmanr and pearsonr, bar by bar."""
    found = measures(SIGNAL, CLOSES)
    assert found["rank_ic_1"] == pytest.approx(-0.014340593223900754)
    assert found["rank_icir_1"] == pytest.approx(-0.03370968999362842)
    assert found["ic_1"] == pytest.approx(-0.02599859134046535)
    assert found["rank_ic_5"] == pytest.approx(-0.015464034303241862)
    assert found["ic_20"] == pytest.approx(0.14221958832628778)


def test_ties_have_their_mean_rank_and_nan_none() -> None:
    found = ranks(np.array([[3.0, 1.0, np.nan, 3.0, 2.0]]))
    assert found[0] == pytest.approx([3.5, 1.0, math.nan, 3.5, 2.0], nan_ok=True)


@pytest.mark.parametrize(
    ("signal", "closes"),
    [
        pytest.param([[1.0, 2.0]] * 3, [[1.0, 2.0]] * 3, id="two symbols always correlate"),
        pytest.param([[0.1, 0.1, 0.1]] * 3, [[1.0, 2, 3], [2, 3, 5], [1, 1, 1]], id="one signal"),
        pytest.param([[1.0, 2, 3]] * 3, [[1.0, 2, 3]] * 3, id="returns all alike"),
        pytest.param([[1.0, 2, np.nan]] * 3, [[1.0, 2, 3], [2, 3, 5], [1, 1, 1]], id="one absent"),
        pytest.param([[1.0, 2, 3]], [[1.0, 2, 3]], id="nothing follows"),
    ],
)
def test_bars_that_tell_nothing(signal: list[list[float]], closes: list[list[float]]) -> None:
    found = coefficients(np.array(signal), np.array(closes), horizon=1)
    assert np.isnan(found).all()
    assert math.isnan(measures(np.array(signal), np.array(closes))["rank_icir_1"])


SIGNALS = arrays(np.float64, (8, 5), elements=st.integers(-9, 9).map(float))


@given(SIGNALS)
def test_a_rank_does_not_depend_on_the_scale_of_a_signal(signal: np.ndarray) -> None:
    closes = CLOSES[:8, :5]
    found = coefficients(signal, closes, horizon=1)
    same = coefficients(np.exp(signal / 9), closes, horizon=1)
    assert found == pytest.approx(same, abs=1e-12, nan_ok=True)
    assert not (np.abs(found) > 1 + 1e-12).any()
