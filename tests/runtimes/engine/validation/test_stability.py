"""Parameter stability by hand."""

from __future__ import annotations

from typing import Any

import pytest

from runtimes.engine.validation import stability

PARAMS: list[dict[str, Any]] = [{"a": a, "b": b} for a in (1, 2) for b in ("x", "y")]


def test_means_and_bests_by_value_leave_out_what_has_no_value() -> None:
    found = stability.by_value(PARAMS, [1.0, 3.0, None, -1.0])

    assert found == {
        "a": [
            {"value": 1, "trials": 2, "mean": 2.0, "best": 3.0},
            {"value": 2, "trials": 1, "mean": -1.0, "best": -1.0},
        ],
        "b": [
            {"value": "x", "trials": 1, "mean": 1.0, "best": 1.0},
            {"value": "y", "trials": 2, "mean": 1.0, "best": 3.0},
        ],
    }


def test_a_value_that_never_worked_has_no_mean() -> None:
    (group,) = stability.by_value([{"a": 1}], [None])["a"]
    assert (group["trials"], group["mean"], group["best"]) == (0, None, None)


def test_a_heatmap_has_the_first_path_down_and_the_second_across() -> None:
    found = stability.heatmap(PARAMS[:3], [1.0, 2.0, 3.0])

    assert found == {
        "x": "b",
        "y": "a",
        "columns": ["x", "y"],
        "rows": [1, 2],
        "values": [[1.0, 2.0], [3.0, None]],
    }
    assert stability.heatmap([{"a": 1}], [1.0]) is None


@pytest.mark.parametrize(
    ("inside", "outside", "slope"),
    [
        pytest.param([1.0, 2.0, 3.0], [3.0, 2.0, 1.0], -1.0, id="the better, the worse"),
        pytest.param([1.0, None, 3.0], [0.0, 9.0, 1.0], 0.5, id="pairs only"),
        pytest.param([1.0, 1.0], [0.0, 9.0], None, id="all alike in sample"),
        pytest.param([1.0], [0.0], None, id="one split"),
    ],
)
def test_slope_by_hand(
    inside: list[float | None], outside: list[float | None], slope: float | None
) -> None:
    assert stability.slope(inside, outside) == slope
