"""Spec files: which server they are for, and ``--set``, without judging them here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from clients.cli import specs
from clients.cli.calling import pair
from runtimes.specs.base import parse
from topology.errors import AlphaSwarmError, BadInputError, InvalidSpecError, MissingError


def test_the_spec_of_the_demo_is_the_one_of_the_contract() -> None:
    spec = parse("backtest", specs.packaged()).body()
    assert spec["name"] == "momentum-top3"
    assert spec["strategy"] == {
        "name": "momentum",
        "params": {"lookback": 126, "top": 3, "rebalance": "monthly"},
    }
    assert (spec["data"]["start"], spec["data"]["end"]) == ("2001-01-01", "2012-12-31")
    assert len(spec["universe"]["symbols"]) == 5


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        pytest.param("kind: backtest\nname: x\n", "backtest", id="first line"),
        pytest.param("# a comment\nname: x\nkind: data\n", "data", id="later"),
        pytest.param('{"name": "x", "kind": "backtest"}', "backtest", id="json"),
        pytest.param('"kind": "backtest"\n', "backtest", id="quoted"),
        pytest.param("a: {kind: x}\nkind: data", "data", id="behind a kind further down"),
        pytest.param("a: [1, kind]\nb: kind\nkind: data", "data", id="behind the word elsewhere"),
        pytest.param("universe: {symbols: [A.B]}\nkind: backtest", "backtest", id="braces first"),
        pytest.param("a: {b: 1}\nc: 2\nkind: {x: 1}\nkind: data", "data", id="second of two"),
    ],
)
def test_the_kind_of_a_spec(text: str, kind: str) -> None:
    assert specs.kind_of(text) == kind


@pytest.mark.parametrize(
    "text", ["", "name: x", "params: {kind: data}", "{}", "[kind, data]", "kind: {a: 1}", "kind"]
)
def test_a_spec_without_a_kind_is_refused(text: str) -> None:
    with pytest.raises(InvalidSpecError, match="which kind"):
        specs.kind_of(text)


def test_without_settings_the_text_itself_is_sent() -> None:
    text = specs.packaged()
    assert specs.changed(text, []) is text


@pytest.mark.parametrize(
    ("setting", "path", "value"),
    [
        pytest.param("seed=8", ["seed"], 8, id="number"),
        pytest.param("data.start=2005-01-01", ["data", "start"], "2005-01-01", id="a date is text"),
        pytest.param("strategy.params.top=2", ["strategy", "params", "top"], 2, id="deep"),
        pytest.param(
            'universe.symbols=["A.B"]', ["universe", "symbols"], ["A.B"], id="a whole list"
        ),
        pytest.param("benchmark=null", ["benchmark"], None, id="null"),
        pytest.param("new.key=x", ["new", "key"], "x", id="a key that is not there yet"),
    ],
)
def test_set_changes_one_value_and_no_other(setting: str, path: list[str], value: Any) -> None:
    before: Any = specs.changed(specs.packaged(), ["seed=7"])
    after: Any = specs.changed(specs.packaged(), [setting])
    found = after
    for name in path:
        found = found[name]
    assert found == value
    untouched = {key for key in before if key != path[0]}
    assert {key: after[key] for key in untouched} == {key: before[key] for key in untouched}


def test_dates_and_words_of_an_old_yaml_stay_text() -> None:
    text = "{kind: x, a: 2001-01-01, b: no, c: 16:00, d: 1.5, e: ~, f: '7', g: [1e3, true, 012]}"
    data: Any = specs.changed(text, ["h=1"])
    assert data == {
        "kind": "x", "a": "2001-01-01", "b": "no", "c": "16:00", "d": 1.5, "e": None, "f": "7",
        "g": [1000.0, True, "012"], "h": 1,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "setting", "problem"),
    [
        pytest.param("kind: x\nseed: 1", "seed.deep=1", "not a mapping", id="below a number"),
        pytest.param("kind: [", "a=1", "not YAML", id="broken"),
        pytest.param("- kind: x", "a=1", "mapping", id="a list"),
        pytest.param("kind: x", "a", "NAME=VALUE", id="no value"),
        pytest.param("kind: x", "=1", "NAME=VALUE", id="no name"),
        pytest.param("!!python/object:os.system {}", "a=1", "not allowed", id="code"),
        pytest.param("[" * 9000 + "]" * 9000, "a=1", "too deep", id="9,000 brackets"),
        pytest.param("a: &x [*x]", "a=1", "not allowed", id="a list in itself"),
    ],
)
def test_settings_that_cannot_be_made(text: str, setting: str, problem: str) -> None:
    with pytest.raises(AlphaSwarmError) as caught:
        specs.changed(text, [setting])
    assert problem in f"{caught.value.message} {caught.value.hint}"


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        pytest.param(b"\xff\xfe", "not UTF-8", id="bytes"),
        pytest.param(b"a" * (specs.LARGEST + 1), "more than", id="too large"),
    ],
)
def test_files_that_are_no_specs(tmp_path: Path, content: bytes, problem: str) -> None:
    file = tmp_path / "spec.yaml"
    file.write_bytes(content)
    with pytest.raises(InvalidSpecError, match=problem):
        specs.read(file)


@pytest.mark.parametrize("name", ["missing.yaml", "."])
def test_a_path_that_is_no_file(tmp_path: Path, name: str) -> None:
    with pytest.raises(MissingError, match="cannot be read"):
        specs.read(tmp_path / name)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a=1", ("a", 1)),
        ("a=x", ("a", "x")),
        ("a=", ("a", "")),
        ("a=b=c", ("a", "b=c")),
        ('a={"b": [1]}', ("a", {"b": [1]})),
        ("a=true", ("a", True)),
    ],
)
def test_an_argument_is_json_where_it_parses(text: str, expected: tuple[str, Any]) -> None:
    assert pair(text) == expected


def test_an_argument_needs_a_name() -> None:
    with pytest.raises(BadInputError):
        pair("novalue")
