"""One suite for every strategy: causal, well-formed, and what it holds by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from runtimes.engine.arrays import DONE, Market, Targets
from runtimes.engine.errors import LookaheadError, StrategyError
from runtimes.engine.params import make
from runtimes.engine.simulation import Simulation
from runtimes.strategies import STRATEGIES
from runtimes.strategies.base import (
    Strategy,
    StrategyParams,
    View,
    audit,
    cut,
    listed,
    plan,
    starts_of_period,
)
from tests.kit.engine import flat_market, random_market, sample_market
from tests.kit.views import SMALL, seen
from topology.errors import UnknownNameError

NAN = float("nan")
SHORT = {"pairs"}
"""Strategies whose weights are below 0 by nature."""


def test_every_member_of_the_family_is_in_this_suite() -> None:
    weights = [name for name in STRATEGIES if STRATEGIES.load(name).form == "weights"]
    assert weights == sorted(SMALL)


def test_an_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="momentun") as caught:
        STRATEGIES.load("momentun")
    assert caught.value.hint == "Did you mean 'momentum'?"


@pytest.fixture(params=sorted(SMALL))
def member(request: pytest.FixtureRequest) -> tuple[Strategy, StrategyParams]:
    strategy = STRATEGIES.weights(request.param)
    return strategy, strategy.params.model_validate(SMALL[request.param])


@given(seed=st.integers(0, 10**6), first=st.integers(0, 40), missing=st.sampled_from([0.0, 0.3]))
@settings(max_examples=15, deadline=None)
@pytest.mark.parametrize("name", sorted(SMALL))
def test_a_decision_uses_the_past_only(name: str, seed: int, first: int, missing: float) -> None:
    strategy = STRATEGIES.weights(name)
    params = strategy.params.model_validate(SMALL[name])
    market = random_market(seed, bars=60, symbols=4, missing=missing)
    view = seen(strategy, params, market, first, seed=seed)
    audit(strategy, params, view, rng=np.random.default_rng(seed), cuts=20)


def test_the_audit_catches_a_strategy_that_looks_ahead() -> None:
    def buy_before_a_rise(view: View, params: StrategyParams) -> Targets:
        rows = np.arange(view.first, len(view.close))
        rises = np.diff(view.close, axis=0, append=view.close[-1:]) > 0
        return Targets(rows, rises[rows].astype(float))

    cheat = Strategy("peeks", StrategyParams, lambda params: 1, buy_before_a_rise)
    market = random_market(1, bars=60, symbols=1)
    with pytest.raises(LookaheadError, match="looks ahead"):
        audit(cheat, StrategyParams(), View(market, 0), rng=np.random.default_rng(0))


def test_decisions_lie_in_the_window_and_weights_can_be_held(
    member: tuple[Strategy, StrategyParams],
) -> None:
    market = random_market(3, bars=80, symbols=4, missing=0.2)
    targets = plan(*member, seen(*member, market, 20))
    assert targets.rows.dtype == np.int64
    assert (np.diff(targets.rows) > 0).all()
    assert targets.rows.min() >= 20
    assert (np.abs(targets.weights).sum(axis=1) <= 1 + 1e-12).all()
    if member[0] not in [STRATEGIES.load(name) for name in SHORT]:
        assert (targets.weights >= 0).all()


def test_a_symbol_that_is_not_listed_yet_weighs_nothing(
    member: tuple[Strategy, StrategyParams],
) -> None:
    strategy, params = member
    market = random_market(3, bars=80, symbols=4)
    for field in market[1:]:
        field[:50, 3] = NAN
    targets = plan(strategy, params, seen(strategy, params, market, 0))
    before = targets.rows < 50
    assert (targets.weights[before, 3] == 0).all()


def test_every_member_runs_on_real_bars(member: tuple[Strategy, StrategyParams]) -> None:
    market, symbols = sample_market()
    targets = plan(*member, seen(*member, market, 300))
    simulation = Simulation(market, symbols, targets, make(fee="interactive_brokers"), first=300)
    while simulation.advance() != DONE:
        pass
    result = simulation.result()
    assert result.curve.equity[-1] > 0
    assert result.fills["price"].size > 0


def test_a_failure_inside_a_strategy_is_a_structured_error() -> None:
    def fail(view: View, params: StrategyParams) -> Targets:
        raise ZeroDivisionError("by zero")

    broken = Strategy("breaks", StrategyParams, lambda params: 1, fail)
    with pytest.raises(StrategyError) as caught:
        plan(broken, StrategyParams(), View(random_market(1, bars=3, symbols=1), 0))
    assert caught.value.body()["code"] == "strategy_error"


class TestPeriods:
    days = np.arange("2000-12-28", "2001-02-03", dtype="datetime64[D]")
    times = days.astype("datetime64[ns]").astype(np.int64)

    @pytest.mark.parametrize(
        ("period", "expected"),
        [
            pytest.param("weekly", ["2000-12-28", "2001-01-01", "2001-01-08"], id="mondays"),
            pytest.param("monthly", ["2000-12-28", "2001-01-01", "2001-02-01"], id="firsts"),
            pytest.param("quarterly", ["2000-12-28", "2001-01-01"], id="quarters"),
        ],
    )
    def test_a_period_begins_with_its_first_bar(self, period: str, expected: list[str]) -> None:
        rows = starts_of_period(self.times, period, first=0)
        assert [str(day) for day in self.days[rows]][: len(expected)] == expected

    def test_the_first_traded_bar_always_decides(self) -> None:
        assert starts_of_period(self.times, "monthly", first=10).tolist() == [10, 35]

    def test_daily_is_once_a_day_of_intraday_bars(self) -> None:
        hours = np.arange("2001-01-01", "2001-01-03", dtype="datetime64[h]")
        rows = starts_of_period(hours.astype("datetime64[ns]").astype(np.int64), "daily", first=0)
        assert rows.tolist() == [0, 24]

    def test_without_bars_there_is_no_decision(self) -> None:
        assert starts_of_period(self.times, "daily", first=len(self.times)).size == 0


def side_at(found: Targets, bars: int) -> list[float]:
    """Return the first symbol's weight at each bar."""
    place = np.searchsorted(found.rows, np.arange(bars), side="right") - 1
    return [float(found.weights[row, 0]) for row in place]


