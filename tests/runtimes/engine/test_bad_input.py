"""Bad input, one row each: what the engine answers is what docs/reference/execution.md says."""

from __future__ import annotations

import ast
import datetime as dt
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import runtimes.engine
from runtimes.engine.arrays import DONE, LATCH, Market, Params, Targets
from runtimes.engine.errors import BadBarsError, InvalidWeightsError, StrategyError
from runtimes.engine.params import make
from runtimes.engine.results import Result
from runtimes.engine.script import Account, Script
from runtimes.engine.scripting import play
from runtimes.engine.simulation import Simulation
from tests.kit.engine import Recorder, by_name, flat_market, names

A = "S000.TEST"
NAN = float("nan")
ROOT = Path(__file__).resolve().parents[3]


class Once(Script):
    """Does something at bar 0."""

    def __init__(self, act: Any) -> None:
        self.act = act

    def on_bar(self, account: Account) -> None:
        if account.bar == 0:
            self.act(account)


def scripted(market: Market, act: Any, params: Params | None = None) -> Result:
    nothing = Targets(np.zeros(0, np.int64), np.zeros((0, 1)))
    simulation = Simulation(market, names(1), nothing, params or make())
    play(Once(act), simulation, Recorder())
    return simulation.result()


def weighed(market: Market, weight: float, params: Params | None = None) -> Result:
    targets = Targets(np.array([0]), np.array([[weight]]))
    simulation = Simulation(market, names(1), targets, params or make(cash=100))
    while simulation.advance() != DONE:
        pass
    return simulation.result()


PAST = dt.datetime(1960, 1, 1, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    "asked",
    [
        pytest.param({"quantity": 0}, id="nothing"),
        pytest.param({"quantity": NAN}, id="not a number"),
        pytest.param({"quantity": math.inf}, id="without end"),
        pytest.param({"quantity": 1, "kind": "stop"}, id="a stop without a price"),
        pytest.param({"quantity": 1, "kind": "stop_limit", "stop": 9.0}, id="half a stop-limit"),
        pytest.param({"quantity": 1, "kind": "limit", "limit": -3.0}, id="a negative limit"),
        pytest.param({"quantity": 1, "kind": "trailing_stop"}, id="a trail of nothing"),
        pytest.param({"quantity": 1, "take_profit": 0.0}, id="an exit at 0"),
        pytest.param({"quantity": 1, "tif": "gtd", "until": PAST}, id="good until the past"),
    ],
)
def test_an_impossible_order_is_rejected_counted_and_the_run_goes_on(asked: dict[str, Any]) -> None:
    result = scripted(flat_market([[10.0]] * 3), lambda a: a.order(A, **asked))
    assert result.orders["status"].tolist() == ["rejected"]
    assert result.orders["reason"].tolist() == ["the order is impossible"]
    (warning,) = [w for w in result.warnings if w["code"] == "rejected_orders"]
    assert warning["reasons"] == {"the order is impossible": 1}
    assert not result.partial


def test_a_limit_on_the_wrong_side_is_legal_and_fills_at_the_open() -> None:
    result = scripted(
        flat_market([[10], [11]]), lambda a: a.order(A, 1, "limit", limit=50.0), make(leverage=2)
    )
    assert by_name(result.fills, names(1)) == [(A, 1.0, 11.0)]


def test_an_order_beyond_the_leverage_is_rejected_as_such() -> None:
    result = scripted(flat_market([[10.0]] * 3), lambda a: a.order(A, 101), make(cash=1_000))
    assert result.orders["reason"].tolist() == ["not enough buying power"]


def test_an_unknown_symbol_names_the_nearest_and_the_bar() -> None:
    with pytest.raises(StrategyError) as caught:
        scripted(flat_market([[10.0]] * 3), lambda a: a.order("S000.TSET", 1))
    assert caught.value.facts["nearest"] == [A]
    assert caught.value.facts["timestamp"] == "1970-01-01T00:00:00Z"


