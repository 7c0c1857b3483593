"""What a cell may ask: whatever it sends, it is answered or refused, and nothing is booked."""

from __future__ import annotations

import contextlib
import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from runtimes.engine.arrays import Targets
from runtimes.engine.desk import Desk
from runtimes.engine.errors import InvalidWeightsError, StrategyError
from runtimes.engine.params import make
from runtimes.engine.script import Account
from runtimes.engine.simulation import Simulation
from runtimes.sandbox.errors import NonsenseError
from runtimes.sandbox.judging import answered
from tests.kit.cells import BARS, FIRST, SYMBOLS, Quiet
from tests.kit.engine import random_market


@pytest.fixture(scope="module")
def account() -> Account:
    """Return the account of a run at its first bar: whatever is asked there fills later."""
    market = random_market(3, bars=BARS, symbols=len(SYMBOLS))
    nothing = Targets(np.zeros(0, np.int64), np.zeros((0, len(SYMBOLS))))
    desk = Desk(Simulation(market, SYMBOLS, nothing, make(), first=FIRST), Quiet())
    assert desk.next()
    return Account(desk, SYMBOLS)


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.integers(-2, 3)
    | st.floats()
    | st.text(max_size=40),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["limit", "stop", "until", "tif", "x"]), inner, max_size=3
        )
    ),
    max_leaves=8,
)
NAMES = st.sampled_from(
    ["order", "update", "cancel", "open_orders", "target", "quantity_for", "positions", "cash"]
)


@settings(max_examples=300, deadline=None)
@given(st.tuples(NAMES, st.lists(VALUES, max_size=4)).map(lambda asked: [asked[0], *asked[1]]))
@example(["order", 0, 1.0, "market", {"limit": 1, "stop": None, "tif": "day", "until": 0}])
@example(["target", [[0, 0.5], [1, math.nan]]])
def test_whatever_is_asked_is_answered_or_refused_and_nothing_is_booked(
    account: Account, asked: Any
) -> None:
    with contextlib.suppress(StrategyError, InvalidWeightsError):
        answered(account, json.loads(json.dumps(asked)))
    assert (account.cash, account.equity, account.positions()) == (100_000.0, 100_000.0, {})


@pytest.mark.parametrize("wrong", [None, 7, "order", {}, [], [[]], [7], ["order"], ["exit", 0]])
def test_what_is_no_request_is_refused(account: Account, wrong: Any) -> None:
    with pytest.raises(NonsenseError, match="it is not believed"):
        answered(account, wrong)
