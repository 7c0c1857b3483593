"""``strategy`` of a spec: a member by name, or source of one's own, hashed and refused by place."""

from __future__ import annotations

from typing import Any, cast

import pytest

from runtimes.specs.backtest import BacktestSpec
from runtimes.specs.base import parse
from topology.canonical import sha256
from topology.errors import BadInputError

CODE = """
class Strategy(Script):
    warmup = 12

    def __init__(self, window=10, *, part):
        self.window, self.part = window, part
"""


def spec(strategy: dict[str, Any], **changes: Any) -> BacktestSpec:
    body = {
        "kind": "backtest",
        "name": "small",
        "universe": {"symbols": ["AAA.TEST", "BBB.TEST"]},
        "data": {"start": "2001-01-01", "end": "2001-12-31"},
        "strategy": strategy,
    }
    return cast("BacktestSpec", parse("backtest", body | changes))


def problems(strategy: dict[str, Any], **changes: Any) -> list[dict[str, Any]]:
    with pytest.raises(BadInputError) as caught:
        spec(strategy, **changes)
    return list(caught.value.facts["errors"])


def test_the_source_is_part_of_the_hash_and_a_spec_without_it_has_the_hash_it_had() -> None:
    plain = spec({"name": "buy_and_hold"}).body()
    sourced = [spec({"code": CODE + end, "params": {"part": 1}}).body() for end in ("", "#", "")]

    assert plain["strategy"] == {"name": "buy_and_hold", "params": {}}
    assert sourced[0]["strategy"]["code"] == CODE
    assert sha256(sourced[0]) == sha256(sourced[2]) != sha256(sourced[1])
    assert spec(sourced[0]["strategy"]).body() == sourced[0], "what is locked is read again"


def test_source_has_a_name_of_its_own_a_look_back_and_parameters() -> None:
    found = spec({"name": "my.dip", "code": CODE, "params": {"part": 0.5, "window": 3}})

    assert (found.strategy.name, found.warmup) == ("my.dip", 12)
    assert found.strategy.params.model_dump() == {"part": 0.5, "window": 3}
    assert spec({"code": CODE, "params": {"part": 1}}).strategy.name == "submitted"


def test_a_sweep_varies_the_parameters_of_source_and_each_is_a_trial() -> None:
    sweep = {"params": {"strategy.params.window": [5, 10, 20]}}
    found = spec({"code": CODE, "params": {"part": 1}}, sweep=sweep)

    assert found.looked()["trials"] == 3
    assert [trial.spec.strategy.params.model_dump()["window"] for trial in found.trials] == [
        5,
        10,
        20,
    ]
    assert {trial.spec.strategy.code for trial in found.trials} == {CODE}


@pytest.mark.parametrize(
    ("strategy", "path", "said"),
    [
        pytest.param({"code": "x ="}, "strategy.code", "line 1, column 4", id="does not compile"),
        pytest.param({"code": "x = 1"}, "strategy.code", "no class Strategy", id="no class"),
        pytest.param({"code": "import os"}, "strategy.code", "no module 'os'", id="a module"),
        pytest.param({"code": "#" * 70_000}, "strategy.code", "65536 are allowed", id="too large"),
        pytest.param({"code": 7}, "strategy.code", "string", id="no text"),
        pytest.param(
            {"code": CODE}, "strategy.params.part", "needs the parameter part", id="lacks"
        ),
        pytest.param(
            {"code": CODE, "params": {"part": 1, "windw": 2}},
            "strategy.params.windw",
            "'windw'",
            id="misspelt",
        ),
        pytest.param(
            {"code": CODE, "params": {"part": {"a": 1}}},
            "strategy.params.part",
            "A number",
            id="deep",
        ),
        pytest.param(
            {"code": CODE, "name": "momentum", "params": {"part": 1}},
            "strategy.name",
            "momentum is a strategy of the registry",
            id="a name that is taken",
        ),
        pytest.param(
            {"code": CODE, "name": "../x", "params": {"part": 1}},
            "strategy.name",
            "a-z",
            id="no name",
        ),
    ],
)
def test_what_is_wrong_is_named_once_by_its_path(
    strategy: dict[str, Any], path: str, said: str
) -> None:
    (problem,) = problems(strategy)
    assert problem["path"] == path
    assert said in problem["problem"]


def test_line_and_column_stand_beside_the_problem() -> None:
    (problem,) = problems({"code": "class Strategy:\n    x = 1 +\n"})
    assert problem["position"] == {"line": 2, "column": 12}


def test_no_sweep_writes_source_and_none_sees_who_belongs() -> None:
    swept = {"params": {"strategy.code": [CODE]}}
    assert (
        problems({"name": "buy_and_hold"}, sweep=swept)[0]["path"] == "sweep.params.strategy.code"
    )
    nested = {"params": {"strategy.params.code": [CODE]}}
    assert problems({"name": "buy_and_hold"}, sweep=nested)
    named = problems({"code": CODE, "params": {"part": 1}}, universe={"name": "large-caps"})
    assert named[0]["path"] == "universe"
