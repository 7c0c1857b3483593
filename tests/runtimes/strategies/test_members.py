"""Strategies over a universe whose members come and go."""

from __future__ import annotations

import numpy as np
import pytest

from runtimes.strategies import STRATEGIES
from runtimes.strategies.base import View, plan
from tests.kit.engine import flat_market, random_market
from tests.kit.views import SMALL, seen


@pytest.mark.parametrize("name", sorted(SMALL))
def test_no_strategy_holds_whom_the_universe_does_not_have(name: str) -> None:
    """Two of four symbols belong for the first 40 bars, the other two after them."""
    strategy = STRATEGIES.weights(name)
    params = strategy.params.model_validate(SMALL[name])
    market = random_market(11, bars=80, symbols=4)
    member = np.zeros((80, 4), dtype=bool)
    member[:40, :2] = member[40:, 2:] = True
    whole = seen(strategy, params, market, 20)
    view = View(market, 20, member, whole.panels, whole.symbols)
    found = plan(strategy, params, view)
    assert not found.weights[~member[found.rows]].any()
    assert (np.abs(found.weights).sum(axis=1) <= 1 + 1e-12).all()


def test_places_go_to_members_only() -> None:
    """S001 rose most but does not belong: the place is S002's, not empty."""
    market = flat_market([[10, 10, 10], [11, 20, 12]])
    member = np.array([[True, False, True]] * 2)
    momentum = STRATEGIES.weights("momentum")
    params = momentum.params.model_validate({"lookback": 1, "top": 1, "rebalance": "daily"})
    assert plan(momentum, params, View(market, 1, member)).weights.tolist() == [[0, 0, 1]]


def test_sides_are_parts_of_who_belongs_then() -> None:
    """Two rising symbols, one of which leaves: the other's part grows from a half to one."""
    market = flat_market([[1, 1], [2, 2], [3, 3], [4, 4]])
    member = np.array([[True, True], [True, True], [True, False], [True, False]])
    cross = STRATEGIES.weights("sma_cross")
    params = cross.params.model_validate({"fast": 1, "slow": 2})
    found = plan(cross, params, View(market, 1, member))
    assert found.rows.tolist() == [1, 2]
    assert found.weights.tolist() == [[0.5, 0.5], [1, 0]]
