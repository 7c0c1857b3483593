"""Bars that nobody looks at are skipped, and the account is the one that a look at each finds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtimes.engine.arrays import (
    ACTION,
    FIRST_OF_SESSION,
    LAST_OF_SESSION,
    Conditions,
    Market,
    Targets,
)
from runtimes.engine.feed import Feed, bars_of
from runtimes.engine.orders import LIMIT, TIFS, place
from runtimes.engine.paper import Paper
from runtimes.engine.params import make
from runtimes.engine.script import Account, OrderEvent, Script
from runtimes.engine.scripting import play
from runtimes.engine.simulation import Simulation
from tests.kit.engine import Recorder, names, random_market

BARS, SYMBOLS = 60, 2
RULES: list[dict[str, Any]] = [
    {},
    {"fill": "same_close"},
    {"fill": "quote_side", "lag": 2},
    {"participation": 0.05, "slippage": "volume_share", "slippage_coefficient": 0.1},
    {"leverage": 3, "debit_bps": 300, "borrow_bps": 50, "maintenance": 0.3},
    {"settlement": 2, "credit_bps": 100, "intrabar": "nearest"},
]


class Resting(Script):
    """Gives limits and stops now and then, changes and cancels some; ``looks`` at every bar."""

    def __init__(self, seed: int, *, looks: bool) -> None:
        self.rng, self.looks = np.random.default_rng(seed), looks
        self.heard: list[OrderEvent | int] = []
        self.equity: dict[int, float] = {}

    def on_bar(self, account: Account) -> None:
        """Do what the draw of this bar says."""
        if self.looks:
            self.equity[account.bar] = account.equity
        chance, step, side, place = self.rng.random(4)
        symbol = account.symbols[int(place * SYMBOLS)]
        last = float(account.history(symbol, 1)[-1])
        open_orders = account.open_orders()
        if chance < 0.1 and open_orders:
            account.cancel(open_orders[0])
        elif chance < 0.2 and open_orders:
            account.update(open_orders[-1], limit=last * (0.97 + 0.06 * step))
        elif chance < 0.4 and np.isfinite(last):
            self.give(account, symbol, last, step, 5.0 if side < 0.7 else -5.0)

    def give(self, account: Account, symbol: str, last: float, step: float, size: float) -> None:
        """Give a limit or a stop, most of them with two exits."""
        kind = "limit" if step < 0.6 else "stop"
        price = last * (0.97 + 0.06 * step)
        parts: dict[str, Any] = {kind: price}
        if size > 0:
            parts |= {"take_profit": price * 1.03, "stop_loss": price * 0.97}
        tif = ("gtc", "gtc", "day", "gtd")[int(step * 4)]
        until = account.time.replace(year=account.time.year + 1) if tif == "gtd" else None
        account.order(symbol, size, kind, tif=tif, until=until, **parts)

    def on_order(self, account: Account, event: OrderEvent) -> None:
        """Remember it and its bar."""
        self.heard += [account.bar, event]


def sessions(bars: int, each: int) -> Conditions:
    """Return sessions of so many bars and nothing else."""
    flags = np.zeros(bars, np.int64)
    flags[::each] |= FIRST_OF_SESSION
    flags[each - 1 :: each] |= LAST_OF_SESSION
    none = np.zeros((0, 0, 0))
    return Conditions(flags, none, none, np.zeros(0, ACTION))


def simulated(market: Market, rules: dict[str, Any]) -> Simulation:
    nothing = Targets(np.zeros(0, np.int64), np.zeros((0, SYMBOLS)))
    params = make(cash=1e4, **rules)
    around = sessions(BARS, 5)
    return Simulation(market, names(SYMBOLS), nothing, params, conditions=around)


@given(seed=st.integers(0, 10_000), rules=st.sampled_from(RULES))
@settings(max_examples=40, deadline=None)
def test_bars_that_are_skipped_leave_the_same_bytes(seed: int, rules: dict[str, Any]) -> None:
    """Lazily, with a look at every bar, and on paper, where no later bar exists."""
    market = random_market(seed, bars=BARS, symbols=SYMBOLS, missing=0.05)
    lazy, eager, fed = (Resting(seed, looks=looks) for looks in (False, True, False))
    skipping, stepping = simulated(market, rules), simulated(market, rules)
    play(lazy, skipping, Recorder())
    play(eager, stepping, Recorder())
    paper = Paper(Feed(names(SYMBOLS), make(cash=1e4, **rules)), fed, Recorder())
    for bar in bars_of(market, sessions(BARS, 5), first=0):
        paper.take(bar)
    result = skipping.result()
    assert result.digests() == stepping.result().digests() == paper.result().digests()
    assert str(lazy.heard) == str(eager.heard) == str(fed.heard)
    if rules.get("fill") != "same_close":  # where nothing fills after the look
        np.testing.assert_array_equal(list(eager.equity.values()), result.curve.equity)


class TestQuietBars:
    @staticmethod
    def quiet(ahead: int, **order: Any) -> int:
        """Return the bar before which nothing can happen, of a rising market and one order."""
        prices = np.arange(100.0, 120.0)[:, None]
        times = np.arange(20, dtype=np.int64)
        market = Market(times, prices, prices + 0.5, prices - 0.5, prices, np.ones((20, 1)))
        nothing = Targets(np.zeros(0, np.int64), np.zeros((0, 1)))
        simulation = Simulation(market, ("A",), nothing, make(), conditions=sessions(20, 8))
        if order:
            given = {"symbol": 0, "kind": LIMIT, "tif": TIFS.index("gtc"), "quantity": -1.0}
            place(simulation.state, simulation.book, created=0, **{**given, **order})
        simulation.enter()
        return simulation.leave(ahead)

    @pytest.mark.parametrize(
        ("order", "bar"),
        [
            pytest.param({}, 20, id="no order: to the end"),
            pytest.param({"limit": 110.0}, 10, id="the bar whose high of 110.5 passes it"),
            pytest.param({"limit": 200.0}, 17, id="as far as was looked"),
            pytest.param({"limit": 200.0, "tif": TIFS.index("day")}, 7, id="the session's end"),
            pytest.param({"limit": 110.0, "tif": TIFS.index("ioc")}, 1, id="who cannot wait"),
            pytest.param({"limit": 110.0, "waiting": 1, "parent": 7}, 20, id="who waits for it"),
        ],
    )
    def test_end_where_an_order_could_notice(self, order: dict[str, Any], bar: int) -> None:
        assert self.quiet(16, **order) == bar

    def test_are_not_looked_for_where_nobody_asks(self) -> None:
        assert self.quiet(0, limit=200.0) == 1


def test_a_cancelled_order_is_heard_of_at_the_next_bar() -> None:
    heard: list[tuple[int, str]] = []

    class Cancels(Script):
        def on_bar(self, account: Account) -> None:
            if account.bar == 3:
                account.cancel(account.order(names(1)[0], 1, "limit", limit=0.01))

        def on_order(self, account: Account, event: OrderEvent) -> None:
            heard.append((account.bar, event.status))

    market = random_market(1, bars=9, symbols=1)
    nothing = Targets(np.zeros(0, np.int64), np.zeros((0, 1)))
    play(Cancels(), Simulation(market, names(1), nothing, make()), Recorder())
    assert heard == [(4, "cancelled")]
