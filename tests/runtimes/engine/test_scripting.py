"""Orders of a script, by hand: when they fill, at what price, and what ends them."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import pytest

from runtimes.engine.arrays import ACTION, DIVIDEND, SPLIT, Conditions, Market, Params, Targets
from runtimes.engine.errors import InvalidWeightsError, StrategyError
from runtimes.engine.params import make
from runtimes.engine.results import Result
from runtimes.engine.script import Account, OrderEvent, Script
from runtimes.engine.scripting import play
from runtimes.engine.simulation import Simulation
from tests.kit.engine import DAY, Recorder, names, random_market, random_targets

A = "S000.TEST"
NONE = Targets(np.zeros(0, dtype=np.int64), np.zeros((0, 1)))


def bars(*rows: tuple[float, float, float, float]) -> Market:
    """Return one symbol's daily bars from (open, high, low, close)."""
    columns = np.array(rows, dtype=float).T[:, :, None]
    times = np.arange(len(rows), dtype=np.int64) * DAY
    open_, high, low, close = columns
    return Market(times, open_, high, low, close, np.full(close.shape, 1_000.0))


class Orders(Script):
    """Gives the orders of ``at`` (bar number to calls) and remembers what it hears."""

    def __init__(self, at: dict[int, Callable[[Account], Any]]) -> None:
        self.at, self.heard = at, list[tuple[int, str, float, float, str]]()

    def on_bar(self, account: Account) -> None:
        if account.bar in self.at:
            self.at[account.bar](account)

    def on_order(self, account: Account, event: OrderEvent) -> None:
        self.heard.append((account.bar, event.status, event.quantity, event.price, event.reason))


def run(
    market: Market,
    at: dict[int, Callable[[Account], Any]],
    params: Params | None = None,
    **more: Any,
) -> tuple[Orders, Result]:
    script = Orders(at)
    simulation = Simulation(
        market, names(market.close.shape[1]), NONE, params or make(cash=1e6, leverage=4), **more
    )
    play(script, simulation, Recorder())
    return script, simulation.result()


def fills(script: Orders) -> list[tuple[int, float, float]]:
    return [(bar, quantity, price) for bar, status, quantity, price, _ in script.heard if quantity]


QUIET = (10.0, 10.0, 10.0, 10.0)


# One order given at bar 0, the bar that it meets, and the price it fills at (None: it does not).
MEETINGS: list[tuple[str, dict[str, Any], tuple[float, float, float, float], float | None]] = [
    ("market at the open", {"quantity": 5}, (11, 12, 9, 10), 11),
    ("market on open", {"quantity": 5, "kind": "market_on_open"}, (11, 12, 9, 10), 11),
    ("market on close", {"quantity": 5, "kind": "market_on_close"}, (11, 12, 9, 10), 10),
    (
        "a buy limit at its price",
        {"quantity": 5, "kind": "limit", "limit": 9.5},
        (11, 12, 9, 10),
        9.5,
    ),
    (
        "a buy limit at a better open",
        {"quantity": 5, "kind": "limit", "limit": 9.5},
        (9, 12, 8, 10),
        9,
    ),
    ("a limit just touched", {"quantity": 5, "kind": "limit", "limit": 9.0}, (11, 12, 9, 10), None),
    ("a sell limit", {"quantity": -5, "kind": "limit", "limit": 11.5}, (11, 12, 9, 10), 11.5),
    (
        "a sell limit on the wrong side",
        {"quantity": -5, "kind": "limit", "limit": 5},
        (11, 12, 9, 10),
        11,
    ),
    ("a buy stop", {"quantity": 5, "kind": "stop", "stop": 12}, (11, 12, 9, 10), 12),
    (
        "a buy stop through a gap",
        {"quantity": 5, "kind": "stop", "stop": 10.5},
        (11, 12, 9, 10),
        11,
    ),
    ("a sell stop", {"quantity": -5, "kind": "stop", "stop": 9.5}, (11, 12, 9, 10), 9.5),
    ("a stop not reached", {"quantity": -5, "kind": "stop", "stop": 8.5}, (11, 12, 9, 10), None),
    (
        "a stop-limit",
        {"quantity": 5, "kind": "stop_limit", "stop": 11.5, "limit": 10.5},
        (11, 12, 9, 10),
        10.5,
    ),
    (
        "a stop-limit beyond its limit",
        {"quantity": 5, "kind": "stop_limit", "stop": 11.5, "limit": 9.5},
        (11, 12, 9, 10),
        None,
    ),
    (
        "a limit if touched",
        {"quantity": 5, "kind": "limit_if_touched", "stop": 9.5, "limit": 10},
        (11, 12, 9, 10),
        10,
    ),
    (
        "touched, but the close is dearer",
        {"quantity": 5, "kind": "limit_if_touched", "stop": 9.5, "limit": 9.8},
        (11, 12, 9, 10),
        None,
    ),
    (
        "a trailing stop",
        {"quantity": -5, "kind": "trailing_stop", "trail": 0.5},
        (11, 12, 9, 10),
        9.5,
    ),
    (
        "a trailing stop that falls through",
        {"quantity": -5, "kind": "trailing_stop", "trail": 0.5},
        (11, 12, 9, 9.2),
        9.2,
    ),
    (
        "a trailing part",
        {"quantity": -5, "kind": "trailing_stop", "trail": 0.05, "relative": True},
        (11, 12, 9, 10),
        9.5,
    ),
]


