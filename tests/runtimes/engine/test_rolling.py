"""Means of moving windows: numpy's, and the same bits wherever the values stand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtimes.engine.rolling import BLOCK, above, mean


@pytest.mark.parametrize("length", [1, 2, 3, 50, 200, 4_000])
def test_is_the_mean_of_every_window(length: int) -> None:
    values = np.random.default_rng(1).normal(100, 5, 6 * BLOCK)
    found = mean(values, length)
    windows = np.lib.stride_tricks.sliding_window_view(values, length)
    assert np.isnan(found[: length - 1]).all()
    assert found[length - 1 :] == pytest.approx(windows.mean(axis=1), rel=1e-14)


def test_fewer_values_than_the_window_have_no_mean() -> None:
    assert np.isnan(mean(np.ones(3), 4)).all()


@settings(max_examples=20, deadline=None)
@given(length=st.integers(1, 300), since=st.integers(0, 3_000))
def test_gives_the_same_bits_from_any_row_on(length: int, since: int) -> None:
    values = np.random.default_rng(2).normal(100, 5, 3_500)
    later = mean(values[since:].copy(), length)
    assert later[length - 1 :].tobytes() == mean(values, length)[since + length - 1 :].tobytes()


@settings(max_examples=20, deadline=None)
@given(fast=st.integers(1, 300), more=st.integers(1, 1_500), count=st.integers(0, 3_500))
def test_above_tells_what_both_means_tell(fast: int, more: int, count: int) -> None:
    values = np.random.default_rng(3).integers(1, 4, count).astype(float)  # with many ties
    slow = fast + more
    with np.errstate(invalid="ignore"):
        expected = mean(values, fast) > mean(values, slow)
    assert above(values, fast, slow).tobytes() == expected.tobytes()
