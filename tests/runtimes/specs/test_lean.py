"""A spec by Lean's rules: what it means, and what it cannot have."""

from __future__ import annotations

from typing import Any

import pytest

from runtimes.specs.base import parse
from topology.errors import InvalidSpecError

LEAN = {"rules": "lean_2026"}


def spec(**changes: Any) -> dict[str, Any]:
    return {
        "kind": "backtest",
        "name": "small",
        "universe": {"symbols": ["SPY.ARCA"]},
        "data": {"start": "2013-10-07", "end": "2013-10-11"},
        "strategy": {"name": "buy_and_hold"},
    } | changes


def test_leans_rules_bring_leans_timing_and_its_leverage_of_two() -> None:
    body = parse("backtest", spec(execution=LEAN)).body()

    assert body["execution"]["fill"] == "lean_2026"
    assert body["portfolio"]["leverage"] == 2.0
    assert parse("backtest", body).body() == body


def test_the_standard_rules_say_nothing_of_lean() -> None:
    body = parse("backtest", spec()).body()

    assert body["portfolio"]["leverage"] == 1.0
    assert not {"rules", "lean"} & set(body["execution"])


def test_a_rate_is_a_number_or_steps() -> None:
    account = {"risk_free": 0.75, "trading_days": 365, "closed_leverage": 2}
    body = parse("backtest", spec(execution={**LEAN, "lean": account})).body()

    assert body["execution"]["lean"]["risk_free"] == [{"since": "1900-01-01", "percent": 0.75}]


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        pytest.param({"execution": {"fill": "lean_2026"}}, "execution.fill", id="Lean's timing"),
        pytest.param(
            {"execution": {**LEAN, "fill": "next_open"}}, "execution.fill", id="another timing"
        ),
        pytest.param(
            {"execution": {"lean": {"trading_days": 365}}}, "execution.lean", id="Lean's account"
        ),
        pytest.param(
            {"execution": {**LEAN, "slippage": {"model": "half_spread"}}},
            "execution.slippage.model",
            id="a slippage that Lean lacks",
        ),
        pytest.param(
            {"execution": {**LEAN, "max_participation": 0.1}},
            "execution.max_participation",
            id="participation",
        ),
        pytest.param(
            {"execution": LEAN, "portfolio": {"borrow_bps": 3}}, "portfolio.borrow_bps", id="borrow"
        ),
        pytest.param(
            {
                "execution": LEAN,
                "data": {"start": "2013-10-07", "end": "2013-10-11", "adjust": "split"},
            },
            "data.adjust",
            id="split-adjusted prices",
        ),
        pytest.param(
            {"execution": LEAN, "universe": {"name": "sp500"}}, "universe.name", id="name"
        ),
        pytest.param(
            {
                "execution": LEAN,
                "sweep": {"method": "grid", "params": {"portfolio.leverage": [1.0, 2.0]}},
            },
            "sweep",
            id="a sweep",
        ),
        pytest.param(
            {
                "execution": {
                    **LEAN,
                    "lean": {"risk_free": [{"since": "2013-01-02", "percent": 1}] * 2},
                }
            },
            "execution.lean.risk_free",
            id="a day twice",
        ),
    ],
)
def test_what_does_not_go_together_is_refused_by_its_path(
    changes: dict[str, Any], path: str
) -> None:
    with pytest.raises(InvalidSpecError) as caught:
        parse("backtest", spec(**changes))

    assert [line["path"] for line in caught.value.facts["errors"]] == [path]
