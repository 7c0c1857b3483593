"""Minimum variance and equal risk: by hand, by their definition, and against other solvers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtimes.engine.arrays import Floats
from runtimes.strategies.allocation import (
    by_covariance,
    equal_risk,
    inverse_volatility,
    minimum_variance,
)
from runtimes.strategies.base import View
from tests.kit.engine import random_market


def covariance(seed: int, count: int) -> Floats:
    returns = np.random.default_rng(seed).normal(0, 0.01, (count + 20, count))
    returns *= np.linspace(0.5, 2.0, count)
    returns += returns[:, :1] * 0.8
    return np.cov(returns, rowvar=False, ddof=1)


def test_two_uncorrelated_assets_by_hand() -> None:
    found = np.diag([0.04, 0.01])
    assert minimum_variance(found) == pytest.approx([0.2, 0.8])  # 1/variance
    assert equal_risk(found) == pytest.approx([1 / 3, 2 / 3])  # 1/deviation
    assert inverse_volatility(found) == pytest.approx([1 / 3, 2 / 3])


def test_what_only_adds_risk_is_left_out() -> None:
    found = np.array([[0.01, 0.018], [0.018, 0.04]])  # the second moves with the first, more
    assert minimum_variance(found).tolist() == [1.0, 0.0]


@given(seed=st.integers(0, 10**6), count=st.integers(2, 12))
def test_minimum_variance_meets_its_conditions(seed: int, count: int) -> None:
    sigma = covariance(seed, count)
    weights = minimum_variance(sigma)
    marginal = sigma @ weights
    held = weights > 0
    assert weights.sum() == pytest.approx(1)
    assert (weights >= 0).all()
    assert marginal[held] == pytest.approx(np.full(held.sum(), marginal[held].mean()), rel=1e-9)
    assert (marginal[~held] >= marginal[held].mean() * (1 - 1e-9)).all()


@given(seed=st.integers(0, 10**6), count=st.integers(2, 12))
def test_equal_risk_means_equal_parts_of_the_risk(seed: int, count: int) -> None:
    sigma = covariance(seed, count)
    weights = equal_risk(sigma)
    parts = weights * (sigma @ weights)
    assert (weights > 0).all()
    assert parts / parts.sum() == pytest.approx(np.full(count, 1 / count), abs=1e-9)


def test_a_singular_covariance_still_has_weights() -> None:
    sigma = np.full((3, 3), 0.01)
    assert minimum_variance(sigma) == pytest.approx(np.full(3, 1 / 3))


def test_a_decision_without_a_whole_look_back_holds_nothing() -> None:
    market = random_market(1, bars=12, symbols=3)
    found = by_covariance(View(market, 0), np.array([3, 11]), 5, equal_risk)
    assert not found[0].any()
    assert found[1].sum() == pytest.approx(1)


@pytest.mark.shared
def test_other_solvers_agree(shared_data: Path) -> None:
    cases = json.loads((shared_data / "rl_vectors_dev.json").read_text())["cases"]
    chosen = [case for case in cases if case["name"] == "portfolio_baselines"]
    assert chosen
    for case in chosen:
        sigma = np.cov(np.array(case["inputs"]["returns"]), rowvar=False, ddof=1)
        wanted = case["expected"]
        assert minimum_variance(sigma) == pytest.approx(wanted["min_variance_long_only"], abs=1e-6)
        assert equal_risk(sigma) == pytest.approx(wanted["risk_parity_erc"], abs=1e-6)
        assert inverse_volatility(sigma) == pytest.approx(wanted["inverse_vol"], abs=1e-6)
