"""Curves in a terminal, by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clients.cli import sparks


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        pytest.param([0, 1, 2, 3, 4, 5, 6, 7], "▁▂▃▄▅▆▇█", id="a block per eighth"),
        pytest.param([7, None, 0], "█ ▁", id="a gap stays a gap"),
        pytest.param([5, 5, 5], "▁▁▁", id="flat is low"),
        pytest.param([], "", id="nothing"),
        pytest.param([None, None], "", id="nothing known"),
    ],
)
def test_lines_by_hand(values: list[float | None], expected: str) -> None:
    assert sparks.line(values) == expected


def test_a_long_curve_keeps_its_ends() -> None:
    assert sparks.line([*range(1_000)], width=5) == "▁▃▅▆█"


@pytest.mark.parametrize(
    ("curves", "expected"),
    [
        pytest.param([[0, 1, 2, 3]], ["⡠⠊"], id="a rise over four dots"),
        pytest.param([[0, 3], [3, 0]], ["⠉⡏", "⣀⣇"], id="two that cross"),
        pytest.param([[None]], [], id="nothing to draw"),
    ],
)
def test_charts_by_hand(curves: list[list[float | None]], expected: list[str]) -> None:
    found = sparks.chart(curves, width=2, height=len(expected) or 1)
    assert found == expected


@given(st.lists(st.lists(st.floats(-1e9, 1e9) | st.none(), min_size=1), min_size=1, max_size=4))
def test_a_chart_has_its_size_and_only_braille(curves: list[list[float | None]]) -> None:
    found = sparks.chart(curves, width=20, height=4)
    assert len(found) in (0, 4)
    assert all(
        len(row) == 20 and all(0x2800 <= ord(cell) <= 0x28FF for cell in row) for row in found
    )
