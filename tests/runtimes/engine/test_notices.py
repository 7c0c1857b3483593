"""What an account did that its reader must know is said in the warnings."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from runtimes.engine.arrays import Targets
from runtimes.engine.params import make
from runtimes.engine.results import Result
from runtimes.engine.script import Account, Script
from runtimes.engine.scripting import play
from runtimes.engine.simulation import Simulation
from tests.kit.engine import Recorder, flat_market, names


def simulate(market: Any, rows: list[int], weights: list[list[float]], params: Any) -> Result:
    targets = Targets(np.array(rows, dtype=np.int64), np.array(weights, dtype=float))
    simulation = Simulation(market, names(1), targets, params)
    simulation.advance()
    return simulation.result()


@pytest.mark.parametrize(
    ("rules", "code"),
    [
        pytest.param({"fill": "same_close"}, "same_bar_fill", id="decided and filled at once"),
        pytest.param({"leverage": 2.0}, "borrow_free", id="shorts cost nothing"),
        pytest.param(
            {"leverage": 2.0, "borrow_bps": 50, "maintenance": 0.5}, "margin_calls", id="called"
        ),
    ],
)
def test_what_an_account_does_is_said(rules: dict[str, Any], code: str) -> None:
    """Short 100 at 10 with 1,000; at 16 equity is 400, half of the value would be 800."""
    market = flat_market([[10.0], [10.0], [16.0], [16.0], [16.0]])
    result = simulate(market, [0], [[-1.0]], make(cash=1_000, **rules))
    said = {warning["code"] for warning in result.warnings}
    assert code in said
    assert ("borrow_free" in said) == ("borrow_bps" not in rules)


class Asks(Script):
    """Buys more than the account carries, half a share, and one share."""

    def on_bar(self, account: Account) -> None:
        if account.bar == 0:
            for quantity in (1_000.0, 0.5, 1.0):
                account.order("S000.TEST", quantity)


def test_rejected_orders_are_counted_by_reason() -> None:
    nothing = Targets(np.zeros(0, dtype=np.int64), np.zeros((0, 1)))
    simulation = Simulation(flat_market([[10.0]] * 3), names(1), nothing, make(cash=100))
    play(Asks(), simulation, Recorder())
    notice = next(w for w in simulation.result().warnings if w["code"] == "rejected_orders")
    assert notice["count"] == 2
    assert sum(notice["reasons"].values()) == 2
    assert notice["reasons"]["not enough buying power"] == 1


@pytest.mark.parametrize(
    ("adjust", "raw", "said"),
    [
        pytest.param("none", None, ["S000.TEST"], id="nothing is known"),
        pytest.param("none", [], None, id="every action is booked"),
        pytest.param("total", None, None, id="prices tell of them"),
    ],
)
def test_raw_prices_are_warned_of_where_no_action_is_known(
    adjust: str, raw: list[str] | None, said: list[str] | None
) -> None:
    nothing = Targets(np.zeros(0, dtype=np.int64), np.zeros((0, 1)))
    market = flat_market([[10.0]])
    simulation = Simulation(market, names(1), nothing, make(), adjust=adjust, raw=raw)
    simulation.advance()
    found = {w["code"]: w for w in simulation.result().warnings}
    assert found.get("raw_prices_no_actions", {}).get("symbols") == said


def test_what_volume_never_let_through_is_open_for_that_reason() -> None:
    market = flat_market([[10.0]] * 3)._replace(volume=np.full((3, 1), 100.0))
    result = simulate(market, [0], [[1.0]], make(cash=900, participation=0.25))
    assert result.orders["status"].tolist() == ["filled", "filled", "open"]
    assert result.orders["reason"].tolist() == ["", "", "not enough volume at once"]
    said = {warning["code"] for warning in result.warnings}
    assert "partial_fills" in said
    assert "unfilled_orders" not in said
