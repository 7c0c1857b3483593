"""What changed between two specs, path by path."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tools.diff import differences

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        pytest.param({"a": 1}, {"a": 1.0}, [], id="1 and 1.0 are one number"),
        pytest.param({"a": 1}, {"a": True}, [("a", "changed")], id="1 is not true"),
        pytest.param({"a": 1}, {"a": 2, "b": 3}, [("a", "changed"), ("b", "added")], id="a key"),
        pytest.param({"a": {"b": 1}}, {"a": {}}, [("a.b", "removed")], id="inside an object"),
        pytest.param({"a": [1, 2]}, {"a": [1, 3]}, [("a[1]", "changed")], id="inside a list"),
        pytest.param({"a": [1]}, {"a": [1, 2]}, [("a[1]", "added")], id="a longer list"),
        pytest.param({"a": [1]}, {"a": {"0": 1}}, [("a", "changed")], id="another type"),
    ],
)
def test_differences_by_hand(before: Any, after: Any, expected: list[tuple[str, str]]) -> None:
    assert [(change.path, change.how) for change in differences(before, after)] == expected


@given(JSON)
def test_nothing_differs_from_itself(value: Any) -> None:
    assert differences(value, value) == []


@given(JSON, JSON)
def test_the_way_back_has_as_many_changes(before: Any, after: Any) -> None:
    there, back = differences(before, after), differences(after, before)
    assert [change.path for change in there] == [change.path for change in back]
    assert [change.before for change in there] == [change.after for change in back]
