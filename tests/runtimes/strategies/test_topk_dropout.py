"""Qlib's top k with dropout: by hand, beside its own class, and through the account."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runtimes.engine.arrays import Targets
from runtimes.engine.params import make
from runtimes.engine.scripting import play
from runtimes.engine.simulation import Simulation
from runtimes.strategies.base import View
from runtimes.strategies.topk_dropout import STRATEGY, Choice, TopkDropoutParams, choose
from tests.kit.engine import Recorder, flat_market, names
from tests.kit.topk import traded
from tests.kit.views import told

NAN = float("nan")


def params(**more: Any) -> TopkDropoutParams:
    return TopkDropoutParams.model_validate({"signal": "$close", "topk": 3, "n_drop": 1} | more)


@pytest.mark.parametrize(
    ("scores", "held", "more", "sell", "buy"),
    [
        pytest.param([5, 4, 3, 2, 1], [], {}, [], [0, 1, 2], id="begins with the best three"),
        pytest.param([1, 2, 3, 4, 5], [2, 3, 4], {}, [], [], id="keeps the best three"),
        pytest.param([5, 1, 2, 3, 4], [1, 3, 4], {}, [1], [0], id="swaps the worst for the best"),
        pytest.param([5, 6, 1, 2, 3], [2, 3, 4], {}, [2], [1], id="one of two, as n_drop says"),
        pytest.param([5, 6, 1, 2, 3], [2, 3, 4], {"n_drop": 2}, [3, 2], [1, 0], id="both"),
        pytest.param([3.5, 1, 4, 3, 5], [2, 3, 4], {}, [3], [0], id="the last held is beaten"),
        pytest.param([2, 1, 4, 3, 5], [2, 3, 4], {}, [], [], id="a candidate is the worst itself"),
        pytest.param([1, 2, 3, 4, NAN], [2, 3, 4], {}, [4], [1], id="without a score it is last"),
        pytest.param([5, NAN, NAN, 1, NAN], [], {}, [], [0, 3], id="only scores can be bought"),
        pytest.param([5, 5, 5, 5, 5], [], {}, [], [0, 1, 2], id="equal scores by symbol"),
        pytest.param([9, 8, 7, 6, 5], [3, 4], {"n_drop": 2}, [3, 4], [0, 1, 2], id="fills up"),
    ],
)
def test_who_is_sold_and_bought_by_hand(
    scores: list[float], held: list[int], more: Any, sell: list[int], buy: list[int]
) -> None:
    rng = np.random.default_rng(0)
    found = choose(np.array(scores), held, params(**more), tradable=[True] * 5, rng=rng)
    assert found == Choice(sell, buy)


def test_only_tradable_ones_are_candidates() -> None:
    chosen = choose(
        np.array([5.0, 4.0, 3.0, 2.0, 1.0]),
        [],
        params(only_tradable=True),
        tradable=[False, True, True, False, True],
        rng=np.random.default_rng(0),
    )
    assert chosen.buy == [1, 2, 4]


def test_random_ways_depend_on_the_seed_alone() -> None:
    scores, wild = np.arange(9.0), params(method_sell="random", method_buy="random", topk=5)

    def chosen(seed: int) -> Choice:
        rng = np.random.default_rng(seed)
        return choose(scores, [0, 1, 8], wild, tradable=[True] * 9, rng=rng)

    assert chosen(1) == chosen(1)
    assert len({tuple(chosen(seed).sell) for seed in range(20)}) == 3, "any of those held"
    assert set(chosen(1).buy) <= {4, 5, 6, 7}, "of the best five, those not held"


def test_qlibs_own_class_trades_the_same_symbols() -> None:
    """The file holds what pyqlib 0.9.7 did (tests/benchmarks/peer_topk.py), 40 days, 5 cases."""
    asked = json.loads(Path(__file__).with_name("topk_dropout.json").read_text())
    assert traded(asked) == asked["trades"]
    assert sum(len(sold) for case in asked["trades"] for sold, _ in case) > 100


def played(closes: Any, scores: Any = None, **more: Any) -> Simulation:
    """Return the account after `TopkDropout` ranked four symbols by their closes."""
    market = flat_market(closes)
    symbols = names(market.close.shape[1])
    member = more.pop("member", None)
    given = params(**{"topk": 2, "n_drop": 1, **more})
    panels = {
        r: told(scores, np.arange(len(closes))[:, None], market) for r in STRATEGY.inputs(given)
    }
    view = View(market, 0, member, panels, symbols)
    nobody = Targets(np.zeros(0, np.int64), np.zeros((0, len(symbols))))
    simulation = Simulation(
        market, symbols, nobody, make(cash=1_000.0, fee="zero", fractional=True)
    )
    play(STRATEGY.build(given, view), simulation, Recorder())
    return simulation


def test_cash_is_spent_in_equal_parts_and_who_stays_is_left_alone() -> None:
    """950 of 1,000 at the first open; then S003 goes, its money and the rest buy S000."""
    simulation = played([[1, 1, 2, 3], [1, 1, 2, 3], [4, 1, 3, 2], [4, 1, 3, 2]])
    state = simulation.state
    # bar 1: 475 of S002 at 2 and of S003 at 3. bar 2's close: S000 4, S002 3, S003 2.
    # sold: 475/3 shares at 2 = 316.67; cash 50 + 316.67, of which 95 % buy S000 at 4.
    assert state.quantity.tolist() == pytest.approx([0.95 * (50 + 475 / 3 * 2) / 4, 0, 237.5, 0])


def test_nobody_is_sold_before_its_time() -> None:
    closes = [[1, 1, 2, 3], [1, 1, 2, 3], [4, 1, 3, 2], [4, 1, 3, 2], [4, 1, 3, 2]]
    early, late = played(closes).state, played(closes, hold_thresh=9).state
    assert early.quantity[3] == 0
    assert late.quantity[3] > 0


def test_scores_of_a_table_rank() -> None:
    """Prices stand still; the table says S000 and S001, then S001 and S002."""
    table = {"table": "alphaswarm_gold_signals.x", "column": "y"}
    scores = [[3.0, 2.0, 1.0]] * 2 + [[1.0, 2.0, 3.0]] * 2
    state = played([[1.0, 1.0, 1.0]] * 4, scores, signal=table).state
    assert state.quantity.tolist() == pytest.approx([0, 475, 0.95 * (50 + 475)])


def test_who_leaves_the_universe_is_sold_whatever_its_score() -> None:
    member = np.ones((4, 3), dtype=bool)
    member[2:, 2] = False
    closes = [[1.0, 2.0, 3.0]] * 4
    assert played(closes, member=member, hold_thresh=9).state.quantity[2] == 0
    assert played(closes, hold_thresh=9).state.quantity[2] > 0


def test_a_period_without_any_signal_changes_nothing() -> None:
    steady = played([[1, 2, 3, 4], [1, 2, 3, 4], [4, 3, 2, 1]], signal="Ref($close, 9)")
    assert not steady.state.quantity.any()
