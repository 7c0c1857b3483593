"""Terms of trade by hand: pieces, price steps, foreign money, settlement, lags, paths in a bar."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtimes.engine.arrays import (
    ACTION,
    DIVIDEND,
    TERMS,
    Conditions,
    Market,
    Params,
    Targets,
    named,
    surrounded,
)
from runtimes.engine.errors import BadBarsError
from runtimes.engine.params import make
from runtimes.engine.results import Result
from runtimes.engine.script import Account, Script
from runtimes.engine.scripting import play
from runtimes.engine.simulation import Simulation
from tests.kit.engine import Recorder, by_name, flat_market, names, random_market, random_targets

A, B = "S000.TEST", "S001.TEST"


def on(
    *terms: tuple[float, float, int],
    rates: Any = None,
    quotes: Any = None,
    actions: Any = (),
    flags: Any = (),
) -> Conditions:
    """Return conditions with (lot, tick, currency) of each symbol."""
    around = surrounded(None)._replace(
        flags=np.array(flags, dtype=np.int64),
        terms=named(np.array(list(terms), dtype=TERMS)),
        actions=np.array(list(actions), dtype=ACTION),
    )
    if quotes is not None:
        around = around._replace(quotes=quotes)
    return around if rates is None else around._replace(rates=np.array(rates, dtype=float))


def weigh(
    market: Market,
    decisions: dict[int, list[float]],
    params: Params,
    conditions: Conditions | None = None,
) -> Result:
    count = market.close.shape[1]
    targets = Targets(
        np.array(list(decisions), dtype=np.int64),
        np.array(list(decisions.values()), dtype=float).reshape(-1, count),
    )
    simulation = Simulation(market, names(count), targets, params, conditions=conditions)
    simulation.advance()
    return simulation.result()


class Orders(Script):
    """Gives the orders of each bar."""

    def __init__(self, at: dict[int, Any]) -> None:
        self.at = at

    def on_bar(self, account: Account) -> None:
        if account.bar in self.at:
            self.at[account.bar](account)


def order(
    market: Market, at: dict[int, Any], params: Params, conditions: Conditions | None = None
) -> Result:
    count = market.close.shape[1]
    nothing = Targets(np.zeros(0, np.int64), np.zeros((0, count)))
    simulation = Simulation(market, names(count), nothing, params, conditions=conditions)
    play(Orders(at), simulation, Recorder())
    return simulation.result()


def traded(result: Result) -> list[tuple[str, float, float]]:
    return by_name(result.fills, names(2))


class TestLots:
    @pytest.mark.parametrize(
        ("lot", "bought"),
        [
            pytest.param(1.0, 33.0, id="whole shares"),
            pytest.param(10.0, 30.0, id="round lots of ten"),
            pytest.param(100.0, 0.0, id="less than one lot buys nothing"),
            pytest.param(0.25, 33.25, id="quarters"),
            pytest.param(0.0, 100 / 3, id="any fraction"),
        ],
    )
    def test_a_target_is_the_most_whole_lots_that_its_money_buys(
        self, lot: float, bought: float
    ) -> None:
        result = weigh(flat_market([[3]] * 2), {0: [1.0]}, make(cash=100), on((lot, 0, 0)))
        assert sum(q for _, q, _ in traded(result)) == pytest.approx(bought)

    def test_volume_lets_whole_lots_through(self) -> None:
        market = flat_market([[1]] * 4)._replace(volume=np.full((4, 1), 250.0))
        params = make(cash=100, participation=0.1)
        result = weigh(market, {0: [0.5]}, params, on((10, 0, 0)))
        assert [q for _, q, _ in traded(result)] == [20, 20, 10]

    @pytest.mark.parametrize(
        ("quantity", "status"), [(30, "filled"), (35, "rejected"), (0.3, "rejected")]
    )
    def test_an_order_that_is_no_whole_lot_is_rejected(self, quantity: float, status: str) -> None:
        at = {0: lambda a: a.order(A, quantity)}
        result = order(flat_market([[1]] * 2), at, make(), on((10, 0, 0)))
        assert result.orders["status"].tolist() == [status]

    def test_decimals_of_a_lot_are_whole_lots(self) -> None:
        at = {0: lambda a: a.order(A, 0.7)}
        result = order(flat_market([[1]] * 2), at, make(), on((0.1, 0, 0)))
        assert result.orders["status"].tolist() == ["filled"]

    @pytest.mark.parametrize(
        ("limit", "status"), [(9.95, "filled"), (9.93, "rejected"), (9.975, "rejected")]
    )
    def test_a_price_between_two_ticks_is_rejected(self, limit: float, status: str) -> None:
        market = flat_market([[10], [9.0]])
        at = {0: lambda a: a.order(A, 1, "limit", limit=limit)}
        result = order(market, at, make(), on((1, 0.05, 0)))
        assert result.orders["status"].tolist() == [status]


class TestForeignMoney:
    """An account in dollars; the second symbol is priced in euros."""

    TWO = ((1, 0, 0), (1, 0, 1))

    def test_positions_are_worth_what_their_money_is_worth(self) -> None:
        market = flat_market([[10, 10]] * 4)
        around = on(*self.TWO, rates=[[1.0], [1.0], [1.2], [0.9]])
        result = weigh(market, {0: [0.0, 0.5]}, make(cash=1_000), around)
        assert traded(result) == [(B, 50.0, 10.0)]
        assert result.curve.equity.tolist() == pytest.approx([1_000, 1_000, 1_100, 950])
        assert result.curve.cash.tolist() == pytest.approx([1_000, 500, 500, 500])

    def test_a_weight_is_sized_at_the_rate_that_is_known(self) -> None:
        market = flat_market([[10, 10]] * 3)
        around = on(*self.TWO, rates=[[2.0], [1.0], [1.0]])
        at_the_open = weigh(market, {0: [0.0, 1.0]}, make(cash=1_000), around)
        assert traded(at_the_open) == [(B, 50.0, 10.0)]  # a euro was 2 at the close before
        closing = make(cash=1_000, fill="next_close")
        assert traded(weigh(market, {0: [0.0, 1.0]}, closing, around)) == [(B, 100.0, 10.0)]

    def test_what_a_sale_brings_stays_in_its_currency(self) -> None:
        market = flat_market([[10, 10]] * 4)
        around = on(*self.TWO, rates=[[1.0], [1.0], [1.0], [3.0]])
        result = weigh(market, {0: [0, 1.0], 1: [0, 0.0]}, make(cash=1_000), around)
        assert [q for _, q, _ in traded(result)] == [100, -100]
        # Sold for 1,000 euros at bar 2, worth 3,000 dollars at bar 3.
        assert result.curve.equity.tolist() == [1_000, 1_000, 1_000, 3_000]

    def test_money_that_is_there_pays_before_any_is_borrowed(self) -> None:
        market = flat_market([[10, 10]] * 5)
        around = on(*self.TWO, rates=[[1.0]] * 3 + [[1.0], [2.0]])
        decisions = {0: [0.0, 1.0], 1: [0.0, 0.0], 2: [0.5, 0.0]}
        result = weigh(market, decisions, make(cash=1_000, debit_bps=36_500), around)
        # The purchase of bar 3 is paid with 500 of the 1,000 euros; 500 euros double at bar 4.
        assert result.curve.equity.tolist() == pytest.approx([1_000, 1_000, 1_000, 1_000, 1_500])

    def test_fees_and_dividends_are_in_the_money_of_the_symbol(self) -> None:
        market = flat_market([[10, 10]] * 3)
        around = on(*self.TWO, rates=[[2.0]] * 3, actions=[(2, 1, DIVIDEND, 0.5)])
        params = make(cash=1_000, fee="bps", fee_bps=100)
        result = weigh(market, {0: [0.0, 0.5]}, params, around)
        assert traded(result) == [(B, 24.0, 10.0)]
        assert result.fills["fee"].tolist() == [2.4]
        assert result.curve.fees[1] == pytest.approx(4.8)
        assert result.curve.equity.tolist() == pytest.approx([1_000, 995.2, 995.2 + 24])

    def test_buying_power_is_counted_in_the_account_s_money(self) -> None:
        market = flat_market([[10, 10]] * 2)
        around = on(*self.TWO, rates=[[2.0]] * 2)
        at = {0: lambda a: (a.order(B, 51), a.order(B, 50))}
        result = order(market, at, make(cash=1_000), around)
        assert result.orders["status"].tolist() == ["rejected", "filled"]
        assert result.orders["reason"].tolist()[0] == "not enough buying power"

    @pytest.mark.parametrize(
        "rates",
        [
            pytest.param(None, id="none at all"),
            pytest.param([[1.0], [np.nan]], id="one missing"),
            pytest.param([[1.0], [0.0]], id="one worth nothing"),
        ],
    )
    def test_a_missing_rate_is_refused(self, rates: Any) -> None:
        with pytest.raises(BadBarsError, match="rate"):
            weigh(flat_market([[10, 10]] * 2), {}, make(), on(*self.TWO, rates=rates))


class TestSettlement:
    """A cash account: what sales bring may be spent so many sessions later."""

    market = flat_market([[10, 10]] * 6)
    decisions: dict[int, list[float]] = {0: [1.0, 0.0], 1: [0.0, 1.0]}  # noqa: RUF012

    @pytest.mark.parametrize(
        ("sessions", "bar"), [pytest.param(0, 2), pytest.param(1, 3), pytest.param(2, 4)]
    )
    def test_a_target_is_bought_when_the_sale_has_settled(self, sessions: int, bar: int) -> None:
        params = make(cash=1_000, settlement=sessions)
        result = weigh(self.market, self.decisions, params)
        bought = result.fills["timestamp"][-1]
        assert traded(result)[-1] == (B, 100.0, 10.0)
        assert bought == self.market.timestamps[bar]

    def test_settled_money_buys_at_once(self) -> None:
        decisions = {0: [0.5, 0.0], 1: [0.0, 0.75]}
        result = weigh(self.market, decisions, make(cash=1_000, settlement=1))
        bars = np.searchsorted(self.market.timestamps, result.fills["timestamp"])
        assert list(zip(bars.tolist(), [q for _, q, _ in traded(result)], strict=True)) == [
            (1, 50.0),
            (2, -50.0),
            (2, 50.0),
            (3, 25.0),
        ]

    def test_an_order_that_only_unsettled_money_pays_is_rejected(self) -> None:
        at = {
            0: lambda a: a.order(A, 100),
            1: lambda a: (a.order(A, -100), a.order(B, 100)),
            2: lambda a: a.order(B, 100),
        }
        result = order(self.market, at, make(cash=1_000, settlement=1))
        assert result.orders["status"].tolist() == ["filled", "filled", "rejected", "filled"]
        assert result.orders["reason"].tolist()[2] == "what sales brought is not settled yet"

    def test_sessions_count_not_bars(self) -> None:
        flags = [1, 0, 0, 2, 3, 3]  # four bars of one session, then two of one bar
        result = weigh(self.market, self.decisions, make(cash=1_000, settlement=1), on(flags=flags))
        assert result.fills["timestamp"][-1] == self.market.timestamps[4]


class TestLag:
    market = flat_market([[10], [11], [12], [13], [14]])

    @pytest.mark.parametrize(("lag", "price"), [(1, 12.0), (2, 13.0), (3, 14.0)])
    def test_orders_meet_the_market_so_many_bars_after_the_decision(
        self, lag: int, price: float
    ) -> None:
        params = make(cash=1_000, lag=lag)
        asked = [
            weigh(self.market, {1: [0.1]}, params),
            order(self.market, {1: lambda a: a.target(A, 0.1)}, params),
            order(self.market, {1: lambda a: a.order(A, 7)}, params),
        ]
        for result in asked:
            assert [paid for _, _, paid in traded(result)] == [price]
            assert result.orders["created"].tolist() == [self.market.timestamps[1]]

    def test_every_decision_waits_its_own_time(self) -> None:
        decisions = {0: [0.5], 1: [0.0], 2: [0.5]}
        params = make(cash=1_000, lag=2, fractional=True)
        result = weigh(self.market, decisions, params)
        assert [(round(q, 6), p) for _, q, p in traded(result)] == [
            (round(500 / 12, 6), 12.0),
            (round(-500 / 12, 6), 13.0),
            (pytest.approx((500 + 500 * 13 / 12) / 2 / 14, rel=1e-6), 14.0),
        ]

    def test_immediate_or_cancel_counts_from_when_it_arrives(self) -> None:
        at = {0: lambda a: a.order(A, 1, "limit", limit=50.0, tif="ioc")}
        result = order(self.market, at, make(lag=3))
        assert [p for _, _, p in traded(result)] == [13.0]


def after_two(bar: tuple[float, float, float, float]) -> Market:
    """Return two quiet bars at 10, and then (open, high, low, close) of one more."""
    rows = np.array([(10, 10, 10, 10)] * 2 + [bar], dtype=float)
    open_, high, low, close = (rows[:, [place]] for place in range(4))
    return Market(np.arange(3), open_, high, low, close, np.full((3, 1), 1e6))


class TestInsideABar:
    """A bracket around 10 with its target at 12 and its stop at 9, and a bar that reaches both."""

    @pytest.mark.parametrize(
        ("intrabar", "bar", "price"),
        [
            pytest.param("worst", (10, 12.5, 8.5, 9), 9.0, id="the stop first"),
            pytest.param("best", (10, 12.5, 8.5, 9), 12.0, id="the target first"),
            pytest.param("nearest", (10, 13.5, 8.5, 9), 9.0, id="the low was nearer to the open"),
            pytest.param("nearest", (10.6, 12.1, 8.5, 9), 12.0, id="the high was nearer"),
            pytest.param("nearest", (10, 12, 8, 9), 9.0, id="as near: the worse one"),
            pytest.param("best", (8.8, 12.5, 8.5, 9), 8.8, id="opened beyond the stop"),
            pytest.param("worst", (12.2, 12.5, 8.5, 9), 12.2, id="opened beyond the target"),
            pytest.param("best", (10, 11, 8.5, 9), 9.0, id="only the stop"),
            pytest.param("worst", (10, 12.5, 9.5, 11), 12.0, id="only the target"),
        ],
    )
    def test_one_exit_fills(
        self, intrabar: str, bar: tuple[float, float, float, float], price: float
    ) -> None:
        market = after_two(bar)
        at = {0: lambda a: a.order(A, 5, take_profit=12.0, stop_loss=9.0)}
        result = order(market, at, make(intrabar=intrabar))
        assert traded(result)[1:] == [(A, -5.0, price)]
        assert sorted(result.orders["status"]) == ["cancelled", "filled", "filled"]

    def test_a_short_s_exits_are_the_mirror(self) -> None:
        market = after_two((10, 11.5, 7.5, 9))
        found = {}
        for intrabar in ("worst", "best", "nearest"):
            at = {0: lambda a: a.order(A, -5, take_profit=8.0, stop_loss=11.0)}
            found[intrabar] = traded(order(market, at, make(intrabar=intrabar)))[-1][2]
        assert found == {"worst": 11.0, "best": 8.0, "nearest": 11.0}


class TestQuotes:
    @staticmethod
    def quoted(bid: float, ask: float, bars: int = 3) -> np.ndarray:
        quotes = np.full((8, bars, 1), np.nan)
        quotes[:4], quotes[4:] = bid, ask
        return quotes

    def test_targets_buy_at_the_ask_and_sell_at_the_bid(self) -> None:
        market = flat_market([[10]] * 4)
        around = on(quotes=self.quoted(9.9, 10.1, 4))
        params = make(cash=1_010, fill="quote_side")
        result = weigh(market, {0: [1.0], 1: [0.0]}, params, around)
        assert traded(result) == [(A, 100.0, 10.1), (A, -100.0, 9.9)]
        assert result.curve.cash[1] == pytest.approx(0.0)

    def test_a_bar_without_a_quote_trades_at_its_close(self) -> None:
        quotes = self.quoted(9.9, 10.1)
        quotes[:, 1] = np.nan
        result = weigh(
            flat_market([[10]] * 3), {0: [0.5]}, make(fill="quote_side"), on(quotes=quotes)
        )
        assert [p for _, _, p in traded(result)] == [10.0]

    def test_orders_meet_the_other_side(self) -> None:
        at = {0: lambda a: (a.order(A, 5), a.order(A, -3))}
        result = order(
            flat_market([[10]] * 3),
            at,
            make(fill="quote_side"),
            on(quotes=self.quoted(9.9, 10.1)),
        )
        assert sorted(p for _, _, p in traded(result)) == [9.9, 10.1]


@pytest.mark.parametrize("scale", [0.0, 0.5, 2.0])
def test_costs_are_scaled_as_a_whole(scale: float) -> None:
    market = flat_market([[10]] * 3)
    params = make(fee="bps", fee_bps=10, slippage_bps=20, cost_scale=scale)
    at = {0: lambda a: a.order(A, 100)}
    result = order(market, at, params)
    assert result.fills["price"].tolist() == pytest.approx([10 * (1 + 0.002 * scale)])
    assert result.fills["fee"].tolist() == pytest.approx([result.fills["price"][0] * 0.1 * scale])


@given(seed=st.integers(0, 10**6), settlement=st.integers(0, 2), lag=st.integers(1, 3))
@settings(max_examples=40, deadline=None)
def test_flows_of_every_currency_are_the_change_of_cash(
    seed: int, settlement: int, lag: int
) -> None:
    """Cash moves by fills, fees, dividends and interest, each at the rate of its own close."""
    rng = np.random.default_rng(seed)
    market = random_market(seed, bars=60, symbols=3, missing=0.1)
    rates = np.exp(np.cumsum(rng.normal(0, 0.01, (60, 2)), axis=0))
    paid = [(20, 0, DIVIDEND, 0.4), (30, 1, DIVIDEND, 0.3), (31, 2, DIVIDEND, -0.2)]
    around = on((1, 0, 0), (5, 0, 1), (0, 0, 2), rates=rates, actions=paid)
    targets = random_targets(seed, bars=60, symbols=3)
    params = make(
        cash=50_000,
        fee="bps",
        fee_bps=5,
        slippage_bps=3,
        credit_bps=300,
        debit_bps=500,
        borrow_bps=100,
        settlement=settlement,
        lag=lag,
    )
    simulation = Simulation(market, names(3), targets, params, conditions=around)
    simulation.advance()
    result = simulation.result()
    place = {name: i for i, name in enumerate(names(3))}
    worth = np.column_stack([np.ones(60), rates])
    held, last = np.zeros(3), np.zeros(3)
    cash, year = np.array([50_000.0, 0.0, 0.0]), 365 * 86_400e9
    signs = np.where(result.fills["side"] == "buy", 1, -1)
    for t, moment in enumerate(market.timestamps):
        years = (moment - market.timestamps[t - 1]) / year if t else 0.0
        before = worth[max(t - 1, 0)]
        short = -(np.minimum(held, 0) * last * before).sum()
        cash = cash * (1 + np.where(cash > 0, 0.03, 0.05) * years)
        cash[0] -= short * 0.01 * years
        for bar, i, _, value in paid:
            cash[i] += held[i] * value * (bar == t)
        for k in np.flatnonzero(result.fills["timestamp"] == moment):
            i = place[str(result.fills["vt_symbol"][k])]
            quantity = signs[k] * result.fills["quantity"][k]
            held[i] += quantity
            cash[i] -= quantity * result.fills["price"][k] + result.fills["fee"][k]
        last = np.where(np.isnan(market.close[t]), last, market.close[t])
        for c in (1, 2):
            if cash[c] < 0:
                cash[0] += cash[c] * worth[t, c]
                cash[c] = 0.0
        for c in (1, 2):
            if cash[0] < 0 < cash[c]:
                taken = min(cash[c], -cash[0] / worth[t, c])
                cash[0] += taken * worth[t, c]
                cash[c] -= taken
        total = float(cash @ worth[t])
        scale = 1e-9 * 50_000
        assert result.curve.cash[t] == pytest.approx(total, rel=1e-9, abs=scale)
        assert result.curve.equity[t] == pytest.approx(
            total + float((held * last) @ worth[t]), rel=1e-9, abs=scale
        )
    if settlement:
        assert result.curve.cash.min() >= -1e-6 or bool((result.positions["quantity"] < 0).any())