@pytest.mark.parametrize(
    ("asked", "bar", "price"), [m[1:] for m in MEETINGS], ids=[m[0] for m in MEETINGS]
)
def test_an_order_meets_the_next_bar(
    asked: dict[str, Any], bar: tuple[float, float, float, float], price: float | None
) -> None:
    market = bars((10, 10, 10, 10), bar)
    script, result = run(market, {0: lambda account: account.order(A, **asked)})
    expected = [] if price is None else [(1, float(asked["quantity"]), float(price))]
    assert fills(script) == expected
    assert result.orders["status"].tolist() == ["open" if price is None else "filled"]


def test_a_trailing_stop_moves_with_the_market_after_the_test() -> None:
    market = bars(QUIET, (10, 12, 10, 12), (12, 12.5, 11.6, 12.4), (12, 12.2, 11.5, 12))
    script, _ = run(market, {0: lambda a: a.order(A, -5, "trailing_stop", trail=1.0, stop=9.0)})
    # 9 -> 11 (high 12) -> 11.5 (high 12.5), reached by the last low of 11.5; the close is higher.
    assert fills(script) == [(3, -5.0, 11.5)]


class TestTimeInForce:
    market = bars(QUIET, QUIET, QUIET, (10, 10, 7, 8))
    limit: ClassVar[dict[str, Any]] = {"kind": "limit", "limit": 8.0}

    def status(self, **more: Any) -> list[str]:
        _, result = run(self.market, {0: lambda a: a.order(A, 5, **self.limit, **more)})
        return [str(status) for status in result.orders["status"]]

    def test_good_till_cancelled_waits(self) -> None:
        assert self.status() == ["filled"]

    def test_a_day_order_lives_for_one_session(self) -> None:
        assert self.status(tif="day") == ["expired"]

    def test_good_till_date_ends_at_its_date(self) -> None:
        soon = dt.datetime(1970, 1, 3, tzinfo=dt.UTC)  # the end of bar 2
        assert self.status(tif="gtd", until=soon) == ["expired"]
        assert self.status(tif="gtd", until=soon + dt.timedelta(days=5)) == ["filled"]

    def test_immediate_or_cancel_does_not_wait(self) -> None:
        assert self.status(tif="ioc") == ["cancelled"]

    def test_a_day_order_lives_to_the_end_of_an_intraday_session(self) -> None:
        flags = np.array([1, 0, 2, 1])  # three bars of one session, then the next
        market = bars(QUIET, QUIET, QUIET, (10, 10, 7, 8))
        none = np.zeros((0, 0, 0))
        conditions = Conditions(flags, none, none, np.zeros(0, ACTION))
        script, result = run(
            market, {0: lambda a: a.order(A, 5, tif="day", **self.limit)}, conditions=conditions
        )
        ((bar, status, _, _, reason),) = script.heard
        assert (bar, status, reason) == (2, "expired", "its time in force is over")
        assert result.fills["price"].size == 0


