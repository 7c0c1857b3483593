"""Strategies that hold what a table says, by hand: signals, books of weights, fixed weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from runtimes.engine.arrays import Targets
from runtimes.specs.base import parse
from runtimes.strategies import STRATEGIES
from runtimes.strategies.base import View, plan
from tests.kit.engine import flat_market, names
from tests.kit.views import told
from topology.errors import InvalidSpecError, UnknownNameError

NAN = float("nan")
TABLE = {"table": "alphaswarm_gold_signals.x", "column": "y"}


def decided(name: str, closes: Any, values: Any, rows: Any, **more: Any) -> Targets:
    """Return the decisions where the table told ``values`` (T, N) of the bars ``rows`` (T, N)."""
    strategy = STRATEGIES.weights(name)
    params = strategy.params.model_validate(TABLE | more)
    market = flat_market(closes)
    (reading,) = strategy.inputs(params)
    panels = {reading: told(values, rows, market)}
    return plan(strategy, params, View(market, 0, None, panels, names(market.close.shape[1])))


ONES = [[1.0, 1.0]] * 4
TOP = {"rank": {"method": "top", "n": 1}, "rebalance": "daily"}


class TestSignals:
    def test_the_last_known_value_ranks(self) -> None:
        values = [[NAN, NAN], [1, NAN], [1, 2], [3, 2]]
        rows = [[-1, -1], [1, -1], [1, 2], [3, 2]]
        found = decided("signal_table", ONES, values, rows, **TOP)
        assert found.weights.tolist() == [[0, 0], [1, 0], [0, 1], [1, 0]]

    def test_an_old_value_counts_no_more(self) -> None:
        values, rows = [[5, 1], [5, 1], [5, 1], [5, 1]], [[0, 0], [0, 1], [0, 2], [0, 3]]
        found = decided("signal_table", ONES, values, rows, max_age_days=2, **TOP)
        assert found.weights.tolist() == [[1, 0], [1, 0], [1, 0], [0, 1]]

    def test_no_number_and_no_bar_are_no_signal(self) -> None:
        closes = [[1, 1], [1, NAN], [1, 1], [1, 1]]
        values = [[1, 2], [1, 2], [1, np.inf], [1, NAN]]
        found = decided("signal_table", closes, values, [[0, 0]] * 4, **TOP)
        assert found.weights.tolist() == [[0, 1], [1, 0], [1, 0], [1, 0]]


class TestBooks:
    def test_a_book_is_decided_once_and_lasts(self) -> None:
        values = [[NAN, NAN], [0.5, 0.5], [0.5, 0.5], [1.0, 0.5]]
        found = decided("weight_table", ONES, values, [[-1, -1], [1, 1], [1, 1], [3, 1]])
        assert found.rows.tolist() == [0, 1, 3]
        assert found.weights.tolist() == [[0, 0], [0.5, 0.5], [1, 0]]

    def test_whoever_is_missing_may_keep_its_weight(self) -> None:
        values = [[0.5, 0.5], [0.2, 0.5], [0.2, 0.5], [0.2, 0.5]]
        rows = [[0, 0], [1, 0], [1, 0], [1, 0]]
        found = decided("weight_table", ONES, values, rows, missing="keep", scale=0.5)
        assert found.rows.tolist() == [0, 1]
        assert found.weights.tolist() == [[0.25, 0.25], [0.1, 0.25]]

    def test_the_same_weights_said_again_restore_them(self) -> None:
        rows = [[0, 0], [0, 0], [2, 2], [2, 2]]
        assert decided("weight_table", ONES, [[0.5, 0.5]] * 4, rows).rows.tolist() == [0, 2]

    def test_an_old_book_is_sold(self) -> None:
        found = decided("weight_table", ONES, [[1, 0]] * 4, [[0, 0]] * 4, max_age_days=1)
        assert found.rows.tolist() == [0, 2]
        assert found.weights.tolist() == [[1, 0], [0, 0]]

    def test_a_row_without_a_weight_is_handed_on_and_refused_by_the_engine(self) -> None:
        found = decided("weight_table", ONES, [[NAN, 0.5]] * 4, [[0, 0]] * 4)
        assert np.isnan(found.weights[0, 0])

    def test_a_symbol_is_bought_when_it_lists(self) -> None:
        closes = [[1, NAN], [1, NAN], [1, 1], [1, NAN]]
        found = decided("weight_table", closes, [[0.5, 0.5]] * 4, [[0, 0]] * 4)
        assert found.rows.tolist() == [0, 2]
        assert found.weights.tolist() == [[0.5, 0], [0.5, 0.5]]


class TestFixedWeights:
    def test_sixty_forty_is_restored(self) -> None:
        strategy = STRATEGIES.weights("target_weights")
        params = strategy.params.model_validate(
            {"weights": {"S001.TEST": 0.6, "S000.TEST": 0.4}, "rebalance": 2}
        )
        market = flat_market([[1, NAN, 1], [1, 1, 1], [1, NAN, 1], [1, 1, 1], [1, 1, 1]])
        found = plan(strategy, params, View(market, 0, symbols=names(3)))
        assert found.rows.tolist() == [0, 2, 4]
        assert found.weights.tolist() == [[0.4, 0, 0], [0.4, 0.6, 0], [0.4, 0.6, 0]]

    def test_the_order_of_symbols_means_nothing(self) -> None:
        params = STRATEGIES.load("target_weights").params
        both = [
            params.model_validate({"weights": weights}).model_dump_json()
            for weights in ({"B.X": 0.4, "A.X": 0.6}, {"A.X": 0.6, "B.X": 0.4})
        ]
        assert both[0] == both[1]

    def test_a_symbol_outside_the_universe_is_refused(self) -> None:
        with pytest.raises(UnknownNameError, match=r"AAB\.TEST"):
            parse(
                "backtest",
                {
                    "name": "outside",
                    "universe": {"symbols": ["AAA.TEST"]},
                    "data": {"start": "2001-01-01", "end": "2002-01-01"},
                    "strategy": {
                        "name": "target_weights",
                        "params": {"weights": {"AAB.TEST": 1.0}},
                    },
                },
            )


def test_the_rules_of_lean_read_no_tables() -> None:
    with pytest.raises(InvalidSpecError, match="bars alone"):
        parse(
            "backtest",
            {
                "name": "lean-table",
                "universe": {"symbols": ["SPY.ARCA"]},
                "data": {"start": "2001-01-01", "end": "2002-01-01", "adjust": "none"},
                "strategy": {"name": "weight_table", "params": TABLE},
                "execution": {"rules": "lean_2026", "fill": "lean_2026"},
            },
        )


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("signal_table", {"table": "alphaswarm_bronze_x.y"}),
        ("signal_table", {"table": "scores"}),
        ("signal_table", {"column": "a; DROP TABLE x"}),
        ("signal_table", {"snapshot_id": 4873618290012345678}),
        ("signal_table", {"snapshot_id": "newest"}),
        ("signal_table", {"max_age_days": 0}),
        ("signal_table", {"where": {"run_id": 1.5}}),
        ("signal_table", {"where": {'x" OR 1=1 --': "y"}}),
        ("weight_table", {"missing": "drop"}),
        ("weight_table", {"scale": 0}),
        ("weight_table", {"colum": "y"}),
        ("target_weights", {"weights": {}}),
        ("target_weights", {"weights": {"AAA": 1.0}}),
        ("target_weights", {"weights": {"AAA.TEST": float("nan")}}),
        ("target_weights", {"weights": {"AAA.TEST": "1"}}),
        ("topk_dropout", {"topk": 0}),
        ("topk_dropout", {"n_drop": 0}),
        ("topk_dropout", {"risk_degree": 1.5}),
        ("topk_dropout", {"signal": 3}),
        ("topk_dropout", {"signal": {"table": "alphaswarm_gold_x.y"}}),
        ("topk_dropout", {"signal": "Ref($close, -1)"}),
    ],
    ids=str,
)
def test_impossible_parameters_are_refused(name: str, wrong: dict[str, Any]) -> None:
    good: dict[str, Any] = {
        "signal_table": {**TABLE, "rank": {"method": "top", "n": 1}},
        "weight_table": TABLE,
        "target_weights": {"weights": {"AAA.TEST": 1.0}},
        "topk_dropout": {"signal": "$close"},
    }
    params = STRATEGIES.load(name).params
    params.model_validate(good[name])
    with pytest.raises(ValidationError):
        params.model_validate(good[name] | wrong)
