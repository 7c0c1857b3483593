"""FeaturesSpec: what it takes, what it writes out, and how it refuses."""

from __future__ import annotations

from typing import Any

import pytest

from runtimes.specs.base import parse
from runtimes.specs.features import FeaturesSpec
from topology.errors import AlphaSwarmError

BODY: dict[str, Any] = {
    "kind": "data",
    "task": "features",
    "name": "mine",
    "universe": {"symbols": ["IBM.NYSE", "AAPL.NASDAQ"]},
    "data": {"start": "2001-01-01", "end": "2012-12-31"},
}


def given(**more: Any) -> FeaturesSpec:
    spec = parse("data", BODY | more)
    assert isinstance(spec, FeaturesSpec)
    return spec


def refusal(**more: Any) -> AlphaSwarmError:
    with pytest.raises(AlphaSwarmError) as caught:
        given(**more)
    return caught.value


@pytest.mark.parametrize(
    ("more", "semantics"),
    [
        pytest.param({"set": "alpha158"}, "qlib-0.9.7", id="a named set means what Qlib means"),
        pytest.param({"expressions": {"A": "$close"}}, "alphaswarm-1", id="our own mean ours"),
        pytest.param(
            {"set": "alpha158", "expressions": {"A": "$close"}}, "alphaswarm-1", id="so do both"
        ),
        pytest.param(
            {"set": "alpha158", "semantics": "alphaswarm-1"}, "alphaswarm-1", id="unless said"
        ),
    ],
)
def test_the_semantics_are_written_out(more: dict[str, Any], semantics: str) -> None:
    assert given(**more).body()["semantics"] == semantics


def test_a_set_may_be_taken_in_part_and_added_to() -> None:
    spec = given(set="alpha158", include=["MA5", "KMID"], expressions={"X": "$high/$low"})
    assert spec.features().names == ["KMID", "MA5", "X", "LABEL0"]


def test_a_named_universe_and_groups_are_taken() -> None:
    spec = given(
        universe={"name": "sp500"},
        expressions={"X": "CSNeutralize($close, $sector)"},
        groups={"sector": {"IBM.NYSE": "tech"}},
    )
    assert spec.features().fields == {"close", "sector"}


@pytest.mark.parametrize(
    ("more", "code", "path"),
    [
        pytest.param({}, "invalid_spec", "set", id="nothing to compute"),
        pytest.param({"set": "alpha185"}, "unknown_name", "set", id="an unknown set"),
        pytest.param(
            {"set": "alpha158", "include": ["MA7"]}, "unknown_name", "include", id="not of the set"
        ),
        pytest.param({"include": ["MA5"]}, "invalid_spec", "include", id="of no set"),
        pytest.param(
            {"expressions": {"X": "Mean($close"}},
            "expression_syntax",
            "expressions.X",
            id="no expression",
        ),
        pytest.param(
            {"expressions": {"X": "Ref($close, -1)"}},
            "lookahead_expression",
            "expressions.X",
            id="the future",
        ),
        pytest.param(
            {"labels": {"L": "Ref($clos, -1)"}}, "unknown_name", "labels.L", id="a field of none"
        ),
        pytest.param(
            {"expressions": {"X": "CSDemean($close, $sector)"}},
            "unknown_name",
            "expressions.X",
            id="a group that is not given",
        ),
        pytest.param(
            {"expressions": {"X": "$close"}, "groups": {"close": {"IBM.NYSE": "a"}}},
            "invalid_spec",
            "groups",
            id="a group called like a field",
        ),
        pytest.param(
            {"expressions": {"X": "$close"}, "universe": {}},
            "invalid_spec",
            "universe.symbols",
            id="no universe",
        ),
        pytest.param(
            {"expressions": {"X": "$close"}, "universe": {"name": "SP 500"}},
            "invalid_spec",
            "universe.name",
            id="no name of a universe",
        ),
    ],
)
def test_what_cannot_be_computed_is_refused_by_path(
    more: dict[str, Any], code: str, path: str
) -> None:
    error = refusal(**more)
    assert error.wire_code == code
    assert error.facts["errors"][0]["path"] == path


def test_every_wrong_expression_is_listed_with_its_position_and_names() -> None:
    error = refusal(expressions={"A": "Meen($close, 5)", "B": "Mean($clos, 5)"})
    assert error.wire_code == "unknown_name"
    assert [
        (fault["path"], fault["position"], fault["nearest"][0]) for fault in error.facts["errors"]
    ] == [("expressions.A", 0, "Mean"), ("expressions.B", 5, "$close")]


def test_equal_specs_have_equal_bodies_whatever_their_spelling() -> None:
    assert given(set="alpha158").body() == given(set="alpha158", semantics="qlib-0.9.7").body()