class TestVolume:
    def test_a_large_order_fills_in_slices(self) -> None:
        params = make(cash=1e6, participation=0.1)  # 100 shares of 1,000 a bar
        script, result = run(bars(*[QUIET] * 5), {0: lambda a: a.order(A, 250)}, params)
        assert fills(script) == [(1, 100.0, 10.0), (2, 100.0, 10.0), (3, 50.0, 10.0)]
        assert [heard[1] for heard in script.heard] == ["partial", "partial", "filled"]
        assert result.orders["quantity"].tolist() == [250.0]

    def test_immediate_or_cancel_takes_one_slice(self) -> None:
        params = make(cash=1e6, participation=0.1)
        script, _ = run(bars(*[QUIET] * 3), {0: lambda a: a.order(A, 250, tif="ioc")}, params)
        assert [heard[1:3] for heard in script.heard] == [("partial", 100.0), ("cancelled", 0.0)]

    def test_fill_or_kill_takes_all_or_nothing(self) -> None:
        params = make(cash=1e6, participation=0.1)
        script, _ = run(bars(*[QUIET] * 3), {0: lambda a: a.order(A, 250, tif="fok")}, params)
        assert [heard[1:3] for heard in script.heard] == [("cancelled", 0.0)]

    def test_a_target_fills_in_slices_too(self) -> None:
        params = make(cash=10_000, participation=0.1)
        script, _ = run(bars(*[QUIET] * 12), {0: lambda a: a.target(A, 0.25)}, params)
        assert sum(quantity for _, quantity, _ in fills(script)) == 250


class TestBrackets:
    @staticmethod
    def enter(account: Account) -> None:
        account.order(A, 5, take_profit=12.0, stop_loss=9.0)

    @pytest.mark.parametrize(
        ("bar", "expected"),
        [
            pytest.param((10, 12.5, 10, 12), [(2, -5.0, 12.0)], id="the target"),
            pytest.param((10, 11, 8.5, 9), [(2, -5.0, 9.0)], id="the stop"),
            pytest.param((10, 12.5, 8.5, 9), [(2, -5.0, 9.0)], id="both in one bar: the worse one"),
            pytest.param((12.5, 13, 8.5, 9), [(2, -5.0, 12.5)], id="opened beyond the target"),
        ],
    )
    def test_one_exit_cancels_the_other(
        self, bar: tuple[float, float, float, float], expected: list[tuple[int, float, float]]
    ) -> None:
        script, result = run(bars(QUIET, QUIET, bar, QUIET), {0: self.enter})
        assert fills(script)[1:] == expected
        assert sorted(result.orders["status"]) == ["cancelled", "filled", "filled"]

    def test_exits_do_not_live_in_the_bar_of_the_entry(self) -> None:
        script, _ = run(bars(QUIET, (10, 13, 8, 10), QUIET), {0: self.enter})
        assert fills(script) == [(1, 5.0, 10.0)]

    def test_exits_close_what_the_entry_filled(self) -> None:
        params = make(cash=1e6, participation=0.1)
        market = bars(*[QUIET] * 2, (10, 13, 10, 12))
        script, _ = run(
            market,
            {0: lambda a: a.order(A, 150, tif="ioc", take_profit=12.0)},
            params,
        )
        assert fills(script) == [(1, 100.0, 10.0), (2, -100.0, 12.0)]

    def test_exits_of_an_entry_that_never_fills_are_cancelled(self) -> None:
        script, result = run(
            bars(QUIET, QUIET, QUIET),
            {0: lambda a: a.order(A, 5, "limit", limit=1.0, tif="day", stop_loss=0.5)},
        )
        assert sorted(result.orders["status"]) == ["cancelled", "expired"]
        assert not fills(script)


class TestUpdates:
    def test_an_order_is_changed_and_cancelled(self) -> None:
        known: list[int] = []
        at = {
            0: lambda a: known.append(a.order(A, 5, "limit", limit=5.0)),
            1: lambda a: known.append(a.update(known[0], limit=11.0, quantity=7)),
            3: lambda a: known.append(a.cancel(known[0])),
        }
        script, _ = run(bars(*[QUIET] * 5), at)
        assert fills(script) == [(2, 7.0, 10.0)]
        assert known[1:] == [True, False]

    def test_a_cancelled_order_ends_with_its_reason(self) -> None:
        script, result = run(
            bars(*[QUIET] * 4),
            {
                0: lambda a: a.order(A, 5, "limit", limit=5.0),
                1: lambda a: [a.cancel(order) for order in a.open_orders(A)],
            },
        )
        assert result.orders["reason"].tolist() == ["cancelled by the strategy"]
        assert not fills(script)


