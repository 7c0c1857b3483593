"""Ticks are round, thinning keeps the extremes, attributes cannot break out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tools.apps import svg, wording

NUMBERS = st.floats(-1e12, 1e12)
DAY = 86_400 * 10**9


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 10, [0, 2, 4, 6, 8, 10]),
        (0.93, 1.27, [1.0, 1.1, 1.2]),
        (-7, 3, [-6, -4, -2, 0, 2]),
        (5, 5, [5]),
    ],
)
def test_ticks_by_hand(low: float, high: float, expected: list[float]) -> None:
    assert svg.ticks(low, high) == pytest.approx(expected)


@given(NUMBERS, NUMBERS)
def test_ticks_are_few_and_inside(one: float, other: float) -> None:
    low, high = min(one, other), max(one, other)
    found = svg.ticks(low, high)
    slack = (high - low) * 1e-6
    assert len(found) <= 8
    assert all(low - slack <= tick <= high + slack for tick in found)


@given(st.integers(0, 4 * 10**9), st.integers(0, 2 * 10**9))
def test_time_ticks_are_few_and_start_inside(first: int, span: int) -> None:
    found = svg.time_ticks(first * 10**9, (first + span) * 10**9)
    assert 1 <= len(found) <= 14
    assert all(at >= first * 10**9 - DAY for at, _ in found)


@given(st.lists(NUMBERS, min_size=1, max_size=400), st.integers(4, 60))
def test_thinning_keeps_the_ends_and_the_extremes(values: list[float], limit: int) -> None:
    kept = svg.thin(values, limit=limit)
    assert kept == sorted(set(kept))
    assert len(kept) <= limit + 2 or len(values) <= limit
    assert (kept[0], kept[-1]) == (0, len(values) - 1)
    assert max(values[index] for index in kept) == max(values)
    assert min(values[index] for index in kept) == min(values)


def test_attributes_are_escaped_and_named_as_svg_names_them() -> None:
    found = svg.element("text", svg.words("<&>"), class_='a"b', aria_label="x", x=1.0, y=None)
    assert found == '<text class="a&quot;b" aria-label="x" x="1">&lt;&amp;&gt;</text>'


@pytest.mark.parametrize(
    ("write", "value", "expected"),
    [
        (wording.percent, 0.1234, "+12.34%"),
        (wording.percent, -0.1234, "~12.34%"),
        (wording.percent, -0.00001, "0.00%"),
        (wording.percent, None, wording.UNKNOWN),
        (wording.percent, float("nan"), wording.UNKNOWN),
        (wording.money, 1_234_567, "1.23M"),
        (wording.money, -950, "~950"),
        (wording.money, 999_600, "1M"),
        (wording.money, 0, "0"),
        (wording.amount, -1234.5, "~1,234.50"),
        (wording.amount, -0.001, "0.00"),
        (wording.count, 1234, "1,234"),
        (wording.count, True, wording.UNKNOWN),
        (wording.plain, {"a": ["b", 1]}, "a b, 1"),
    ],
)
def test_numbers_read_as_people_write_them(
    write: Callable[[Any], str], value: Any, expected: str
) -> None:
    assert write(value) == expected.replace("~", wording.MINUS)