def test_weights_beyond_the_leverage_name_bar_symbol_and_value() -> None:
    with pytest.raises(InvalidWeightsError) as caught:
        weighed(flat_market([[10.0]] * 3), -1.5)
    facts = caught.value.facts
    assert (facts["symbol"], facts["value"], facts["leverage"]) == (A, "-1.5", 1.0)


def test_weights_asked_for_one_by_one_are_held_to_the_leverage_together() -> None:
    """Half and half is all; three quarters after a half is refused, half after a whole replaces."""

    def played(*asked: tuple[int, float]) -> Result:
        nothing = Targets(np.zeros(0, np.int64), np.zeros((0, 2)))
        simulation = Simulation(flat_market([[10.0, 10.0]] * 3), names(2), nothing, make())
        act = Once(lambda account: [account.target(account.symbols[i], w) for i, w in asked])
        play(act, simulation, Recorder())
        return simulation.result()

    assert played((0, 0.5), (1, -0.5)).curve.gross_exposure.max() == pytest.approx(1.0)
    assert played((0, 1.0), (0, 0.5), (1, 0.5)).curve.gross_exposure.max() == pytest.approx(1.0)
    with pytest.raises(InvalidWeightsError) as caught:
        played((0, 0.5), (1, 0.75))
    assert caught.value.facts["symbol"] == names(2)[1]
    assert caught.value.facts["timestamp"] == "1970-01-01T00:00:00Z"


def test_a_margin_call_that_comes_too_late_ends_in_ruin_not_in_an_error() -> None:
    """Twice leveraged, the price halves and more: no equity is left for a call to save."""
    params = make(cash=100, leverage=2, maintenance=0.25)
    result = weighed(flat_market([[10], [10], [4], [4], [4]]), 2.0, params)
    assert result.curve.equity.tolist() == [100, 100, -20, -20, -20]
    assert result.fills["tag"].tolist() == ["target", "ruin"]
    assert "ruined" in [w["code"] for w in result.warnings]
    assert not result.partial


def test_margin_calls_follow_one_another_down_to_nothing() -> None:
    params = make(cash=1_000, leverage=2, maintenance=0.4)
    result = weighed(flat_market([[10], [10], [7.5], [6.0], [5.0], [4.5], [4.5]]), 2.0, params)
    (warning,) = [w for w in result.warnings if w["code"] == "margin_calls"]
    assert warning["count"] == (result.orders["status"] == "filled").sum() - 1
    assert warning["count"] > 1
    assert (result.curve.equity > 0).all()
    assert (result.curve.gross_exposure[-1] * 0.4) <= 1.0


@pytest.mark.parametrize(
    ("column", "value", "rule"),
    [
        pytest.param("close", -1.0, "prices are finite and above 0", id="a negative price"),
        pytest.param("low", 0.0, "prices are finite and above 0", id="a price of 0"),
        pytest.param("open", NAN, "a bar has all four prices or none", id="a part of a bar"),
        pytest.param("high", 1.0, "high is not below low", id="high below low"),
        pytest.param("volume", -5.0, "volume is not negative", id="negative volume"),
    ],
)
def test_a_broken_bar_is_refused_with_symbol_rule_and_time(
    column: str, value: float, rule: str
) -> None:
    market = flat_market([[10.0]] * 3)
    broken = getattr(market, column).copy()
    broken[1, 0] = value
    with pytest.raises(BadBarsError) as caught:
        weighed(market._replace(**{column: broken}), 0.5)
    assert caught.value.facts["symbol"] == A
    assert caught.value.facts["rule"] == rule
    assert caught.value.facts["timestamps"] == ["1970-01-02T00:00:00Z"]