IMPOSSIBLE: list[tuple[str, dict[str, Any]]] = [
    ("nothing", {"quantity": 0}),
    ("no number", {"quantity": math.nan}),
    ("half a share", {"quantity": 0.5}),
    ("an unknown kind", {"quantity": 1, "kind": "iceberg"}),
    ("an unknown time in force", {"quantity": 1, "tif": "forever"}),
    ("a limit without a price", {"quantity": 1, "kind": "limit"}),
    ("a stop below 0", {"quantity": 1, "kind": "stop", "stop": -1.0}),
    (
        "a date in the past",
        {"quantity": 1, "tif": "gtd", "until": dt.datetime(1960, 1, 1, tzinfo=dt.UTC)},
    ),
    ("no date", {"quantity": 1, "tif": "gtd"}),
]


@pytest.mark.parametrize(
    "asked", [asked for _, asked in IMPOSSIBLE], ids=[name for name, _ in IMPOSSIBLE]
)
def test_an_impossible_order_is_rejected_and_the_run_goes_on(asked: dict[str, Any]) -> None:
    _, result = run(bars(QUIET, QUIET), {0: lambda a: a.order(A, **asked)})
    assert result.orders["status"].tolist() == ["rejected"]
    assert result.orders["reason"].tolist() == ["the order is impossible"]
    assert result.curve.equity.tolist() == [1e6, 1e6]


def test_an_order_beyond_the_buying_power_is_rejected_never_shrunk() -> None:
    params = make(cash=100, leverage=2)
    script, _ = run(bars(QUIET, QUIET), {0: lambda a: (a.order(A, 20), a.order(A, 1))}, params)
    assert [heard[1:3] for heard in script.heard] == [("filled", 20.0), ("rejected", 0.0)]


def test_an_unknown_symbol_ends_the_run_with_the_bar() -> None:
    with pytest.raises(StrategyError, match="no symbol") as raised:
        run(bars(QUIET, QUIET), {1: lambda a: a.order("S001.TEST", 1)})
    assert raised.value.facts["timestamp"] == "1970-01-02T00:00:00Z"
    assert raised.value.facts["nearest"] == [A]


def test_what_a_script_raises_names_the_bar() -> None:
    with pytest.raises(StrategyError, match="ZeroDivisionError") as raised:
        run(bars(QUIET, QUIET), {1: lambda a: 1 / 0})
    assert raised.value.facts["timestamp"] == "1970-01-02T00:00:00Z"


@pytest.mark.parametrize("weight", [math.nan, math.inf])
def test_a_weight_that_is_no_number_ends_the_run(weight: float) -> None:
    with pytest.raises(StrategyError):
        run(bars(QUIET, QUIET), {0: lambda a: a.target(A, weight)})


def test_weights_beyond_the_leverage_end_the_run() -> None:
    with pytest.raises(InvalidWeightsError):
        run(bars(QUIET, QUIET), {0: lambda a: a.target(A, 1.5)}, make())


class TestTheAccount:
    def test_it_shows_the_past_only(self) -> None:
        seen: list[Any] = []
        market = bars((1, 2, 0.5, 1), (2, 3, 1.5, 2), (3, 4, 2.5, 3))
        at = {1: lambda a: seen.extend([a.price(A), a.price(A, "high"), a.history(A, 9).tolist()])}
        run(market, at)
        assert seen == [2.0, 3.0, [1.0, 2.0]]

    def test_money_and_positions_at_the_close(self) -> None:
        seen: list[Any] = []
        market = bars(QUIET, (10, 12, 10, 12), (12, 12, 12, 12))
        at = {
            0: lambda a: a.order(A, 5),
            1: lambda a: seen.extend([a.cash, a.equity, a.position(A), a.positions(), a.time]),
        }
        run(market, at, make(cash=100))
        assert seen == [50.0, 110.0, 5.0, {A: 5.0}, dt.datetime(1970, 1, 2, tzinfo=dt.UTC)]

    def test_closing_sells_and_cancels(self) -> None:
        at = {
            0: lambda a: (a.order(A, 5), a.order(A, -5, "stop", stop=1.0)),
            1: lambda a: a.close(A),
        }
        script, result = run(bars(*[QUIET] * 4), at)
        assert fills(script) == [(1, 5.0, 10.0), (2, -5.0, 10.0)]
        assert "cancelled" in result.orders["status"].tolist()


