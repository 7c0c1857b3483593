"""Text becomes plain data or one clear error; nothing is executed, nothing overflows."""

from __future__ import annotations

import json
import math
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtimes.specs.reading import BYTES, DEPTH, measure, read
from topology.errors import InvalidSpecError

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs", "Cc"])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abc_", min_size=1), inner),
    max_leaves=12,
)  # fmt: skip


@pytest.mark.parametrize(
    ("text", "value"),
    [
        pytest.param("a: no", "no", id="no is a word, not false"),
        pytest.param("a: on", "on", id="on as well"),
        pytest.param("a: 2001-01-01", "2001-01-01", id="a day stays text"),
        pytest.param("a: 12:30:45", "12:30:45", id="no base sixty"),
        pytest.param("a: 1_000", "1_000", id="no underscores in numbers"),
        pytest.param("a: 010", "010", id="no octal"),
        pytest.param("a: 0x1F", "0x1F", id="no hexadecimal"),
        pytest.param("a: 1e3", 1000.0, id="an exponent without a point"),
        pytest.param("a: -.5", -0.5, id="a point without a zero"),
        pytest.param("a: '7'", "7", id="quoted is text"),
        pytest.param("a: true", True, id="true"),
        pytest.param("a: ~", None, id="nothing"),
        pytest.param("a:", None, id="left empty"),
        pytest.param("a: -.inf", -math.inf, id="infinity is for the model to refuse"),
        pytest.param("a: [1, {b: c}]", [1, {"b": "c"}], id="flow style"),
        pytest.param("a: |\n  x\n  y\n", "x\ny\n", id="a block of text"),
        pytest.param("<<: 1\na: 2", 2, id="a merge key is only a key"),
        pytest.param("a: " + "9" * 5_000, "9" * 5_000, id="too many digits to be a number"),
    ],
)
def test_scalars_follow_json_and_yaml_1_2(text: str, value: object) -> None:
    found = read(text)["a"]
    assert (found, type(found)) == (value, type(value))


@given(JSON)
def test_json_reads_as_json(value: object) -> None:
    assert read(json.dumps({"a": value})) == {"a": value}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        pytest.param("a: 1\nb: 2\na: 3", "'a' stands twice (line 3)", id="yaml key twice"),
        pytest.param('{"a": {"b": 1, "b": 2}}', "'b' stands twice", id="json key twice"),
        pytest.param("a: &x 1\nb: *x", "Anchors", id="anchor"),
        pytest.param("b: *x", "Anchors", id="alias of nothing"),
        pytest.param("a: !!python/object/apply:os.system [ls]", "Tags", id="a tag that would run"),
        pytest.param("a: !!str 1", "Tags", id="a harmless tag"),
        pytest.param("a: 1\n---\nb: 2", "more than one document", id="two documents"),
        pytest.param("[a]: 1", "plain text", id="a list as key"),
        pytest.param("a: [1", "not YAML", id="an open bracket"),
        pytest.param("a: b: c", "not YAML", id="two colons"),
        pytest.param("\ta: 1", "not YAML", id="a tab"),
        pytest.param("a: \x00", "not YAML", id="a NUL"),
        pytest.param("a: \ud800", "not", id="half a character"),
        pytest.param("[" * 10_000, "nested deeper", id="ten thousand lists"),
        pytest.param('{"a":' * 10_000, "nested deeper", id="ten thousand objects"),
        pytest.param('{"a":' * 10_000 + "1" + "}" * 10_000, "nested deeper", id="closed ones"),
        pytest.param("x" * 1_000_000, "262144 are allowed", id="a megabyte"),
        pytest.param("\u00e4" * 200_000, "262144 are allowed", id="bytes count, not characters"),
    ],
)
def test_bad_text_is_one_clear_error(text: str, problem: str) -> None:
    with pytest.raises(InvalidSpecError) as caught:
        read(text)
    assert problem in caught.value.message
    assert caught.value.facts["errors"][0]["problem"] == caught.value.message
    json.dumps(caught.value.body()).encode()


def test_a_billion_laughs_are_refused_at_the_first() -> None:
    lines = ["a0: &a0 [x, x]"] + [f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]" for i in range(1, 40)]
    with pytest.raises(InvalidSpecError, match="line 1"):
        read("\n".join(lines))


@given(st.text(max_size=200))
def test_any_text_is_data_or_our_error(text: str) -> None:
    try:
        read(text)
    except InvalidSpecError as error:
        found = error
    else:
        return
    assert found.message


def test_the_deepest_allowed_is_allowed_and_one_more_is_not() -> None:
    read("[" * DEPTH + "]" * DEPTH)
    with pytest.raises(InvalidSpecError):
        read("[" * (DEPTH + 1) + "]" * (DEPTH + 1))


def test_mappings_are_measured_without_recursion() -> None:
    deep: dict[str, object] = {}
    for _ in range(sys.getrecursionlimit() * 10):
        deep = {"a": deep}
    with pytest.raises(InvalidSpecError, match="deeper"):
        measure(deep)
    with pytest.raises(InvalidSpecError, match="allowed"):
        measure({"a": "x" * (BYTES + 1)})
    while deep:  # so that the interpreter need not unwind it
        deep = deep["a"]  # type: ignore[assignment]
