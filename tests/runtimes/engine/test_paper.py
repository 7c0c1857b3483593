"""Bars that come one at a time are the backtest of the same bars, bit for bit, on real data."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runtimes.engine.arrays import (
    DONE,
    LAST_OF_SESSION,
    LATCH,
    TERMS,
    Conditions,
    Floats,
    Market,
    Params,
    Targets,
    each,
    named,
)
from runtimes.engine.errors import BadBarsError, InvalidWeightsError, StrategyError
from runtimes.engine.feed import Bar, Feed, bars_of
from runtimes.engine.paper import Paper
from runtimes.engine.params import make
from runtimes.engine.results import Result
from runtimes.engine.script import Account, Script
from runtimes.engine.scripting import play
from runtimes.engine.simulation import Simulation
from runtimes.strategies.base import View, plan
from runtimes.strategies.closing import decision
from runtimes.strategies.sma_cross import STRATEGY
from tests.kit.engine import Recorder, flat_market, names, random_market
from tests.kit.paper import Everything, daily, minutes
from topology.errors import HaltedError

Known = tuple[Market, tuple[str, ...], Conditions]
RULES = ["next_open", "next_close", "same_close", "quote_side"]
LOOK_BACK = 40


def rules(fill: str, **more: Any) -> Params:
    return make(
        cash=1e6,
        leverage=2,
        fill=fill,
        fee="interactive_brokers",
        slippage="volume_share",
        slippage_coefficient=0.1,
        slippage_limit=0.025,
        participation=0.2,
        borrow_bps=30,
        debit_bps=200,
        maintenance=0.3,
        **more,
    )


def same(one: Result, other: Result) -> None:
    assert one.digests() == other.digests()
    for table in ("fills", "orders", "trades", "positions"):
        for name, column in getattr(other, table).items():
            assert getattr(one, table)[name].tobytes() == column.tobytes(), (table, name)
    assert one.warnings == other.warnings


def fed(known: Known, params: Params, strategy: Any) -> Result:
    """Return what paper trading makes of the bars, given one by one."""
    market, symbols, conditions = known
    history = each(market, lambda column: column[:LOOK_BACK])
    feed = Feed(symbols, params, history=history, terms=conditions.terms)
    paper = Paper(feed, strategy, Recorder())
    for bar in bars_of(market, conditions, first=LOOK_BACK):
        paper.take(bar)
    return paper.result()


def batch(known: Known, params: Params, targets: Targets, *, bars: int = 65_536) -> Result:
    market, symbols, conditions = known
    simulation = Simulation(
        market, symbols, targets, params, conditions=conditions, first=LOOK_BACK
    )
    while simulation.advance(bars) != DONE:
        pass
    return simulation.result()


def scripted(known: Known, params: Params, script: Script) -> Result:
    market, symbols, conditions = known
    nothing = Targets(np.zeros(0, np.int64), np.zeros((0, len(symbols))))
    simulation = Simulation(
        market, symbols, nothing, params, conditions=conditions, first=LOOK_BACK
    )
    play(script, simulation, Recorder())
    return simulation.result()


def crossing(known: Known) -> tuple[Targets, Callable[[Market], Floats | None]]:
    """Return a registered strategy's decisions at once, and the function that makes them singly."""
    market, symbols, _ = known
    params = STRATEGY.params.model_validate({"fast": 5, "slow": 20})
    whole = plan(STRATEGY, params, View(market, LOOK_BACK, symbols=symbols))
    return whole, decision(STRATEGY, params, first=LOOK_BACK, symbols=symbols)


def check(known: Known, params: Params, *, every: int) -> None:
    """Hold weights and orders on paper against the backtest, whole, in chunks and from a script."""
    whole, singly = crossing(known)
    expected = batch(known, params, whole)
    assert expected.fills["price"].size > 20
    same(fed(known, params, singly), expected)
    same(batch(known, params, whole, bars=7), expected)
    first, second = Everything(every), Everything(every)
    ordered = scripted(known, params, first)
    assert {"filled", "cancelled", "expired"} <= set(ordered.orders["status"].tolist())
    same(fed(known, params, second), ordered)
    assert first.heard == second.heard


@pytest.mark.parametrize("fill", RULES)
def test_days_one_by_one_are_the_backtest_under_every_fill_rule(fill: str) -> None:
    check(daily(240), rules(fill), every=3)


@pytest.mark.shared
@pytest.mark.parametrize("fill", RULES)
def test_minutes_one_by_one_are_the_backtest_under_every_fill_rule(
    fill: str, shared_data: Path
) -> None:
    market, symbols, conditions = minutes(shared_data)
    evening = int(np.flatnonzero(conditions.flags & LAST_OF_SESSION)[0])
    rows = slice(evening - 200, evening + 120)
    short = each(market, lambda column: column[rows])
    around = conditions._replace(flags=conditions.flags[rows], quotes=conditions.quotes[:, rows])
    check((short, symbols, around), rules(fill), every=4)


