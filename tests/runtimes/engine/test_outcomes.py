"""Measures of closed trades by hand, and that the order of stored rows does not matter."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtimes.engine import outcomes
from runtimes.engine.outcomes import TIES, in_order, longest_streak, round_trips
from runtimes.engine.results import Columns

NAN = float("nan")


@pytest.mark.parametrize(
    ("pnl", "payoff", "expectancy", "quality", "kelly"),
    [
        pytest.param([], NAN, NAN, NAN, NAN, id="no trades"),
        pytest.param([2.0, 4.0], NAN, NAN, math.sqrt(2) * 3 / math.sqrt(2), NAN, id="no loss"),
        pytest.param([-1.0, -1.0], NAN, -1.0, NAN, NAN, id="always the same loss"),
        # Wins 3 and 1, loss -1: payoff 2, mean 1, 2 of 3 won: 2/3 - (1/3)/2.
        pytest.param([3.0, -1.0, 1.0], 2.0, 1.0, math.sqrt(3) / 2, 0.5, id="by hand"),
        pytest.param([0.0, 2.0, -2.0], 1.0, 0.0, 0.0, 0.0, id="what came out even decides nothing"),
    ],
)
def test_measures_of_trades_by_hand(
    pnl: list[float], payoff: float, expectancy: float, quality: float, kelly: float
) -> None:
    values = np.array(pnl)
    assert outcomes.payoff(values) == pytest.approx(payoff, nan_ok=True)
    assert outcomes.expectancy(values) == pytest.approx(expectancy, nan_ok=True)
    assert outcomes.system_quality(values) == pytest.approx(quality, nan_ok=True)
    assert outcomes.kelly(values) == pytest.approx(kelly, nan_ok=True)


@pytest.mark.parametrize(
    ("hits", "longest"),
    [
        pytest.param("", 0, id="no trades"),
        pytest.param("000", 0, id="never"),
        pytest.param("111", 3, id="always"),
        pytest.param("1101110", 3, id="the second streak"),
    ],
)
def test_streaks_by_hand(hits: str, longest: int) -> None:
    assert longest_streak(np.array([hit == "1" for hit in hits], dtype=bool)) == longest


def positions(*rows: tuple[str, float]) -> Columns:
    return {
        "vt_symbol": np.array([symbol for symbol, _ in rows], dtype=np.str_),
        "quantity": np.array([quantity for _, quantity in rows]),
    }


@pytest.mark.parametrize(
    ("rows", "count"),
    [
        pytest.param([], 0, id="no fills"),
        pytest.param([("A", 5.0)], 0, id="still open"),
        pytest.param([("A", 5.0), ("A", 2.0), ("A", 0.0)], 1, id="sold in two steps"),
        pytest.param([("A", 5.0), ("A", -3.0), ("A", 0.0)], 2, id="turned round"),
        pytest.param([("A", 5.0), ("B", 5.0), ("A", 0.0)], 1, id="two symbols, one back"),
        pytest.param([("A", 0.0)], 0, id="a position that never was"),
    ],
)
def test_round_trips_by_hand(rows: list[tuple[str, float]], count: int) -> None:
    assert round_trips(positions(*rows)) == count


@given(st.randoms(use_true_random=False), st.integers(0, 12))
def test_stored_trades_give_the_same_bits_in_any_order(random: object, count: int) -> None:
    rng = np.random.default_rng(count)
    trades: Columns = {
        name: rng.integers(0, 3, count).astype(np.float64) for name in TIES if name != "vt_symbol"
    }
    trades["vt_symbol"] = np.array(["AB"[i] for i in rng.integers(0, 2, count)], dtype=np.str_)
    order = list(range(count))
    random.shuffle(order)  # type: ignore[attr-defined]
    shuffled = {name: column[order] for name, column in trades.items()}
    first, second = in_order(trades), in_order(shuffled)
    assert all((first[name] == second[name]).all() for name in TIES)