class TestByHand:
    def decide(self, name: str, market: Market, first: int = 0, **params: object) -> Targets:
        strategy = STRATEGIES.weights(name)
        return plan(strategy, strategy.params.model_validate(params), View(market, first))

    def test_buy_and_hold_decides_once_at_the_first_bar_there_is(self) -> None:
        market = flat_market([[NAN, NAN], [1, NAN], [1, 1]])
        targets = self.decide("buy_and_hold", market)
        assert targets.rows.tolist() == [1]
        assert targets.weights.tolist() == [[1, 0]]

    def test_buy_and_hold_without_bars_decides_nothing(self) -> None:
        assert self.decide("buy_and_hold", flat_market([[NAN]] * 3)).rows.size == 0

    def test_equal_weight_takes_in_a_late_listing(self) -> None:
        market = flat_market([[1, NAN], [1, 1]])
        targets = self.decide("equal_weight", market, rebalance="daily")
        assert targets.weights.tolist() == [[1, 0], [0.5, 0.5]]

    def test_momentum_holds_the_strongest(self) -> None:
        market = flat_market([[10, 10, 10], [11, 13, 12]])
        targets = self.decide("momentum", market, 1, lookback=1, top=2, rebalance="daily")
        assert targets.weights.tolist() == [[0, 0.5, 0.5]]

    def test_momentum_leaves_an_empty_place_in_cash(self) -> None:
        market = flat_market([[10, NAN, NAN], [11, 13, NAN]])
        targets = self.decide("momentum", market, 1, lookback=1, top=2, rebalance="daily")
        assert targets.weights.tolist() == [[0.5, 0, 0]]

    def test_momentum_counts_a_symbols_own_bars(self) -> None:
        market = flat_market([[10, 10], [NAN, 11], [20, 12]])
        targets = self.decide("momentum", market, 2, lookback=1, top=1, rebalance="daily")
        assert targets.weights.tolist() == [[1, 0]]

    def test_equal_returns_rank_by_symbol(self) -> None:
        market = flat_market([[10, 10, 10]] * 2)
        targets = self.decide("momentum", market, 1, lookback=1, top=1, rebalance="daily")
        assert targets.weights.tolist() == [[1, 0, 0]]

    def test_momentum_without_enough_look_back_waits_in_cash(self) -> None:
        targets = self.decide("momentum", flat_market([[1.0]] * 3), lookback=9)
        assert not targets.weights.any()

    def test_sma_cross_decides_where_a_side_changes(self) -> None:
        market = flat_market([[x] for x in (10, 10, 10, 12, 13, 9, 8)])
        targets = self.decide("sma_cross", market, fast=1, slow=3)
        assert targets.rows.tolist() == [0, 3, 5]
        assert targets.weights.tolist() == [[0], [1], [0]]

    def test_sma_cross_keeps_its_side_where_a_symbol_has_no_bar(self) -> None:
        market = flat_market([[10, 1], [12, 1], [NAN, 1], [NAN, 1], [13, 1]])
        targets = self.decide("sma_cross", market, fast=1, slow=2)
        assert targets.rows.tolist() == [0, 1]
        assert targets.weights.tolist() == [[0, 0], [0.5, 0]]

    def test_momentum_12_1_leaves_the_last_bars_out(self) -> None:
        market = flat_market([[10, 10], [12, 11], [6, 11]])
        given = {"lookback": 2, "skip": 1, "top": 1, "rebalance": "daily"}
        targets = self.decide("momentum_12_1", market, 2, **given)
        assert targets.weights.tolist() == [[1, 0]]  # 20 % against 10 %, the fall is left out

    def test_macd_begins_with_plain_means(self) -> None:
        """fast 1, slow 2, signal 1: the line is its own signal, so it is never above."""
        closes = flat_market([[x] for x in (1, 2, 4, 3)])
        assert not self.decide("macd", closes, fast=1, slow=2, signal=1).weights.any()
        # slow: 1.5, then 1.5 + 2/3 (4 - 1.5) = 19/6, then 19/6 + 2/3 (3 - 19/6) = 55/18
        # line: .5, 5/6, -1/18; signal of 2: -, 2/3, 2/3 + 2/3 (-1/18 - 2/3) = 5/27
        found = self.decide("macd", closes, fast=1, slow=2, signal=2)
        assert (found.rows.tolist(), found.weights.tolist()) == ([0, 2, 3], [[0], [1], [0]])

    def test_breakout_buys_a_new_high_and_leaves_at_a_low(self) -> None:
        market = flat_market([[x] for x in (10, 11, 12, 11.5, 12, 11, 13)])
        found = self.decide("breakout", market, enter=2, leave=1)
        assert side_at(found, 7) == [0, 0, 1, 0, 0, 0, 1]

    def test_breakout_short_is_the_mirror(self) -> None:
        market = flat_market([[x] for x in (10, 9, 8, 8.5, 7)])
        assert side_at(self.decide("breakout", market, enter=2, leave=1, short=True), 5) == [
            0,
            0,
            -1,
            0,
            -1,
        ]

    def test_mean_reversion_waits_for_the_average(self) -> None:
        """Window 3: 10, 10, 7 has mean 9 and deviation sqrt(3): 7 lies 1.15 deviations below."""
        market = flat_market([[x] for x in (10, 10, 10, 7, 7.5, 12)])
        found = self.decide("mean_reversion", market, lookback=3, enter=1.0)
        assert side_at(found, 6) == [0, 0, 0, 1, 1, 0]

    def test_mean_reversion_short_is_the_mirror(self) -> None:
        market = flat_market([[x] for x in (10, 10, 10, 13, 12.5, 12.1)])
        found = self.decide("mean_reversion", market, lookback=3, enter=1.0, short=True)
        assert side_at(found, 6) == [0, 0, 0, -1, -1, 0]

    def test_low_volatility_holds_the_quietest(self) -> None:
        market = flat_market([[10, 10, 10], [11, 10.1, 12], [10, 10, 10]])
        found = self.decide("low_volatility", market, 2, lookback=2, top=1, rebalance="daily")
        assert found.weights.tolist() == [[0, 1, 0]]

    def test_a_trend_is_scaled_to_its_risk(self) -> None:
        """Returns 10 % and -5 % deviate by .1061 a bar; two bars a year make that .15."""
        market = flat_market([[100.0, 1], [110.0, 1], [104.5, 1]])
        found = self.decide(
            "time_series_momentum",
            market,
            2,
            lookback=2,
            volatility=2,
            target=0.075,
            bars_per_year=2.0,
            rebalance="daily",
        )
        assert found.weights == pytest.approx(np.array([[0.25, 0.0]]))  # half, of two symbols

    def test_a_falling_trend_is_cash_or_short(self) -> None:
        market = flat_market([[100.0], [90.0], [95.0]])
        lengths = {"lookback": 2, "volatility": 2, "rebalance": "daily"}
        assert not self.decide("time_series_momentum", market, 2, **lengths).weights.any()
        found = self.decide("time_series_momentum", market, 2, short=True, **lengths)
        assert -1 <= found.weights[0, 0] < 0

    def test_pairs_bet_on_the_wide_spread_closing(self) -> None:
        left = [10.0, 10.1, 10.0, 10.1, 10.0, 12.0, 9.5]
        market = flat_market([[x, 20.0 + i % 2] for i, x in enumerate(left)])
        found = self.decide("pairs", market, lookback=5, enter=1.5)
        assert side_at(found, 7) == [0, 0, 0, 0, 0, -0.5, 0]
        assert (found.weights[:, 0] == -found.weights[:, 1]).all()

    def test_an_odd_symbol_out_stays_in_cash(self) -> None:
        market = random_market(5, bars=60, symbols=3)
        found = self.decide("pairs", market, lookback=6, enter=1.0)
        assert found.weights[:, :2].any()
        assert not found.weights[:, 2].any()

    @pytest.mark.parametrize("name", ["risk_parity", "minimum_variance"])
    def test_a_symbol_without_a_whole_look_back_has_no_weight(self, name: str) -> None:
        market = random_market(2, bars=30, symbols=3)
        market.close[:25, 2] = NAN
        found = self.decide(name, market, 29, lookback=10, rebalance="daily")
        assert found.weights[0, 2] == 0
        assert found.weights.sum() == pytest.approx(1)

    @pytest.mark.parametrize(
        ("name", "params"),
        [
            pytest.param("momentum_12_1", {"lookback": 5, "skip": 5}, id="everything skipped"),
            pytest.param("macd", {"fast": 26, "slow": 12}, id="macd fast above slow"),
            pytest.param("breakout", {"enter": 5, "leave": 6}, id="leaves later than it enters"),
            pytest.param("mean_reversion", {"enter": 1, "leave": 1}, id="leaves where it enters"),
            pytest.param("pairs", {"leave": 3}, id="a pair that leaves first"),
            pytest.param("time_series_momentum", {"target": 0}, id="no risk"),
            pytest.param("risk_parity", {"lookback": 1}, id="one return"),
            pytest.param("sma_cross", {"fast": 50, "slow": 20}, id="fast above slow"),
            pytest.param("sma_cross", {"fast": 0}, id="no bars to average"),
            pytest.param("momentum", {"top": 0}, id="nothing to hold"),
            pytest.param("momentum", {"lookback": 2.5}, id="half a bar"),
            pytest.param("momentum", {"lookback": True}, id="yes is not one"),
            pytest.param("momentum", {"rebalance": "yearly"}, id="an unknown period"),
            pytest.param("buy_and_hold", {"top": 3}, id="no such parameter"),
        ],
    )
    def test_impossible_parameters_are_refused(self, name: str, params: dict[str, object]) -> None:
        with pytest.raises(ValidationError):
            STRATEGIES.load(name).params.model_validate(params)

    def test_three_point_zero_is_three(self) -> None:
        params = STRATEGIES.load("momentum").params.model_validate({"top": 3.0})
        assert params.model_dump()["top"] == 3


def test_bars_cut_at_a_row_end_with_it() -> None:
    market = random_market(1, bars=9, symbols=2)
    assert cut(market, 4).timestamps.tolist() == market.timestamps[:5].tolist()
    assert listed(cut(market, 4)).shape == (5, 2)


@pytest.mark.parametrize(
    ("name", "params", "bars"),
    [
        ("buy_and_hold", {}, 1),
        ("equal_weight", {}, 1),
        ("momentum", {"lookback": 126}, 127),
        ("sma_cross", {"slow": 50}, 50),
        ("momentum_12_1", {}, 253),
        ("macd", {}, 34),
        ("breakout", {}, 21),
        ("mean_reversion", {}, 20),
        ("pairs", {}, 60),
        ("low_volatility", {}, 127),
        ("time_series_momentum", {}, 253),
        ("risk_parity", {}, 253),
        ("minimum_variance", {}, 253),
    ],
)
def test_the_warm_up_is_what_a_first_weight_needs(
    name: str, params: dict[str, object], bars: int
) -> None:
    strategy = STRATEGIES.weights(name)
    assert strategy.warmup(strategy.params.model_validate(params)) == bars
