"""Named sets, composed sets, and the hash that is a set's identity."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lakehouse.features import members
from lakehouse.features.build import OURS, QLIB
from lakehouse.features.featureset import FEATURES, FeatureSet, compose
from lakehouse.features.parser import parse
from lakehouse.features.plan import families, requests
from lakehouse.features.reach import EVERYTHING, reach
from topology.errors import AlphaSwarmError, BadInputError


def named(name: str) -> FeatureSet:
    return compose(members.expressions(name), labels=members.labels(name), semantics=QLIB)


@pytest.mark.parametrize(
    ("name", "count", "back", "sha256"),
    [
        pytest.param(
            "alpha158",
            158,
            60,
            "7d4d0bbcad443763969b55f6fa6681104c71a0864e01e351f796036c08814b6e",
            id="alpha158",
        ),
        pytest.param(
            "alpha360",
            360,
            59,
            "34baece40930908b0edbf8bdca9955399fbeca0981f3c4a54f8e6c8d37d86f2d",
            id="alpha360",
        ),
    ],
)
def test_a_named_set_has_a_hash_that_never_changes(
    name: str, count: int, back: int, sha256: str
) -> None:
    """A changed hash is another set: raise LANGUAGE or an operator's version, on purpose."""
    found = named(name)
    assert len(found.features) == count
    assert list(found.labels) == ["LABEL0"]
    assert (found.reach.back, found.reach.ahead, found.reach.anchored) == (back, 2, False)
    assert found.sha256 == sha256


@pytest.mark.shared
def test_alpha158_is_written_as_qlib_writes_it(shared_data: Path) -> None:
    meta = json.loads((shared_data / "alpha158_dev_meta.json").read_text())
    ours = members.expressions("alpha158")
    assert list(ours) == meta["names"]
    for name, theirs in zip(meta["names"], meta["formulas"], strict=True):
        assert parse(ours[name], semantics=QLIB) == parse(theirs, semantics=QLIB), name


def test_alpha158_needs_two_dozen_passes_for_all_its_windows() -> None:
    parts = {
        part.text: part for node in named("alpha158").features.values() for part in node.walk()
    }
    found = families(requests(part, QLIB) for part in parts.values())
    assert len(found) == 24
    assert all(len(family.windows) == 5 for family in found.values())


def test_the_hash_covers_names_order_trees_and_semantics() -> None:
    one = {"A": "Mean($close, 5)", "B": "$open"}
    known = compose(one).sha256
    assert compose({"A": "Mean( $close,5.0)", "B": "$open"}).sha256 == known
    assert compose({"B": "$open", "A": "Mean($close, 5)"}).sha256 != known
    assert compose({"A": "Mean($close, 5)", "C": "$open"}).sha256 != known
    assert compose({"A": "Mean($close, 6)", "B": "$open"}).sha256 != known
    assert compose(one, semantics=QLIB).sha256 != known
    assert compose({"A": one["A"]}, labels={"B": one["B"]}).sha256 != known


def test_all_faults_of_a_set_come_at_once() -> None:
    with pytest.raises(AlphaSwarmError) as caught:
        compose(
            {"A": "Meen($close, 5)", "B": "$close", "C": "Mean($close", "D": "Ref($close, -1)"},
            labels={"L": "Ref($clos, -1)"},
        )
    errors = caught.value.facts["errors"]
    assert [(error["path"], error["code"]) for error in errors] == [
        ("expressions.A", "unknown_name"),
        ("expressions.C", "expression_syntax"),
        ("expressions.D", "lookahead_expression"),
        ("labels.L", "unknown_name"),
    ]
    assert caught.value.wire_code == "unknown_name"
    assert errors[3]["nearest"][0] == "$close"
    assert errors[3]["position"] == 4


@pytest.mark.parametrize(
    ("features", "labels"),
    [
        pytest.param({}, {}, id="nothing"),
        pytest.param({"1A": "$close"}, {}, id="a digit first"),
        pytest.param({"A B": "$close"}, {}, id="a space"),
        pytest.param({"timestamp": "$close"}, {}, id="a column that every table has"),
        pytest.param({"MA": "$close", "ma": "$open"}, {}, id="names that differ by case"),
        pytest.param({"MA": "$close"}, {"MA": "$close"}, id="a label of a feature's name"),
        pytest.param({f"A{i}": "$close" for i in range(FEATURES + 1)}, {}, id="too many"),
        pytest.param(
            {f"A{i}": "+".join(["$close"] * 200) for i in range(30)}, {}, id="too large together"
        ),
    ],
)
def test_a_set_that_no_table_could_hold_is_refused(
    features: dict[str, str], labels: dict[str, str]
) -> None:
    with pytest.raises(BadInputError):
        compose(features, labels=labels)


@pytest.mark.parametrize(
    ("text", "semantics", "back", "anchored"),
    [
        pytest.param("Ref(Mean($close,5),3)", OURS, 7, False, id="windows add up"),
        pytest.param("Mean($close,5)-Mean($close,20)", OURS, 19, False, id="the longest counts"),
        pytest.param("Delta($close,3)", OURS, 3, False, id="a difference needs its row"),
        pytest.param("Delta($close,3)", QLIB, 2, True, id="Qlib loads one too few"),
        pytest.param("EMA($close,5)", OURS, EVERYTHING, False, id="a mean from the first row"),
        pytest.param("EMA($close,5)", QLIB, 4, True, id="Qlib begins it at the request"),
        pytest.param("Mean($close,0.3)", QLIB, 37, True, id="or 37 rows before"),
        pytest.param("Mean($close,0)", QLIB, 0, True, id="expanding from the request"),
    ],
)
def test_how_far_back_an_expression_sees(
    text: str, semantics: str, back: int, *, anchored: bool
) -> None:
    seen = reach(parse(text, semantics=semantics), semantics)
    assert (seen.back, seen.anchored) == (back, anchored)
