"""From a signal to weights, by hand: who is held, how much of each, and when."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtimes.strategies.base import View
from runtimes.strategies.ranked import RankedParams, held
from runtimes.strategies.timing import decisions
from runtimes.strategies.weighting import spread
from tests.kit.engine import flat_market, random_market

NAN = float("nan")


def params(rank: dict[str, Any], **more: Any) -> RankedParams:
    return RankedParams.model_validate({"rank": rank, "rebalance": "daily", **more})


def weights(signal: list[float], rank: dict[str, Any], **weighting: Any) -> list[float]:
    """Return the weights of one decision."""
    view = View(flat_market([[1.0] * len(signal)]), 0)
    given = params(rank, weights={"method": "equal", **weighting})
    found = held(np.array([signal]), view, given).weights[0]
    return [round(float(weight), 12) for weight in found]


@pytest.mark.parametrize(
    ("signal", "rank", "expected"),
    [
        ([1, 3, 2], {"method": "top", "n": 2}, [0, 0.5, 0.5]),
        ([1, 3, 2], {"method": "bottom", "n": 1}, [1, 0, 0]),
        ([2, 2, 2], {"method": "top", "n": 1}, [1, 0, 0]),
        ([2, 2, 2], {"method": "bottom", "n": 1}, [1, 0, 0]),
        ([NAN, 3, NAN], {"method": "top", "n": 2}, [0, 0.5, 0]),
        ([4, 3, 2, 1], {"method": "top_bottom", "n": 1}, [0.5, 0, 0, -0.5]),
        ([3, 2, 1], {"method": "top_bottom", "n": 2}, [0.25, 0, -0.25]),
        ([5, 4, 3, 2, 1], {"method": "quantile", "part": 0.4}, [0.25, 0.25, 0, -0.25, -0.25]),
        ([5, 4, 3, 2, 1], {"method": "quantile", "part": 0.2, "short": False}, [1, 0, 0, 0, 0]),
        ([2, 1, NAN], {"method": "quantile", "part": 0.2}, [0, 0, 0]),
        ([0.5, 0, -0.5], {"method": "threshold"}, [1, 0, 0]),
        ([0.5, 0, -0.5], {"method": "threshold", "below": 0.0}, [0.5, 0, -0.5]),
        ([0.5, 0, -0.5], {"method": "threshold", "above": None, "below": 0.1}, [0, -0.5, -0.5]),
    ],
    ids=[
        "the two highest",
        "the lowest",
        "equal ones by symbol",
        "equal low ones by symbol",
        "an empty place stays in cash",
        "both ends",
        "of three there is one at each end",
        "two of five at each end",
        "the best fifth alone",
        "a fifth of two is nobody",
        "above nothing",
        "above and below",
        "only short",
    ],
)
def test_who_is_held(signal: list[float], rank: dict[str, Any], expected: list[float]) -> None:
    assert weights(signal, rank) == expected


@pytest.mark.parametrize(
    ("signal", "weighting", "expected"),
    [
        ([3, 1, -1, -3], {"gross": 0.8}, [0.2, 0.2, -0.2, -0.2]),
        ([3, 1, -1, -3], {"method": "signal"}, [0.375, 0.125, -0.125, -0.375]),
        ([6, 2, -1, -1], {"method": "signal"}, [0.6, 0.2, -0.1, -0.1]),
        ([6, 2, -1, -1], {"method": "signal", "neutral": True}, [0.375, 0.125, -0.25, -0.25]),
        ([3, 1, 1, NAN], {"neutral": True}, [0, 0, 0, 0]),
        ([6, 2, -1, -1], {"method": "signal", "cap": 0.4}, [0.4, 0.3, -0.15, -0.15]),
        ([1, 1, 1, 1], {"cap": 0.2}, [0.2, 0.2, 0.2, 0.2]),
        ([9, 1, -1, -1], {"neutral": True, "cap": 0.2}, [0.2, 0.2, -0.2, -0.2]),
        ([9, NAN, -1, -1], {"neutral": True, "cap": 0.2}, [0.2, 0, -0.1, -0.1]),
    ],
    ids=[
        "equal parts of the gross",
        "by the signal",
        "by the signal, sides as they are",
        "each side a half",
        "neutral with one side empty holds nothing",
        "what a cap cuts off goes to the others",
        "everybody at the cap leaves cash",
        "neutral and capped",
        "neutral takes the smaller side",
    ],
)
def test_how_much_of_each(signal: list[float], weighting: Any, expected: list[float]) -> None:
    rank = {"method": "threshold", "above": 0.0, "below": 0.0}
    assert weights(signal, rank, **weighting) == pytest.approx(expected)


def test_the_quiet_weigh_more() -> None:
    """Returns of +-10 % and +-20 %: the first gets two thirds, one that never moved nothing."""
    market = flat_market([[100, 100, 1], [110, 120, 1], [99, 96, 1]])
    inverse = {"method": "inverse_volatility", "bars": 2}
    given_ = params({"method": "top", "n": 3}, weights=inverse)
    found = held(np.ones((3, 3)), View(market, 2), given_)
    assert found.weights.tolist() == [pytest.approx([2 / 3, 1 / 3, 0])]


@given(
    parts=st.lists(st.floats(0, 1e6), min_size=1, max_size=12),
    total=st.floats(0.01, 4),
    cap=st.none() | st.floats(0.01, 2),
)
def test_a_spread_gives_away_what_it_may(
    parts: list[float], total: float, cap: float | None
) -> None:
    found = spread(np.array(parts), total, cap)
    room = total if cap is None else min(total, cap * sum(part > 0 for part in parts))
    assert found.sum() == pytest.approx(room if any(parts) else 0.0)
    assert (found >= 0).all()
    assert not found[np.array(parts) == 0].any()
    assert cap is None or found.max() <= cap + 1e-9


def test_every_so_many_bars_begins_with_the_first_that_is_traded() -> None:
    view = View(random_market(1, bars=12, symbols=1), 2)
    assert decisions(view, 4).tolist() == [2, 6, 10]


@pytest.mark.parametrize(
    "wrong",
    [
        {"rank": {"method": "best", "n": 1}},
        {"rank": {"method": "top"}},
        {"rank": {"method": "top", "n": 0}},
        {"rank": {"method": "top", "n": True}},
        {"rank": {"method": "quantile", "part": 0.6}},
        {"rank": {"method": "threshold", "above": None}},
        {"rank": {"method": "threshold", "above": 0.0, "below": 1.0}},
        {"rank": "top"},
        {"weights": {"method": "equal", "gross": 0}},
        {"weights": {"method": "equal", "cap": float("nan")}},
        {"weights": {"method": "equals"}},
        {"rebalance": "yearly"},
        {"rebalance": 0},
        {"rebalance": 1.5},
        {"rebalance": True},
        {"rebalance": float("inf")},
        {"rebalance": None},
    ],
    ids=str,
)
def test_impossible_parts_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  pydantic's, whatever it says
        RankedParams.model_validate({"rank": {"method": "top", "n": 1}, **wrong})
