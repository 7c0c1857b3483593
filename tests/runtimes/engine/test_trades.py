"""Round trips: every closing share meets the oldest open one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtimes.engine.arrays import ACTION, SPLIT, TERMS, Targets, named, surrounded
from runtimes.engine.params import make
from runtimes.engine.results import Result
from runtimes.engine.simulation import Simulation
from tests.kit.engine import flat_market, names, random_market, random_targets


def run(closes: list[float], weights: list[float], **params: Any) -> Result:
    """Decide ``weights[t]`` at each close; orders fill at the next close."""
    market = flat_market([[close] for close in closes])
    rows = np.arange(len(weights))
    targets = Targets(rows, np.array(weights)[:, None])
    rules = make(fill="next_close", **params)
    simulation = Simulation(market, names(1), targets, rules)
    simulation.advance()
    return simulation.result()


def test_a_long_trade_by_hand() -> None:
    trades = run([10, 10, 8, 15, 12], [1, 1, 0, 0], cash=100, fractional=True).trades
    assert trades["side"].tolist() == ["long"]
    assert trades["quantity"].tolist() == [10]
    assert (trades["entry_price"][0], trades["exit_price"][0]) == (10, 15)
    assert (trades["pnl"][0], trades["mae"][0], trades["mfe"][0]) == (50, -20, 50)
    assert trades["bars"].tolist() == [2]


def test_a_short_trade_by_hand() -> None:
    trades = run([10, 10, 12, 9, 9], [-1, -1, 0], cash=100, leverage=2, fractional=True).trades
    assert trades["side"].tolist() == ["short", "short"]
    # At 12 equity is 80 and 6.67 shares are wanted: 3.33 are bought back at a loss.
    assert trades["pnl"] == pytest.approx([-2 * 10 / 3, 20 / 3])
    assert trades["mae"] == pytest.approx([-20 / 3, -40 / 3])


def test_fees_of_both_fills_are_shared_by_the_shares_they_moved() -> None:
    trades = run([10, 10, 10, 10], [1, 0.5, 0], cash=1_001, fee="interactive_brokers").trades
    assert trades["quantity"].tolist() == [51, 49]
    assert trades["fees"] == pytest.approx([0.51 + 1, 0.49 + 1])
    assert trades["pnl"] == pytest.approx(-trades["fees"])


def test_a_reversal_closes_a_trade_and_opens_the_next() -> None:
    trades = run([10, 10, 11, 11, 10], [1, -1, 0, 0], cash=100).trades
    assert trades["side"].tolist() == ["long", "short"]
    assert trades["pnl"].tolist() == [10, 0]


def test_a_trade_in_foreign_money_counts_in_the_account_s_at_the_rate_of_its_exit() -> None:
    """Ten shares from 10 to 12 euros, by way of 8: a euro is worth 1.5 dollars at the exit."""
    market = flat_market([[10.0], [10.0], [8.0], [12.0], [12.0]])
    around = surrounded(None)._replace(
        terms=named(np.array([(1.0, 0.0, 1)], dtype=TERMS)),
        rates=np.array([[1.0], [1.0], [1.2], [1.5], [2.0]]),
    )
    targets = Targets(np.array([0, 2]), np.array([[0.1], [0.0]]))
    rules = make(cash=1_000, fill="next_close")
    simulation = Simulation(market, names(1), targets, rules, conditions=around)
    simulation.advance()
    trades = simulation.result().trades
    assert (trades["entry_price"][0], trades["exit_price"][0]) == (10, 12)
    assert (trades["pnl"][0], trades["mae"][0]) == pytest.approx((30.0, -30.0))


@given(seed=st.integers(0, 10**6), fractional=st.booleans())
@settings(max_examples=80, deadline=None)
def test_closed_and_open_results_add_up_to_the_change_of_equity(
    seed: int, fractional: bool
) -> None:
    market = random_market(seed, bars=60, symbols=3, missing=0.1)
    targets = random_targets(seed, bars=60, symbols=3)
    params = make(cash=50_000, fee="bps", fee_bps=20, slippage_bps=5, fractional=fractional)
    simulation = Simulation(market, names(3), targets, params)
    simulation.advance()
    result = simulation.result()
    fills, trades = result.fills, result.trades
    signs = np.where(fills["side"] == "buy", 1, -1)
    # Everything ever paid and received, with what is still held marked at the end ...
    paid = float((signs * fills["quantity"] * fills["price"] + fills["fee"]).sum())
    held = {
        name: float(q)
        for name, q in zip(
            result.positions["vt_symbol"].tolist(),
            result.positions["quantity"].tolist(),
            strict=True,
        )
    }
    closes = dict(zip(names(3), simulation.state.last.tolist(), strict=True))
    marked = sum(quantity * closes[name] for name, quantity in held.items() if quantity)
    assert result.curve.equity[-1] - 50_000 == pytest.approx(marked - paid, abs=1e-6)
    # ... and what trades closed is the same as what the positions no longer hold.
    bought = dict.fromkeys(names(3), 0.0)
    for name, sign, quantity in zip(fills["vt_symbol"], signs, fills["quantity"], strict=True):
        bought[str(name)] += sign * quantity
    for name, quantity in held.items():
        assert bought[name] == pytest.approx(quantity, abs=1e-6)
    closed = np.where(trades["side"] == "long", 1, -1) * trades["quantity"]
    gross = closed * (trades["exit_price"] - trades["entry_price"])
    assert trades["pnl"] == pytest.approx(gross - trades["fees"], rel=1e-9, abs=1e-9)
    assert (trades["mae"] <= 1e-9).all()
    assert (trades["mfe"] >= -1e-9).all()
    assert (trades["mae"] <= gross + 1e-6).all()
    assert (trades["mfe"] >= gross - 1e-6).all()


def test_when_everything_is_closed_trades_explain_the_whole_result() -> None:
    market = random_market(5, bars=80, symbols=3)
    targets = random_targets(5, bars=70, symbols=3)
    last = Targets(np.append(targets.rows, 75), np.vstack([targets.weights, np.zeros((1, 3))]))
    params = make(cash=50_000, fee="interactive_brokers", slippage_bps=5, fractional=True)
    simulation = Simulation(market, names(3), last, params)
    simulation.advance()
    result = simulation.result()
    assert result.curve.gross_exposure[-1] == 0
    assert result.trades["pnl"].sum() == pytest.approx(result.curve.equity[-1] - 50_000)
    assert result.trades["fees"].sum() == pytest.approx(result.curve.fees.sum())


def test_excursions_by_stretches_are_those_of_every_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    market = random_market(5, bars=600, symbols=9, missing=0.1)
    rows = np.arange(0, 590, 30)
    weights = np.random.default_rng(6).normal(0, 1, (rows.size, 9))
    weights /= np.abs(weights).sum(axis=1, keepdims=True)

    def trades() -> dict[str, list[float]]:
        simulation = Simulation(market, names(9), Targets(rows, weights), make(cash=1e6))
        simulation.advance()
        return {name: column.tolist() for name, column in simulation.result().trades.items()}

    by_stretch = trades()
    monkeypatch.setattr("runtimes.engine.trades.WIDE", 10_000)
    assert trades() == by_stretch
    assert len(by_stretch["mae"]) > 100


class TestSplits:
    """Two for one is a factor of 0.5 on the price: nothing is won or lost by it."""

    def played(
        self,
        closes: list[float],
        weights: list[float],
        splits: list[tuple[int, float]],
        *,
        cash: float,
    ) -> Result:
        rows = [(bar, 0, SPLIT, value) for bar, value in splits]
        conditions = surrounded(None)._replace(actions=np.array(rows, dtype=ACTION))
        market = flat_market([[close] for close in closes])
        targets = Targets(np.arange(len(weights)), np.array(weights)[:, None])
        rules = make(fill="next_close", cash=cash, fee="interactive_brokers")
        simulation = Simulation(market, names(1), targets, rules, conditions=conditions)
        simulation.advance()
        return simulation.result()

    def test_a_trade_across_a_split_is_in_the_shares_of_its_exit(self) -> None:
        # 100 shares at 200 become 200 at 100, are worth 90 once, and are sold at 110.
        result = self.played([200, 200, 100, 90, 110], [1, 1, 1, 0], [(2, 0.5)], cash=20_001)
        trades = result.trades
        assert trades["quantity"].tolist() == [200]
        assert (trades["entry_price"][0], trades["exit_price"][0]) == (100, 110)
        assert (trades["mae"][0], trades["mfe"][0]) == (-2_000, 2_000)
        assert trades["fees"].tolist() == [2]
        assert trades["pnl"].tolist() == [200 * 10 - 2]
        assert result.curve.equity[-1] == 20_001 + trades["pnl"].sum()

    def test_shares_of_three_for_two_are_whole_trades(self) -> None:
        result = self.played([300, 300, 200, 200, 200], [1, 1, 0.5, 0], [(2, 2 / 3)], cash=30_001)
        trades = result.trades
        assert trades["quantity"].tolist() == pytest.approx([76, 74])  # 150, of which half stays
        assert trades["pnl"] == pytest.approx(-trades["fees"])

    def test_what_was_bought_and_sold_before_a_split_is_left_as_it_was(self) -> None:
        before = self.played([10, 10, 12, 12, 6], [1, 0], [], cash=101).trades
        after = self.played([10, 10, 12, 12, 6], [1, 0], [(4, 0.5)], cash=101).trades
        assert {name: column.tolist() for name, column in after.items()} == {
            name: column.tolist() for name, column in before.items()
        }
