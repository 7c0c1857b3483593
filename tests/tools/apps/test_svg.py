"""Attributes cannot break out, and numbers read as people write them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tools.apps import svg, wording


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
        (wording.amount, -1234.5, "~1,234.50"),
        (wording.amount, -0.001, "0.00"),
        (wording.count, 1234, "1,234"),
        (wording.count, True, wording.UNKNOWN),
    ],
)
def test_numbers_read_as_people_write_them(
    write: Callable[[Any], str], value: Any, expected: str
) -> None:
    assert write(value) == expected.replace("~", wording.MINUS)
