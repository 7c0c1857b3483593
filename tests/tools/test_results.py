"""Previews that fit, and links to the rest."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tools.results import Link, Linked, preview

ROWS = st.lists(st.one_of(st.integers(), st.text(max_size=20), st.none()), max_size=30)


@pytest.mark.parametrize(
    ("rows", "most_rows", "most_characters", "expected"),
    [
        pytest.param([], 5, 100, ([], False), id="nothing is not cut"),
        pytest.param([1, 2, 3], 3, 100, ([1, 2, 3], False), id="just fits"),
        pytest.param([1, 2, 3], 2, 100, ([1, 2], True), id="a row too many"),
        pytest.param(["abcd", "efgh"], 5, 11, (["abcd"], True), id="a character too many"),
        pytest.param(["abcd", "efgh"], 5, 12, (["abcd", "efgh"], False), id="quotes count"),
        pytest.param(["x" * 99], 5, 10, (["x" * 99], False), id="the first row stays whole"),
    ],
)
def test_a_preview_by_hand(
    rows: list[object], most_rows: int, most_characters: int, expected: object
) -> None:
    assert preview(rows, most_rows=most_rows, most_characters=most_characters) == expected


@given(rows=ROWS, most_rows=st.integers(1, 40), most_characters=st.integers(1, 400))
def test_a_preview_is_a_prefix_within_both_caps(
    rows: list[object], most_rows: int, most_characters: int
) -> None:
    kept, cut = preview(rows, most_rows=most_rows, most_characters=most_characters)
    assert kept == rows[: len(kept)]
    assert len(kept) <= most_rows
    size = sum(len(json.dumps(row, ensure_ascii=False)) for row in kept)
    assert len(kept) <= 1 or size <= most_characters
    assert cut == (len(kept) < len(rows))


def test_a_result_with_links_is_linked() -> None:
    class Result:
        def links(self) -> Sequence[Link]:
            return [Link("run://1", "run")]

    assert isinstance(Result(), Linked)
    assert not isinstance(object(), Linked)