class TestAHaltedSymbol:
    """No bar for days, or bars without volume."""

    gap = flat_market([[10], [10], [NAN], [NAN], [NAN], [8], [8]])

    def test_orders_wait_and_positions_keep_their_last_close(self) -> None:
        market = self.gap
        targets = Targets(np.array([0, 2]), np.array([[1.0], [0.0]]))
        simulation = Simulation(market, names(1), targets, make(cash=100))
        simulation.advance()
        result = simulation.result()
        assert by_name(result.fills, names(1)) == [(A, 10.0, 10.0), (A, -10.0, 8.0)]
        assert result.fills["timestamp"].tolist() == market.timestamps[[1, 5]].tolist()
        assert result.curve.equity.tolist() == [100, 100, 100, 100, 100, 80, 80]

    def test_a_stop_fills_at_the_open_behind_the_gap(self) -> None:
        def act(account: Account) -> None:
            account.order(A, 5)
            account.order(A, -5, "stop", stop=9.0)

        result = scripted(self.gap, act, make(cash=100))
        assert by_name(result.fills, names(1)) == [(A, 5.0, 10.0), (A, -5.0, 8.0)]

    def test_a_day_order_ends_while_nothing_trades(self) -> None:
        market = flat_market([[10], [NAN], [NAN], [10]])
        result = scripted(market, lambda a: a.order(A, 5, tif="day"))
        assert result.orders["status"].tolist() == ["expired"]

    def test_without_volume_nothing_fills_under_a_cap_and_all_without(self) -> None:
        market = flat_market([[10.0]] * 4)
        quiet = market._replace(volume=np.array([[1e6], [0.0], [0.0], [1e6]]))
        capped = weighed(quiet, 0.5, make(cash=100, participation=0.1))
        assert capped.fills["timestamp"].tolist() == [quiet.timestamps[3]]
        assert weighed(quiet, 0.5).fills["timestamp"].tolist() == [quiet.timestamps[1]]

    def test_one_that_never_trades_is_named(self) -> None:
        never = flat_market([[10, NAN]] * 3)
        targets = Targets(np.array([0]), np.array([[0.5, 0.5]]))
        simulation = Simulation(never, names(2), targets, make())
        simulation.advance()
        codes = {w["code"]: w for w in simulation.result().warnings}
        assert codes["no_bars"]["symbols"] == [names(2)[1]]


def called(tree: ast.AST) -> set[str]:
    """Return the names of the functions that are called somewhere in ``tree``."""
    return {getattr(c.func, "id", "") for c in ast.walk(tree) if isinstance(c, ast.Call)}


class TestTheLatch:
    """Every compiled loop over bars that trades looks at the halt's counter at each of them."""

    @pytest.mark.parametrize("booked", [False, True], ids=["weights alone", "with a book"])
    @pytest.mark.parametrize("still", [False, True], ids=["trading", "holding"])
    def test_both_kernels_stop_before_the_next_bar(self, booked: bool, still: bool) -> None:
        market = flat_market([[10.0]] * 50)
        rows = np.array([0]) if still else np.arange(0, 50, 2)
        weights = np.where(np.arange(rows.size) % 2, 0.2, 0.8)[:, None]
        latch = np.zeros(1, dtype=np.int64)
        params = make(maintenance=0.1 if booked else 0.0)
        simulation = Simulation(market, names(1), Targets(rows, weights), params, latch=latch)
        simulation.advance(20)
        latch[0] += 1
        assert simulation.advance() == LATCH
        assert simulation.current == 20

    def test_every_loop_that_steps_through_bars_loads_it_atomically(self) -> None:
        """A loop over bars in compiled code that calls the step, or marks, must call ``latest``."""
        folder = Path(runtimes.engine.__file__).parent
        loops = []
        for path in sorted(folder.glob("*.py")):
            for function in ast.walk(ast.parse(path.read_text())):
                if not isinstance(function, ast.FunctionDef):
                    continue
                for loop in ast.walk(function):
                    if isinstance(loop, ast.For | ast.While) and called(loop) & {"step", "mark"}:
                        loops.append(function.name)
                        assert "latest" in called(loop), f"{path.name}: {function.name}"
        assert {"run", "glide"} <= set(loops)


def test_the_reference_s_paper_trade_runs() -> None:
    text = (ROOT / "docs/reference/execution.md").read_text()
    (block,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    exec(compile(block, "execution.md", "exec"), {})
