"""Source that a spec brings: the same bits as a class of ours, and whatever it does, an end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import numpy as np
import pytest

from runtimes.backtest import bars, staging
from runtimes.backtest.elsewhere import called
from runtimes.backtest.outside import Company, Played, Process, Theatre
from runtimes.engine.arrays import Targets
from runtimes.engine.errors import StrategyError
from runtimes.engine.params import make
from runtimes.engine.results import Result
from runtimes.engine.script import Script
from runtimes.engine.scripting import play
from runtimes.engine.simulation import Simulation
from runtimes.sandbox import calls
from runtimes.specs.backtest import BacktestSpec
from runtimes.specs.base import parse
from tests.kit.cells import Quiet
from tests.kit.engine import random_market
from topology.errors import HaltedError
from topology.sections import StrategyLimits

pytestmark = pytest.mark.skipif(bool(calls.lacking()), reason="no Landlock")
SYMBOLS = ("AAA.TEST", "BBB.TEST", "CCC.TEST")
BARS, FIRST, BAD = 80, 20, 30
LIMITS = StrategyLimits(bar_s=4, plan_s=600, memory_mb=200, cpu_s=60)
"""Long enough for a busy machine: a bar of these takes microseconds, or for ever."""
TIMES = random_market(3, bars=BARS, symbols=1).timestamps[FIRST:]
BUSY = '''
class Busy(Script):
    """Do everything that an account can."""

    warmup = 20

    def __init__(self, size=5, lean=False):
        self.size, self.heard, self.ids = size, [], []

    def on_start(self, account):
        assert account.bar == -1
        assert account.history("AAA.TEST", 100).shape == (20,)

    def on_order(self, account, event):
        self.heard.append((event.order_id, event.symbol, event.status, event.quantity))

    def on_bar(self, account):
        bar, a, b, c = account.bar, *account.symbols
        price = account.price(a)
        assert price == account.history(a, 1)[-1] and account.time.tzinfo is not None
        if bar % 7 == 0:
            self.ids.append(account.order(a, self.size))
            self.ids.append(account.order(b, -3, "limit", limit=account.price(b, "high") * 1.01))
        if bar % 11 == 0:
            stop = account.order(a, 4, take_profit=price * 1.02, stop_loss=price * 0.98)
            assert stop in account.open_orders(a) and stop in account.open_orders()
        if bar % 13 == 0 and self.ids:
            account.update(self.ids[-1], quantity=-2.0)
            account.cancel(self.ids[0])
        if bar % 17 == 5:
            account.targets({b: 0.2, c: 0.1})
            assert account.equity > 0 and account.cash != account.position(a)
        if bar % 19 == 6:
            account.close(c)
            account.order(c, int(account.quantity_for(c, 0.05)) or 1, "stop", stop=price * 9)
            account.order(c, float("nan"))
            try:
                account.target("DDD.TEST", 0.1)
            except Exception as error:
                self.heard.append(str(error))
        if sum(map(abs, account.positions().values())) > 400:
            account.target(a, 0.0)
'''
ENDS = {
    "raises": "raise ZeroDivisionError('no')",
    "never returns": "while True: pass",
    "allocates": "held = []\n        while True: held.append(bytes(1 << 20))",
    "ends its process": "__import__('os')._exit(3)",
    "weighs nan": "account.target('BBB.TEST', math.nan)",
    "weighs too much": "account.target('BBB.TEST', 7.0)",
    "orders words": "account.order('BBB.TEST', 'ten')",
    "orders what there is not": "account.order('ZZZ.TEST', 1)",
    "lies": "account._desk._phone.say(['fill', 0, 1e9, 0.01])",
}


def spec(code: str, **changes: Any) -> BacktestSpec:
    body = {
        "kind": "backtest",
        "name": "small",
        "universe": {"symbols": list(SYMBOLS)},
        "data": {"start": "1970-01-01", "end": "1970-12-31"},
        "strategy": {"name": "mine", "code": code} | changes.pop("strategy", {}),
    }
    return cast("BacktestSpec", parse("backtest", body | changes))


def ground(market: Any = None) -> staging.Ground:
    market = random_market(3, bars=BARS, symbols=len(SYMBOLS)) if market is None else market
    return staging.Ground(bars.Window(market, SYMBOLS, FIRST))


@pytest.fixture(scope="module")
def company() -> Iterator[Company]:
    with Company(LIMITS) as opened:
        yield opened


def played(company: Company, of: BacktestSpec, **more: Any) -> Played:
    on = more.pop("on", None) or ground()
    job = staging.job(of, on, limits=LIMITS, **more)
    return company.play(job, Quiet(), times=on.window.market.timestamps[on.window.first :])


def here(code: str, of: BacktestSpec, **params: Any) -> Result:
    """Play the same source in this process, where every bar is at hand."""
    known: dict[str, Any] = {"Script": Script}
    exec(code, known)
    market = random_market(3, bars=BARS, symbols=len(SYMBOLS))
    nothing = Targets(np.zeros(0, np.int64), np.zeros((0, len(SYMBOLS))))
    simulation = Simulation(market, SYMBOLS, nothing, make(**of.rules()), first=FIRST)
    play(known["Busy"](**params), simulation, Quiet())
    return simulation.result()


def test_source_comes_to_the_same_bits_there_as_a_class_here(company: Company) -> None:
    of = spec(BUSY, strategy={"params": {"size": 6}})
    there = played(company, of)

    assert there.error is None
    assert there.result is not None
    assert len(there.result.fills["price"]) > 20
    assert there.result.digests() == here(BUSY, of, size=6).digests()
    assert there.result.digests() != here(BUSY, of, size=5).digests()


@pytest.mark.parametrize(
    ("does", "said", "facts"),
    [
        ("raises", "failed in line 9: ZeroDivisionError", {"error": "no", "line": 9}),
        ("never returns", "did not come to an end within 4 s", {"limit_s": 4.0}),
        ("allocates", "failed in line 10: MemoryError", {"line": 10}),
        ("ends its process", "ended its process", {}),
        ("weighs nan", "The weight of BBB.TEST is nan", {"symbol": "BBB.TEST"}),
        ("weighs too much", "more than the leverage", {"symbol": "BBB.TEST"}),
        ("orders words", "'ten', no number", {"symbol": "BBB.TEST"}),
        ("orders what there is not", "no symbol 'ZZZ.TEST'", {}),
        ("lies", "sent a request that there is not: it is not believed", {}),
    ],
)
def test_whatever_source_does_the_bars_before_it_are_kept(
    company: Company, does: str, said: str, facts: dict[str, Any]
) -> None:
    code = f"""