def test_lots_currencies_settlement_and_a_lag_come_one_by_one_too() -> None:
    market, symbols, conditions = daily(240)
    trade = named(np.zeros(len(symbols), TERMS))
    trade["lot"], trade["currency"] = [1, 10, 1, 0, 5], [0, 1, 0, 2, 1]
    rng = np.random.default_rng(3)
    money = np.exp(np.cumsum(rng.normal(0, 0.005, (240, 2)), axis=0))
    around = conditions._replace(terms=trade, rates=money)
    params = make(cash=1e6, settlement=2, lag=3, fee="bps", fee_bps=5, credit_bps=100)
    check((market, symbols, around), params, every=3)


def test_a_halt_between_bars_loses_nothing_and_is_asked_for_before_each() -> None:
    market, symbols, conditions = daily(120)
    _, singly = crossing((market, symbols, conditions))
    halted = Recorder(halt_when=lambda count: count == 31)
    paper = Paper(Feed(symbols, rules("next_open")), singly, halted)
    bars = list(bars_of(market, conditions, first=0))
    for bar in bars[:30]:
        paper.take(bar)
    with pytest.raises(HaltedError):
        paper.take(bars[30])
    assert paper.result().timestamps.size == 30
    for bar in bars[30:]:
        paper.take(bar)
    assert not paper.result().partial


def test_a_feed_outgrows_its_room() -> None:
    market = random_market(5, bars=1_100, symbols=1)
    rows = np.arange(0, 1_099, 1)
    weights = np.random.default_rng(5).uniform(0, 1, (rows.size, 1))
    given = iter(weights)
    paper = Paper(Feed(names(1), make()), lambda seen: next(given, None), Recorder())
    for bar in bars_of(market, first=0):
        paper.take(bar)
    simulation = Simulation(market, names(1), Targets(rows, weights), make())
    assert simulation.advance() == DONE
    same(paper.result(), simulation.result())


class TestABarThatBreaksARule:
    @staticmethod
    def started() -> Paper:
        paper = Paper(Feed(names(1), make()), lambda market: None, Recorder())
        paper.take(next(bars_of(flat_market([[10.0]]), first=0)))
        return paper

    @pytest.mark.parametrize(
        ("bar", "rule"),
        [
            pytest.param(Bar(0, np.ones((5, 1))), "timestamps increase", id="no later"),
            pytest.param(Bar(9, np.ones((4, 1))), "shape", id="no volume"),
            pytest.param(
                Bar(9, np.array([[1.0], [1], [-1], [1], [1]])),
                "prices are finite and above 0",
                id="a negative price",
            ),
        ],
    )
    def test_it_is_refused_and_forgotten(self, bar: Bar, rule: str) -> None:
        paper = self.started()
        with pytest.raises(BadBarsError) as caught:
            paper.take(bar)
        assert caught.value.facts["rule"] == rule
        paper.take(Bar(10, np.ones((5, 1))))
        assert paper.result().timestamps.size == 2

    def test_a_foreign_bar_without_a_rate_is_refused(self) -> None:
        trade = named(np.zeros(1, TERMS))
        trade["currency"] = 1
        paper = Paper(Feed(names(1), make(), terms=trade), lambda market: None, Recorder())
        with pytest.raises(BadBarsError, match="rate"):
            paper.take(Bar(1, np.ones((5, 1))))
        paper.take(Bar(1, np.ones((5, 1)), rates=np.array([1.1])))


class TestAStrategyThatFails:
    def test_a_weight_that_nobody_can_hold_names_the_bar(self) -> None:
        paper = Paper(Feed(names(1), make()), lambda market: np.array([2.0]), Recorder())
        with pytest.raises(InvalidWeightsError) as caught:
            paper.take(Bar(1, np.ones((5, 1))))
        assert caught.value.facts["symbol"] == names(1)[0]
        assert paper.result().partial

    def test_a_script_that_raises_names_the_bar(self) -> None:
        class Breaks(Script):
            def on_bar(self, account: Account) -> None:
                raise ValueError(account.symbols[0])

        paper = Paper(Feed(names(1), make()), Breaks(), Recorder())
        with pytest.raises(StrategyError) as caught:
            paper.take(Bar(10**9, np.ones((5, 1))))
        assert caught.value.facts["timestamp"] == "1970-01-01T00:00:01Z"


def test_a_halted_backtest_of_real_days_resumes_to_the_same_bytes() -> None:
    known = daily(240)
    market, symbols, conditions = known
    whole, _ = crossing(known)
    latch = np.zeros(1, dtype=np.int64)
    simulation = Simulation(
        market,
        symbols,
        whole,
        rules("next_open"),
        conditions=conditions,
        first=LOOK_BACK,
        latch=latch,
    )
    simulation.advance(77)
    latch[0] += 1
    assert simulation.advance() == LATCH
    simulation.advance()
    same(simulation.result(), batch(known, rules("next_open"), whole))
