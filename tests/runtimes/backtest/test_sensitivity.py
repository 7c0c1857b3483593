"""What costs and delays do to a result: the same decisions, traded again by the same kernel."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from runtimes.backtest import sensitivity
from runtimes.backtest.bars import Window
from runtimes.backtest.reruns import Reruns
from runtimes.engine.arrays import TERMS, Market, named, surrounded
from runtimes.engine.results import Result
from runtimes.specs.backtest import BacktestSpec
from runtimes.specs.base import parse
from runtimes.strategies import STRATEGIES
from runtimes.strategies.base import Strategy, StrategyParams, View, targets
from tests.kit.engine import flat_market, names, random_market
from topology.errors import BadInputError

CASH = 100_000.0


def reruns_of(symbols: int, **execution: Any) -> Reruns:
    spec = parse(
        "backtest",
        {
            "kind": "backtest",
            "name": "sensitive",
            "universe": {"symbols": list(names(symbols))},
            "data": {"start": "2001-01-01", "end": "2001-12-31"},
            "strategy": {"name": "equal_weight"},
            "portfolio": {"fractional": True},
            "execution": execution,
        },
    )
    assert isinstance(spec, BacktestSpec)
    return Reruns(spec, STRATEGIES.weights("equal_weight"))


def measured(
    reruns: Reruns, market: Market, decisions: Any, window: Window | None = None
) -> tuple[dict[str, Any], Result]:
    window = window or Window(market, names(market.close.shape[1]), 0)
    whole = reruns.trade(window, decisions)

    def trade(factor: float, delay: int) -> Result:
        return reruns.trade(window, decisions, cost_scale=factor, delay=delay)

    found = sensitivity.measured(trade, whole, cash=CASH, periods_per_year=252)
    return found, whole


ROUND_TRIP = targets(np.array([0, 3]), np.array([[1.0], [0.0]]))
"""Decided at the close of bar 0, sold by the decision of bar 3."""


def test_a_round_trip_by_hand() -> None:
    """Bought at 100, sold at 110, 100 bps on each side: 0.99 / 1.01 of the money each time."""
    reruns = reruns_of(1, fee={"model": "zero"}, slippage={"model": "bps", "bps": 100})
    market = flat_market([[100.0]] * 4 + [[110.0]] * 8)
    found, _ = measured(reruns, market, ROUND_TRIP)

    returns = {row["factor"]: row["total_return"] for row in found["cost"]}
    for factor, cost in ((0.0, 0.0), (1.0, 0.01), (2.0, 0.02), (3.0, 0.03)):
        assert returns[factor] == pytest.approx(1.1 * (1 - cost) / (1 + cost) - 1)
    # without costs 100,000 is bought and 110,000 sold for a profit of 10,000
    assert found["break_even_bps"] == pytest.approx(10_000 / 210_000 * 1e4)
    paid = (0.1 - returns[1.0]) * CASH / 210_000 * 1e4
    assert found["cost_bps"] == pytest.approx(paid)
    assert found["skipped"] is None


def test_foreign_money_is_counted_in_the_account_s() -> None:
    """The round trip in a currency of which a unit is worth 2: half the foreign money."""
    rules = {"fee": {"model": "zero"}, "slippage": {"model": "bps", "bps": 100}}
    market = flat_market([[100.0]] * 4 + [[110.0]] * 8)
    home, _ = measured(reruns_of(1, **rules), market, ROUND_TRIP)
    terms = np.array([(0.0, 0.0, 1)], dtype=TERMS)
    conditions = surrounded(None)._replace(terms=named(terms), rates=np.full((12, 1), 2.0))
    window = Window(market, names(1), 0, conditions=conditions)
    abroad, _ = measured(reruns_of(1, **rules), market, ROUND_TRIP, window)

    for name in ("break_even_bps", "cost_bps"):
        assert abroad[name] == pytest.approx(home[name])
    assert abroad["cost"][0]["traded"] == pytest.approx(210_000)


def test_a_delay_by_hand() -> None:
    """The rise is between bars 3 and 4: who buys at bar 4 or later has missed it."""
    reruns = reruns_of(1, fee={"model": "zero"})
    market = flat_market([[100.0]] * 4 + [[110.0]] * 8)
    found, _ = measured(reruns, market, ROUND_TRIP)
    late = {row["bars"]: row["total_return"] for row in found["delay"]}
    assert late == {
        0: pytest.approx(0.1),  # bought at the open of bar 1
        1: pytest.approx(0.1),
        2: pytest.approx(0.1),
        5: pytest.approx(0.0),
    }


@pytest.mark.parametrize(
    "execution",
    [
        pytest.param({"fee": {"model": "interactive_brokers"}}, id="interactive brokers"),
        pytest.param({"fee": {"model": "per_share", "per_share": 0.05}}, id="per share"),
        pytest.param({"fee": {"model": "bps", "bps": 20}}, id="bps"),
        pytest.param({"slippage": {"model": "volume_share", "impact": 0.5}}, id="volume share"),
    ],
)
def test_the_first_rows_are_the_run_itself_and_costs_only_cost(execution: dict[str, Any]) -> None:
    reruns = reruns_of(3, **execution)
    market = random_market(5, bars=120, symbols=3)
    decisions = reruns.decide(Window(market, names(3), 0))
    found, whole = measured(reruns, market, decisions)

    own = whole.curve.equity[-1] / CASH - 1
    assert found["cost"][1]["total_return"] == pytest.approx(own, abs=0)
    assert found["delay"][0]["total_return"] == pytest.approx(own, abs=0)
    again = reruns.trade(Window(market, names(3), 0), decisions, cost_scale=1.0, delay=0)
    assert np.array_equal(again.curve.equity, whole.curve.equity)
    returns = [row["total_return"] for row in found["cost"]]
    assert returns == sorted(returns, reverse=True)
    assert returns[0] > returns[-1]


def test_a_run_without_trades_has_nothing_to_break_even() -> None:
    reruns = reruns_of(1)
    found, _ = measured(reruns, flat_market([[100.0]] * 6), targets(np.zeros(0), np.zeros((0, 1))))
    assert (found["break_even_bps"], found["cost_bps"]) == (None, None)
    assert [row["total_return"] for row in found["cost"]] == [0.0] * 4
    assert [row["sharpe"] for row in found["cost"]] == [None] * 4


def test_a_repetition_that_fails_says_so() -> None:
    market = random_market(1, bars=40, symbols=1)
    reruns = reruns_of(1)
    decisions = reruns.decide(Window(market, names(1), 0))
    whole = reruns.trade(Window(market, names(1), 0), decisions)

    def trade(factor: float, delay: int) -> Result:
        raise BadInputError(f"No {factor} and {delay}.")

    found = sensitivity.measured(trade, whole, cash=CASH, periods_per_year=252)
    assert found["cost"][0] == {
        "factor": 0.0,
        "total_return": None,
        "sharpe": None,
        "traded": None,
        "error": "No 0.0 and 0.",
    }
    assert found["cost"][1]["total_return"] is not None
    assert found["break_even_bps"] is None


@pytest.mark.parametrize(
    ("bars", "symbols", "script", "repeated"),
    [
        pytest.param(3_000, 5, False, True, id="the demo"),
        pytest.param(1_000_000, 1, False, True, id="a million bars"),
        pytest.param(5_000, 5_000, False, False, id="too many cells"),
        pytest.param(3_000, 5, True, True, id="a daily script"),
        pytest.param(98_280, 1, True, False, id="a script on a year of minutes"),
    ],
)
def test_what_is_too_large_to_repeat_is_said(
    bars: int, symbols: int, *, script: bool, repeated: bool
) -> None:
    why = sensitivity.too_much(bars, symbols, script=script)
    assert (why is None) == repeated
    found = sensitivity.skipped(why or "")
    assert found["skipped"] == (why or "")
    assert found["cost"] == found["delay"] == []


def test_decisions_are_those_of_the_strategy() -> None:
    def decide(view: View, _: StrategyParams) -> Any:
        return targets(np.array([view.first]), np.ones((1, 1)))

    reruns = Reruns(reruns_of(1).spec, Strategy("Once", StrategyParams, lambda _: 1, decide))
    window = Window(random_market(2, bars=20, symbols=1), names(1), 4)
    assert reruns.decide(window).rows.tolist() == [4]
    seen = reruns.see(window, 3)
    assert seen.decisions.at.tolist() == [4]
    assert seen.fills.at.tolist() == [window.market.timestamps[5]]