class TestActions:
    none = np.zeros((0, 0, 0))

    def conditions(self, *actions: tuple[int, int, int, float]) -> Conditions:
        return Conditions(
            np.zeros(0, np.int64), self.none, self.none, np.array(list(actions), dtype=ACTION)
        )

    def test_a_dividend_is_cash_for_who_held_before(self) -> None:
        at = {0: lambda a: a.order(A, 5), 1: lambda a: a.order(A, -10)}
        _, result = run(
            bars(*[QUIET] * 4),
            at,
            conditions=self.conditions((2, 0, DIVIDEND, 2.0), (3, 0, DIVIDEND, 2.0)),
        )
        # 5 shares before bar 2 receive 10; 5 short before bar 3 pay 10.
        assert (result.curve.equity - 1e6).tolist() == [0.0, 0.0, 10.0, 0.0]

    def test_a_split_changes_shares_and_orders_not_equity(self) -> None:
        market = bars(QUIET, QUIET, (5, 5, 5, 5), (5, 6.2, 5, 6))
        at = {0: lambda a: (a.order(A, 5), a.order(A, -5, "limit", limit=12.0))}
        script, result = run(market, at, conditions=self.conditions((2, 0, SPLIT, 0.5)))
        assert fills(script) == [(1, 5.0, 10.0), (3, -10.0, 6.0)]
        assert result.curve.equity.tolist() == [1e6, 1e6, 1e6, 1e6 + 10]


class TestFinancing:
    def test_a_short_pays_for_what_it_borrowed(self) -> None:
        year = 365
        market = bars(*[QUIET] * (year + 2))
        _, result = run(market, {0: lambda a: a.order(A, -100)}, make(cash=1e4, borrow_bps=100))
        assert result.curve.equity[-1] == pytest.approx(1e4 - 0.01 * 1_000, rel=1e-12)

    def test_cash_earns_and_debt_costs(self) -> None:
        market = bars(*[QUIET] * 366)
        _, idle = run(market, {}, make(cash=1e4, credit_bps=200))
        assert idle.curve.equity[-1] == pytest.approx(1e4 * math.exp(0.02), rel=1e-4)
        params = make(cash=1e4, leverage=2, debit_bps=1_000)
        _, levered = run(market, {0: lambda a: a.order(A, 2_000)}, params)
        assert levered.curve.equity[-1] == pytest.approx(1e4 - 1e4 * (math.exp(0.1) - 1), rel=1e-2)

    def test_a_margin_call_sells_at_the_next_bar(self) -> None:
        market = bars(QUIET, QUIET, (8, 8, 8, 8), (8, 8, 8, 8))
        params = make(cash=1e4, leverage=2, maintenance=0.4)
        script, result = run(market, {0: lambda a: a.order(A, 2_000)}, params)
        # 2,000 x 8 = 16,000 against 6,000 of equity: 0.4 x 16,000 = 6,400 is more than there is.
        # Kept: 0.95 x 6,000 / 6,400 = 0.890625 of the position.
        assert fills(script)[1:] == [(3, -219.0, 8.0)]
        assert result.fills["tag"].tolist() == ["order", "margin_call"]


class Same(Script):
    """Asks for the decisions of an array, one bar at a time."""

    def __init__(self, targets: Targets) -> None:
        self.rows = dict(zip(targets.rows.tolist(), targets.weights.tolist(), strict=True))

    def on_bar(self, account: Account) -> None:
        if account.bar in self.rows:
            account.targets(dict(zip(account.symbols, self.rows[account.bar], strict=True)))


@pytest.mark.parametrize("look", [False, True])
def test_a_script_that_asks_for_weights_is_the_array_of_weights(look: bool) -> None:
    """The lazy way, the eager way and the compiled loop leave the same bytes."""
    market = random_market(11, bars=200, symbols=4, missing=0.1)
    targets = random_targets(11, bars=200, symbols=4)
    params = make(fee="interactive_brokers", slippage_bps=5)
    whole = Simulation(market, names(4), targets, params)
    whole.advance()

    class Looking(Same):
        def on_bar(self, account: Account) -> None:
            assert not look or account.equity > 0
            super().on_bar(account)

    simulation = Simulation(
        market, names(4), Targets(np.zeros(0, np.int64), np.zeros((0, 4))), params
    )
    play(Looking(targets), simulation, Recorder())
    assert simulation.result().digests() == whole.result().digests()
