"""The blocks sweep and walk_forward: which trials they make, and what they refuse by path."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtimes.specs.backtest import BacktestSpec
from runtimes.specs.base import parse
from runtimes.specs.sweep import Range
from topology.canonical import sha256
from topology.errors import AlphaSwarmError

FAST, SLOW = "strategy.params.fast", "strategy.params.slow"


def body(**changes: Any) -> dict[str, Any]:
    return {
        "kind": "backtest",
        "name": "block",
        "universe": {"symbols": ["AAA.TEST"]},
        "data": {"start": "2001-01-01", "end": "2001-12-31"},
        "strategy": {"name": "sma_cross"},
    } | changes


def trials(**sweep: Any) -> list[dict[str, Any]]:
    return [dict(t.params) for t in BacktestSpec.model_validate(body(sweep=sweep)).trials]


def test_a_grid_counts_up_with_its_paths_sorted_the_last_one_fastest() -> None:
    found = trials(params={SLOW: [30, 20], FAST: {"distribution": "int", "low": 5, "high": 6}})

    assert found == [
        {FAST: 5, SLOW: 30},
        {FAST: 5, SLOW: 20},
        {FAST: 6, SLOW: 30},
        {FAST: 6, SLOW: 20},
    ]


@pytest.mark.parametrize(
    ("constraint", "left"),
    [
        pytest.param([FAST, "<", SLOW], [(5, 20), (5, 30), (25, 30)], id="two paths"),
        pytest.param([SLOW, ">=", 30], [(5, 30), (25, 30)], id="a path and a number"),
        pytest.param([FAST, "!=", "strategy.params.slow"], None, id="all differ"),
        pytest.param([SLOW, "==", "portfolio.cash"], [], id="a path that is not swept"),
    ],
)
def test_constraints_leave_combinations_out(
    constraint: list[Any], left: list[tuple[int, int]] | None
) -> None:
    block = {
        "params": {FAST: [5, 25], SLOW: [20, 30]},
        "constraints": [constraint, [FAST, "<", SLOW]],
    }
    if left == []:
        with pytest.raises(AlphaSwarmError, match="No combination"):
            parse("backtest", body(sweep=block))
        return
    wanted = left or [(5, 20), (5, 30), (25, 30)]
    assert [(t[FAST], t[SLOW]) for t in trials(**block)] == [
        pair for pair in wanted if pair[0] < pair[1]
    ]


def test_a_trial_is_the_spec_with_its_values_and_without_the_blocks() -> None:
    fees: list[Any] = [{"model": "zero"}, {"model": "bps", "bps": 2}]
    block = {"params": {"execution.fee": fees, "portfolio.leverage": [2]}}
    spec = BacktestSpec.model_validate(body(sweep=block))

    alone = body(execution={"fee": {"model": "bps", "bps": 2}}, portfolio={"leverage": 2})
    assert spec.trials[1].spec.body() == parse("backtest", alone).body()
    assert spec.planned_trials == 2


def test_specs_without_blocks_keep_their_hash() -> None:
    """Pinned: locked before there were sweeps."""
    plain = parse("backtest", body()).body()

    assert {"sweep", "walk_forward"} & set(plain) == set()
    swept = parse("backtest", body(sweep={"params": {FAST: [5]}})).body()
    swept.pop("sweep")
    assert sha256(swept) == sha256(plain)


@pytest.mark.parametrize(
    ("block", "path", "said"),
    [
        pytest.param({"params": {}}, "sweep.params", "at least 1", id="empty grid"),
        pytest.param({"params": {FAST: []}}, f"sweep.params.{FAST}", "nothing to try", id="no"),
        pytest.param(
            {"params": {"strategy.params.fst": [1]}},
            "sweep.params.strategy.params.fst[0]",
            "No key has this name",
            id="unknown parameter",
        ),
        pytest.param(
            {"params": {"universe.symbols": [1]}},
            "sweep.params.universe.symbols",
            "no path below",
            id="a path elsewhere",
        ),
        pytest.param(
            {"params": {FAST: [5, "six"]}}, f"sweep.params.{FAST}[1]", "integer", id="a wrong value"
        ),
        pytest.param(
            {"params": {FAST: [5, 60]}}, "sweep.params", "fast 60", id="a wrong combination"
        ),
        pytest.param(
            {"params": {FAST: list(range(1, 600)), SLOW: list(range(600, 1000))}},
            "sweep.params",
            "more than 200000",
            id="too many",
        ),
        pytest.param(
            {"params": {FAST: {"distribution": "float", "low": 1, "high": 2}}},
            f"sweep.params.{FAST}",
            "a list, or int",
            id="a grid of reals",
        ),
        pytest.param(
            {"params": {FAST: {"distribution": "log", "low": 0, "high": 2}}},
            f"sweep.params.{FAST}",
            "above 0",
            id="a logarithm of nothing",
        ),
        pytest.param(
            {"params": {FAST: [5]}, "method": "random"}, "sweep.trials", "required", id="how many"
        ),
        pytest.param(
            {"params": {FAST: [5]}, "trials": 3}, "sweep.trials", "as many", id="not of a grid"
        ),
        pytest.param(
            {"params": {FAST: [5]}, "objective": "sharp"}, "sweep.objective", "sharp", id="metric"
        ),
        pytest.param(
            {"params": {FAST: [5]}, "constraints": [[FAST, "<", "strategy.params.slw"]]},
            "sweep.params",
            "slw",
            id="a constraint on nothing",
        ),
        pytest.param(
            {"params": {FAST: [5]}, "constraints": [[FAST, "=<", 3]]},
            "sweep.constraints[0]",
            "=<",
            id="no such comparison",
        ),
        pytest.param({"params": {FAST: [5]}, "keep": "best"}, "sweep.keep", "best", id="keep"),
    ],
)
def test_what_is_wrong_with_a_sweep_is_refused_by_path(
    block: dict[str, Any], path: str, said: str
) -> None:
    with pytest.raises(AlphaSwarmError) as caught:
        parse("backtest", body(sweep=block))

    first = caught.value.facts["errors"][0]
    assert first["path"] == path
    assert said in f"{first['problem']} {first['value']}"


@pytest.mark.parametrize(
    ("block", "path", "code"),
    [
        pytest.param({"test": 5}, "walk_forward.train", "invalid_spec", id="no train"),
        pytest.param(
            {"train": 20, "test": 5}, "walk_forward.train", "not_enough_history", id="too short"
        ),
        pytest.param(
            {"train": 60, "test": 5, "groups": 3}, "walk_forward.groups", "invalid_spec", id="key"
        ),
        pytest.param(
            {"train": 60, "test": 5, "step": 4}, "walk_forward.step", "invalid_spec", id="overlap"
        ),
        pytest.param(
            {"mode": "cpcv", "groups": 4, "test_groups": 4},
            "walk_forward.test_groups",
            "invalid_spec",
            id="nothing to train on",
        ),
        pytest.param(
            {"train": 60, "test": 5, "select": "luck"},
            "walk_forward.select",
            "unknown_name",
            id="no such metric",
        ),
    ],
)
def test_what_is_wrong_with_a_walk_is_refused_by_path(
    block: dict[str, Any], path: str, code: str
) -> None:
    with pytest.raises(AlphaSwarmError) as caught:
        parse("backtest", body(walk_forward=block))

    assert caught.value.wire_code == code
    assert caught.value.facts["errors"][0]["path"] == path


@given(
    low=st.integers(-50, 50), span=st.integers(0, 60), step=st.integers(1, 9), seed=st.integers(0)
)
def test_whole_numbers_are_drawn_from_those_that_a_grid_would_take(
    low: int, span: int, step: int, seed: int
) -> None:
    numbers = Range(distribution="int", low=low, high=low + span, step=step)

    drawn = numbers.draw(np.random.Generator(np.random.Philox(key=seed % 2**64)))

    assert drawn in numbers.values()
    assert len(numbers.values()) == numbers.count
    assert max(numbers.values()) <= low + span