import math

class Strategy:
    def on_bar(self, account):
        if account.bar % 7 == 0:
            account.order("AAA.TEST", 5)
        if account.bar == {BAD}:
            {ENDS[does].replace(chr(10), chr(10) + "    ")}
"""
    result = played(company, spec(code))

    assert result.error is not None
    assert said in result.error.message
    assert result.error.facts["bar"] == BAD
    assert result.error.facts.items() >= facts.items()
    assert result.error.facts["timestamp"] == "1970-02-20T00:00:00Z"
    assert result.result is not None
    assert result.result.partial
    assert len(result.result.timestamps) in (BAD, BAD + 1)
    assert len(result.result.fills["price"]) == BAD // 7 + 1


def test_source_that_never_begins_is_ended_too() -> None:
    code = "class Strategy:\n    def __init__(self):\n        while True: pass\n"
    limits = LIMITS.model_copy(update={"plan_s": 1})
    play = staging.staged(spec(code), ground(), latch=np.zeros(64, np.int64), limits=limits)
    with pytest.raises(StrategyError, match="did not come to an end within 1 s before its first"):
        play.play(Quiet())
    assert play.result() is None


class AtBar(Quiet):
    """A halt that comes once a bar is reached."""

    def __init__(self, process: Process, bar: int) -> None:
        super().__init__()
        self._process, self._bar = process, bar

    def checkpoint(self) -> None:
        """Raise at that bar."""
        if self._process.bar == self._bar:
            raise HaltedError("Stop.", epoch=1, scope="all")


def test_a_halt_ends_source_that_never_returns_and_keeps_what_there_was() -> None:
    code = f"class Strategy:\n def on_bar(self, account):\n  while account.bar == {BAD}: pass\n"
    on, limits = ground(), StrategyLimits(bar_s=600, plan_s=600)
    theatre = Theatre(staging.job(spec(code), on, limits=limits), limits, times=TIMES)

    with Process() as process, pytest.raises(HaltedError):
        theatre.play_in(process, AtBar(process, BAD))

    assert theatre.played is not None
    assert theatre.played.result is not None
    assert theatre.played.result.partial
    assert len(theatre.played.result.timestamps) == BAD


def test_the_future_cannot_be_reached_so_noise_in_it_changes_nothing(company: Company) -> None:
    market = random_market(3, bars=BARS, symbols=len(SYMBOLS))
    noisy = market._replace(close=np.where(np.arange(BARS)[:, None] > 50, 1.0, market.close))
    code = """
class Strategy:
    def on_bar(self, account):
        ahead = account._desk.market.close
        account.order("AAA.TEST", float(np.nansum(ahead[:, 0] * 7) // 1))
"""
    traces = [
        played(company, spec(code), on=ground(seen), noted=True).calls for seen in (market, noisy)
    ]
    first, second = (called(trace, first=FIRST) for trace in traces)
    assert first.until(50).labels == second.until(50).labels
    assert len(first.until(50).labels) == 51 - FIRST
    assert first.labels != second.labels


def test_the_same_seed_gives_the_same_numbers_and_another_seed_others(company: Company) -> None:
    code = """
import random

class Strategy:
    def on_bar(self, account):
        account.order("AAA.TEST", random.randint(1, 9) + np.random.randint(1, 9))
        account.order(min(set(account.symbols), key=hash), 1)
"""
    results = [played(company, spec(code, seed=seed)).result for seed in (1, 1, 2)]
    digests = [result.digests() for result in results if result is not None]
    assert digests[0] == digests[1] != digests[2]
