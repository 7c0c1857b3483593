"""What is read off a curve: thinning, drawdowns, months, rolling Sharpe, by hand and for any."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tools import curves
from tools.curves import Drawdown

DAY = 86_400 * 10**9
START = 978_307_200 * 10**9  # 2001-01-01
VALUES = arrays(np.float64, st.integers(1, 500), elements=st.floats(-1e9, 1e9))


@given(VALUES, st.integers(2, 60))
def test_thinning_keeps_the_ends_and_never_more_than_asked(
    values: curves.Floats, most: int
) -> None:
    kept = curves.thinned(values, most=most)
    assert len(kept) == min(most, len(values))
    assert (kept[0], kept[-1]) == (0, len(values) - 1)
    assert (np.diff(kept) > 0).all()


def test_ten_thousand_points_become_two_thousand_and_a_spike_survives() -> None:
    values = np.linspace(100.0, 200.0, 10_000)
    values[7_777] = 500.0
    kept = curves.thinned(values, most=2_000)
    assert len(kept) == 2_000
    assert 7_777 in kept


def test_what_must_be_kept_is_kept_within_the_limit() -> None:
    kept = curves.thinned(np.arange(100.0), most=10, keep=[41, 42, -1])
    assert {0, 41, 42, 99} <= set(kept.tolist())
    assert len(kept) <= 10


@pytest.mark.parametrize(
    ("equity", "expected"),
    [
        pytest.param([], [], id="no bars"),
        pytest.param([100, 101, 102], [], id="it only rose"),
        pytest.param([110, 99, 110], [Drawdown(0, 1, 2, 0.1)], id="down a bar and back"),
        pytest.param([80, 90], [Drawdown(-1, 0, None, 0.2)], id="below the start for ever"),
        pytest.param(
            [100, 90, 100, 50, 60],
            [Drawdown(2, 3, None, 0.5), Drawdown(0, 1, 2, 0.1)],
            id="deepest first",
        ),
    ],
)
def test_drawdowns_by_hand(equity: list[float], expected: list[Drawdown]) -> None:
    found = curves.drawdowns(np.array(equity, dtype=float), start=100.0, most=5)
    assert [(one.peak, one.trough, one.end) for one in found] == [
        (one.peak, one.trough, one.end) for one in expected
    ]
    assert [one.depth for one in found] == pytest.approx([one.depth for one in expected])


def test_months_by_hand() -> None:
    times = np.array([START, START + 30 * DAY, START + 31 * DAY, START + 365 * DAY])
    table = curves.months(times, np.array([110.0, 120.0, 60.0, 90.0]), start=100.0)
    assert table[2001][1] == pytest.approx(0.2)
    assert table[2001][2] == pytest.approx(-0.5)
    assert table[2001][0] == pytest.approx(-0.4)
    assert table[2002] == {1: pytest.approx(0.5), 0: pytest.approx(0.5)}


def test_rolling_sharpe_by_hand() -> None:
    changes = np.array([0.01, 0.03, 0.01, 0.01, 0.01])
    found = curves.rolling_sharpe(changes, window=2, periods_per_year=4)
    # mean 0.02, deviation 0.0141421 of (0.01, 0.03): 1.41421, times sqrt(4); then flat windows
    assert found[1:3] == pytest.approx([2.828427, 2.828427])
    assert np.isnan(found[[0, 3, 4]]).all()


@given(arrays(np.float64, 50, elements=st.floats(-0.05, 0.05)))
def test_running_sums_give_what_the_windows_give(changes: curves.Floats) -> None:
    mean, deviation = curves._sums(changes, 5)
    windows = np.lib.stride_tricks.sliding_window_view(changes, 5)
    assert mean == pytest.approx(windows.mean(axis=1), abs=1e-12)
    assert deviation == pytest.approx(windows.std(axis=1, ddof=1), abs=1e-8)
