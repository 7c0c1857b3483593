"""Selection priced in: the papers' own figures, and noise that must be called noise."""

from __future__ import annotations

import math

import numpy as np
import pytest

from runtimes.engine import metrics
from runtimes.engine.validation import overfitting
from runtimes.engine.validation.overfitting import (
    deflated_sharpe,
    expected_best,
    minimum_track_record,
    probability_of_overfitting,
    track_record,
)
from topology.errors import BadInputError

# Bailey and Lopez de Prado 2014, the example of section "A numerical example".
RATIO, BARS, SKEW, KURTOSIS, VARIANCE = 2.5 / math.sqrt(250), 1250, -3.0, 10.0, 0.5 / 250


@pytest.mark.parametrize(("trials", "confident"), [(100, 0.900397), (46, 0.950502)])
def test_the_papers_deflated_sharpe(trials: int, confident: float) -> None:
    best = expected_best(trials, VARIANCE)
    found = metrics.sharpe_confidence(RATIO, best, bars=BARS, skew=SKEW, kurtosis=KURTOSIS)
    assert found == pytest.approx(confident, abs=1e-6)


def test_the_best_of_a_hundred_worthless_trials() -> None:
    assert expected_best(100, VARIANCE) == pytest.approx(0.113172, abs=1e-6)
    assert expected_best(1, VARIANCE) == 0.0
    assert expected_best(100, 0.0) == 0.0


def test_the_papers_track_record() -> None:
    found = track_record(RATIO, benchmark=0.0, alpha=0.05, skew=SKEW, kurtosis=KURTOSIS)
    assert found == pytest.approx(166.6, abs=0.05)


def test_more_trials_never_raise_the_confidence() -> None:
    returns = np.random.default_rng(3).normal(5e-4, 0.01, 750)
    found = [deflated_sharpe(returns, trials=n, variance=1e-3) for n in (1, 2, 10, 100, 10_000)]
    assert found == sorted(found, reverse=True)
    assert found[0] == metrics.probabilistic_sharpe(returns)


def test_a_flat_series_has_no_confidence_and_a_losing_one_no_record() -> None:
    assert math.isnan(deflated_sharpe(np.full(10, 0.01), trials=5, variance=1.0))
    assert math.isnan(minimum_track_record(np.full(10, 0.01)))
    assert minimum_track_record(np.array([-0.02, 0.01, -0.01])) == math.inf


def test_two_trials_over_four_bars_by_hand() -> None:
    """Blocks of two bars: trial 0 wins in the first and loses in the second, trial 1 idles."""
    returns = np.array([[0.03, 0.01], [0.02, -0.01], [-0.03, 0.01], [-0.02, -0.01]])
    found = probability_of_overfitting(returns, blocks=2)
    # First half in sample: trial 0 (ratio 5) is best, out of sample it is last (-5 < 0): below.
    # Second half in sample: trial 1 (ratio 0) is best, out of sample it is last (0 < 5): below.
    assert (found.pbo, found.loss, found.combinations, found.trials) == (1.0, 0.5, 2, 2)
    assert found.slope == pytest.approx(-1.0)  # (5, -5) and (0, 0)


def test_noise_is_called_noise() -> None:
    generator = np.random.default_rng(7)
    draws = [
        probability_of_overfitting(generator.normal(0, 0.01, (512, 50)), blocks=8).pbo
        for _ in range(20)
    ]
    assert 0.35 < np.mean(draws) < 0.65  # one draw alone says nothing


def test_a_trial_that_is_really_better_is_no_overfitting() -> None:
    returns = np.random.default_rng(7).normal(0, 0.01, (512, 50))
    returns[:, 17] += 0.003  # a Sharpe ratio of 0.3 a bar: it stands out, but not in every half
    assert probability_of_overfitting(returns, blocks=8).pbo < 0.1
    returns[:, 17] += 0.003
    found = probability_of_overfitting(returns, blocks=8)
    assert (found.pbo, found.loss, found.combinations) == (0.0, 0.0, 70)


def test_batches_do_not_change_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    returns = np.random.default_rng(1).normal(0, 0.01, (160, 7))
    whole = probability_of_overfitting(returns, blocks=10)
    monkeypatch.setattr(overfitting, "AT_ONCE", 11)
    assert probability_of_overfitting(returns, blocks=10) == whole


def test_a_trial_without_variance_is_never_the_best() -> None:
    returns = np.random.default_rng(2).normal(0, 0.01, (64, 3))
    returns[:, 1] = 0.01  # always the same gain: no ratio
    found = probability_of_overfitting(returns, blocks=4)
    assert math.isfinite(found.slope)
    assert found.combinations == 6


@pytest.mark.parametrize(
    ("shape", "blocks", "path"),
    [((32, 1), 4, "trials"), ((32, 2), 3, "blocks"), ((7, 2), 4, "blocks"), ((32, 2), 0, "blocks")],
)
def test_what_cannot_be_compared_says_why(shape: tuple[int, int], blocks: int, path: str) -> None:
    with pytest.raises(BadInputError) as raised:
        probability_of_overfitting(np.ones(shape), blocks=blocks)
    assert raised.value.facts["errors"][0]["path"] == path


def test_a_return_that_is_no_number_is_refused() -> None:
    returns = np.ones((32, 2))
    returns[3, 1] = np.nan
    with pytest.raises(BadInputError):
        probability_of_overfitting(returns, blocks=4)
