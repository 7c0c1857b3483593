"""Operators across the symbols of an instant, by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from lakehouse.features.evaluate import evaluate, evaluate_panel
from lakehouse.features.featureset import compose
from lakehouse.features.frame import Frame
from topology.errors import UnknownNameError

NAN = math.nan
CLOSE = np.array([[1, 2, 3, 4], [5, NAN, 5, 8], [NAN, NAN, 7, NAN]], dtype=np.float64)
OPEN = np.array([[1, 2, 3, 5], [1, 2, 3, 9], [1, 2, 3, 4]], dtype=np.float64)
SECTOR = np.tile([0.0, 0.0, 1.0, NAN], (3, 1))
FIELDS = ("close", "open", "sector")


def panel(text: str) -> Any:
    """Return an expression over three instants and four symbols."""
    fields = {"close": CLOSE, "open": OPEN, "sector": SECTOR}
    return evaluate_panel(compose({"X": text}, fields=FIELDS), fields)["X"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(
            "CSRank($close)",
            [[0.25, 0.5, 0.75, 1], [0.5, NAN, 0.5, 1], [NAN, NAN, 1, NAN]],
            id="ranks, equals share, over those with a value",
        ),
        pytest.param(
            "CSZScore($close)",
            [
                [-1.1618950, -0.3872983, 0.3872983, 1.1618950],
                [-0.57735027, NAN, -0.57735027, 1.1547005],
                [NAN] * 4,
            ],
            id="z-scores, none of a single value",
        ),
        pytest.param(
            "CSDemean($close)",
            [[-1.5, -0.5, 0.5, 1.5], [-1, NAN, -1, 2], [NAN, NAN, 0, NAN]],
            id="less the mean",
        ),
        pytest.param(
            "CSNeutralize($close, $sector)",
            [[-0.5, 0.5, 0, NAN], [0, NAN, 0, NAN], [NAN, NAN, 0, NAN]],
            id="less the group's mean; none without a group",
        ),
        pytest.param(
            "CSRank($close, $sector)",
            [[0.5, 1, 1, NAN], [1, NAN, 1, NAN], [NAN, NAN, 1, NAN]],
            id="ranks inside groups",
        ),
        pytest.param(
            "CSMean($close)",
            [[2.5] * 4, [6, NAN, 6, 6], [NAN, NAN, 7, NAN]],
            id="the mean for those that are in it",
        ),
        pytest.param(
            "CSStd($close)",
            [[1.2909944] * 4, [1.7320508, NAN, 1.7320508, 1.7320508], [NAN] * 4],
            id="the deviation, none of a single value",
        ),
        pytest.param(
            "CSScale($close)",
            [[0.1, 0.2, 0.3, 0.4], [5 / 18, NAN, 5 / 18, 8 / 18], [NAN, NAN, 1, NAN]],
            id="gross weights of 1",
        ),
        pytest.param(
            "CSQuantile($close, 0.5)",
            [[2.5] * 4, [5, NAN, 5, 5], [NAN, NAN, 7, NAN]],
            id="the median",
        ),
        pytest.param(
            "CSBucket($close, 2)",
            [[1, 1, 2, 2], [1, NAN, 1, 2], [NAN, NAN, 2, NAN]],
            id="halves",
        ),
    ],
)
def test_by_hand(text: str, expected: list[list[float]]) -> None:
    assert panel(text) == pytest.approx(np.array(expected), rel=1e-6, abs=1e-7, nan_ok=True)


def test_a_residual_is_what_a_line_leaves() -> None:
    found = panel("CSResidual($close, $open)")
    lines = [_residual(CLOSE[0], OPEN[0]), _residual(CLOSE[1], OPEN[1]), [NAN] * 4]
    assert found == pytest.approx(np.array(lines), rel=1e-5, abs=1e-6, nan_ok=True)


def _residual(x: Any, y: Any) -> list[float]:
    """Return what numpy's own fit leaves."""
    both = np.isfinite(x) & np.isfinite(y)
    line = np.polyval(np.polyfit(y[both], x[both], 1), y)
    left: list[float] = np.where(both, x - line, NAN).tolist()
    return left


def test_equal_values_are_not_scored_by_their_rounding() -> None:
    fields = {"close": np.full((1, 3), 0.1), "open": np.arange(3.0)[None], "sector": SECTOR[:1, :3]}
    found = evaluate_panel(compose({"X": "CSZScore($close)"}, fields=FIELDS), fields)["X"]
    assert np.isnan(found).all()


def test_windows_and_cross_sections_nest_in_both_directions() -> None:
    ranks = panel("CSRank($close)")
    before = np.vstack([[NAN] * 4, ranks[:-1]])
    assert panel("Ref(CSRank($close), 1)") == pytest.approx(before, nan_ok=True)
    twice = panel("CSDemean(CSRank(Mean($close, 2)))")
    assert np.nansum(twice, axis=1) == pytest.approx(0, abs=1e-6)


def test_only_instants_that_symbols_share_are_compared() -> None:
    """Symbols with rows of their own: at 1 there is A alone, at 2 both, at 3 B alone."""
    frame = Frame(
        ("A", "B"),
        np.array([0, 2, 4]),
        np.array([1, 2, 2, 3]),
        {"close": np.array([1, 2, 3, 4], dtype=np.float32)},
    )
    found = evaluate(compose({"X": "CSRank($close)"}), frame).columns["X"]
    assert found.tolist() == [1, 0.5, 1, 1]


def test_who_is_no_member_does_not_count() -> None:
    frame = Frame(
        ("A", "B", "C"),
        np.array([0, 1, 2, 3]),
        np.array([1, 1, 1]),
        {"close": np.array([1, 2, 3], dtype=np.float32)},
        member=np.array([True, True, False]),
    )
    found = evaluate(compose({"X": "CSRank($close)"}), frame).columns["X"]
    assert found.tolist() == pytest.approx([0.5, 1, NAN], nan_ok=True)


def test_another_symbols_values_come_at_the_same_instants() -> None:
    frame = Frame(
        ("A", "B"),
        np.array([0, 3, 5]),
        np.array([1, 2, 3, 2, 3]),
        {"close": np.array([1, 2, 3, 20, 30], dtype=np.float32)},
    )
    texts = {
        "X": "ChangeInstrument('B', Mean($close, 2))",
        "Y": "Mask($close, 'B')",
        "Z": "ChangeInstrument('B', $close > 25) & ($close > 0)",
    }
    found = evaluate(compose(texts), frame).columns
    assert found["X"].tolist() == pytest.approx([NAN, 20, 25, 20, 25], nan_ok=True)
    assert found["Y"].tolist() == pytest.approx([NAN, 20, 30, 20, 30], nan_ok=True)
    assert found["Z"].tolist() == [0, 0, 1, 0, 1]


def test_a_symbol_or_a_field_that_the_data_lack_is_named() -> None:
    frame = Frame(("SPY.NYSE",), np.array([0, 1]), np.array([1]), {"close": np.ones(1, "f4")})
    with pytest.raises(UnknownNameError, match=r"SPX\.NYSE"):
        evaluate(compose({"X": "Mask($close, 'SPX.NYSE')"}), frame)
    with pytest.raises(UnknownNameError, match=r"\$open"):
        evaluate(compose({"X": "$open"}), frame)
