"""Edits of somebody else's JSON: what is not ours keeps every byte."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clients.connect import jsontext

KEYS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=6)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(KEYS, JSON, max_size=4)
FORMS = st.sampled_from(
    [
        {"indent": 2},
        {"indent": 4},
        {"indent": "\t"},
        {},
        {"separators": (",", ":")},
        {"indent": 2, "separators": (" ,", " :  ")},
    ]
)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("{}", '{\n  "k": 1\n}'),
        ('{"a": 2}', '{"a": 2,\n  "k": 1}'),
        ('{\n    "a": 2\n}\n', '{\n    "a": 2,\n    "k": 1\n}\n'),
        ('{\r\n\t"a": {}\r\n}', '{\r\n\t"a": {},\r\n\t"k": 1\r\n}'),
        ('{"k": [1, 2] , "a": 2}', '{"k": 1 , "a": 2}'),
    ],
)
def test_a_member_is_put_as_the_file_is_written(before: str, after: str) -> None:
    assert jsontext.put(before, jsontext.root(before), "k", 1) == after


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('{"k": 1}', "{}"),
        ('{"k": 1, "a": 2}', '{"a": 2}'),
        ('{"a": 2, "k": 1}', '{"a": 2}'),
        ('{\n  "a": 2,\n  "k": 1,\n  "b": 3\n}', '{\n  "a": 2,\n  "b": 3\n}'),
        ('{"a": 2}', '{"a": 2}'),
    ],
)
def test_a_member_is_dropped_with_its_comma(before: str, after: str) -> None:
    assert jsontext.drop(before, 0, "k") == after


@given(data=OBJECTS, form=FORMS, value=JSON)
def test_putting_sets_one_key_and_dropping_takes_it_back(
    data: dict[str, Any], form: dict[str, Any], value: Any
) -> None:
    data.pop("ours", None)
    text = json.dumps(data, ensure_ascii=False, **form)
    put = jsontext.put(text, 0, "ours", value)
    assert json.loads(put) == {**data, "ours": value}
    again = jsontext.put(put, 0, "ours", value)
    assert json.loads(again) == {**data, "ours": value}
    dropped = jsontext.drop(put, 0, "ours")
    assert dropped == text if data else json.loads(dropped) == {}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "1",
        '{"a": 1,}',
        "{'a': 1}",
        '{"a": 1} x',
        "{",
        '// c\n{"a": 1}',
        '{"a": 1 /* c */}',
    ],
)
def test_what_is_not_one_plain_object_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  json's own and ours
        jsontext.root(text)


def test_a_key_that_stands_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="twice"):
        jsontext.root('{"b": {"a": 1, "a": 2}}')
