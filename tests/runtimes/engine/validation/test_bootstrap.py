"""Intervals that cover what they say, blocks that follow the series' memory."""

from __future__ import annotations

import math

import numpy as np
import pytest

from runtimes.engine.arrays import Floats
from runtimes.engine.validation import bootstrap
from runtimes.engine.validation.bootstrap import block_length, interval, resample


def mean(values: Floats) -> Floats:
    return np.asarray(values.mean(axis=1))


def rng(seed: int = 5) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=seed))


def test_blocks_run_on_and_wrap_around() -> None:
    chosen = resample(10, 200, block=4.0, rng=rng())
    assert chosen.shape == (200, 10)
    follows = (chosen[:, 1:] - chosen[:, :-1]) % 10 == 1
    # A fresh block begins with probability 1/4, and one in ten of those happens to follow too.
    assert follows.mean() == pytest.approx(0.75 + 0.25 / 10, abs=0.03)
    assert (chosen >= 0).all()
    assert (chosen < 10).all()


def test_a_block_of_one_is_the_plain_bootstrap() -> None:
    chosen = resample(50, 400, block=1.0, rng=rng())
    follows = (chosen[:, 1:] - chosen[:, :-1]) % 50 == 1
    assert follows.mean() == pytest.approx(1 / 50, abs=0.01)


def test_the_interval_of_a_mean_covers_it_as_often_as_it_says() -> None:
    generator, covered = rng(11), 0
    for _ in range(200):
        found = interval(generator.normal(0, 1, 60), mean, rng=generator, draws=200, alpha=0.1)
        covered += found.low <= 0.0 <= found.high
    assert 0.8 < covered / 200 <= 0.96


def test_the_same_seed_gives_the_same_interval_in_any_batches(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    returns = rng(1).normal(0, 0.01, 100)
    first = interval(returns, mean, rng=rng(), draws=300)
    assert interval(returns, mean, rng=rng(), draws=300) == first
    monkeypatch.setattr(bootstrap, "CELLS", 1_000)
    assert interval(returns, mean, rng=rng(), draws=300).draws == 300


def test_paired_columns_stay_paired() -> None:
    returns = np.column_stack([np.arange(20.0), np.arange(20.0)])

    def difference(values: Floats) -> Floats:
        return np.asarray((values[:, :, 0] - values[:, :, 1]).mean(axis=1))

    found = interval(returns, difference, rng=rng(), draws=100)
    assert (found.value, found.low, found.high) == (0.0, 0.0, 0.0)


def test_memory_makes_longer_blocks() -> None:
    generator = rng(2)
    noise = generator.normal(0, 1, 2_000)
    slow = np.zeros(2_000)
    for t in range(1, 2_000):
        slow[t] = 0.9 * slow[t - 1] + noise[t]
    assert block_length(noise) < 6
    assert block_length(slow) > 20
    assert block_length(np.column_stack([noise, slow])) == block_length(slow)


@pytest.mark.parametrize("returns", [np.zeros(100), np.array([0.1, 0.2]), np.full(50, 0.01)])
def test_a_series_that_says_nothing_has_blocks_of_one(returns: Floats) -> None:
    assert block_length(returns) == 1.0


def test_one_bar_has_no_interval() -> None:
    found = interval(np.array([0.01]), mean, rng=rng())
    assert math.isnan(found.low)
    assert found.draws == 0


def test_draws_without_a_value_do_not_count() -> None:
    def undefined(values: Floats) -> Floats:
        return np.full(len(values), np.nan)

    found = interval(rng().normal(0, 1, 30), undefined, rng=rng(), draws=20)
    assert math.isnan(found.high)
    assert found.draws == 0
