"""A strategy's own code in a process of its own: whatever it does, the run ends and says where."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from runtimes.backtest import bars, staging
from runtimes.backtest.outside import Theatre
from runtimes.engine.arrays import Market, Targets
from runtimes.engine.params import make
from runtimes.engine.results import Result
from runtimes.engine.scripting import play
from runtimes.engine.simulation import Simulation
from runtimes.specs.backtest import BacktestSpec
from runtimes.specs.base import parse
from runtimes.strategies import STRATEGIES
from runtimes.strategies.base import View
from runtimes.strategies.scripted import ScriptStrategy
from tests.kit import plugin
from tests.kit.engine import flat_market, random_market
from topology.errors import AlphaSwarmError, HaltedError
from topology.frames import Progress
from topology.sections import StrategyLimits

BARS, BAD = 60, 40
SYMBOLS = ("AAA.TEST", "BBB.TEST")
PACK = f"""
import ctypes, math, os, sys, time
from runtimes.engine.arrays import Targets
from runtimes.engine.script import Script
from runtimes.strategies.base import Strategy, StrategyParams, targets
from runtimes.strategies.scripted import ScriptStrategy


class Params(StrategyParams):
    does: str


class Bad(Script):
    def __init__(self, params):
        self.does = params.does

    def on_bar(self, account):
        if account.bar % 7 == 0:
            account.order("AAA.TEST", 5)
        if self.does == "takes_its_time":
            time.sleep(0.001)
        elif account.bar == {BAD}:
            getattr(self, self.does)(account)

    def nothing(self, account): ...
    def raises(self, account): raise ZeroDivisionError("no")
    def never_returns(self, account):
        while True: pass
    def never_returns_in_a_library(self, account): ctypes.PyDLL(None).sleep(600)
    def allocates(self, account):
        held = []
        while True: held.append(bytearray(1 << 20))
    def ends_the_process(self, account): os._exit(3)
    def weighs_nan(self, account): account.target("BBB.TEST", math.nan)
    def orders_words(self, account): account.order("BBB.TEST", "ten")
    def orders_a_list(self, account): account.order("BBB.TEST", [1, 2])
    def orders_nan(self, account): account.order("BBB.TEST", math.nan)


def decide(view, params):
    if params.does == "never_returns":
        while True: pass
    if params.does == "allocates":
        held = []
        while True: held.append(bytearray(1 << 20))
    return targets([0], [[0.5]])


SCRIPT = ScriptStrategy("Bad.", Params, lambda p: 1, lambda p, view: Bad(p))
WEIGHTS = Strategy("Bad.", Params, lambda p: 1, decide)
"""
LIMITS = StrategyLimits(bar_s=2, plan_s=600, memory_mb=200)
"""Long enough for a busy machine: a bar of these takes microseconds, or for ever."""


class Quiet(Progress):
    def __init__(self, stop_at: int | None = None) -> None:
        self.frames: list[dict[str, Any]] = []
        self._stop_at = stop_at

    def emit(self, stage: str, message: str, **extras: Any) -> None:
        self.frames.append({"stage": stage, "message": message, **extras})

    def checkpoint(self) -> None:
        if self._stop_at is not None and len(self.frames) >= self._stop_at:
            raise HaltedError("Stop.", epoch=1, scope="all")


@pytest.fixture
def pack(site: Path) -> None:
    plugin.install(site, PACK, {"bad_script": "SCRIPT", "bad_weights": "WEIGHTS"})


def spec(does: str, name: str = "bad_script") -> BacktestSpec:
    body = {
        "kind": "backtest",
        "name": "small",
        "universe": {"symbols": list(SYMBOLS)},
        "data": {"start": "1970-01-01", "end": "1970-12-31"},
        "strategy": {"name": name, "params": {"does": does}},
    }
    return cast("BacktestSpec", parse("backtest", body))


def staged(of: BacktestSpec, market: Market, *, limits: StrategyLimits = LIMITS) -> staging.Play:
    ground = staging.Ground(bars.Window(market, SYMBOLS, 0))
    return staging.staged(of, ground, latch=np.zeros(64, np.int64), limits=limits)


def market() -> Market:
    return random_market(3, bars=BARS, symbols=2)


def in_process(of: BacktestSpec) -> Result:
    """Play the same script in this process."""
    strategy = cast("ScriptStrategy", STRATEGIES.load(of.strategy.name))
    held = market()
    targets = Targets(np.zeros(0, np.int64), np.zeros((0, 2)))
    simulation = Simulation(held, SYMBOLS, targets, make(**of.rules()))
    play(strategy.build(of.strategy.params, View(held, 0)), simulation, Quiet())
    return simulation.result()


@pytest.mark.usefixtures("pack")
def test_a_script_comes_to_the_same_bits_there_as_here() -> None:
    of, progress = spec("nothing"), Quiet()
    there = staged(of, market())

    there.play(progress)

    result = there.result()
    assert result is not None
    assert result.digests() == in_process(of).digests()
    assert not result.partial
    told = [frame for frame in progress.frames if frame["stage"] == "bar.processed"]
    assert told[-1]["current"] == told[-1]["total"] == BARS


@pytest.mark.usefixtures("pack")
@pytest.mark.parametrize(
    ("does", "said", "facts"),
    [
        pytest.param("raises", "ZeroDivisionError", {}, id="raises"),
        pytest.param(
            "never_returns_in_a_library",
            "within 2 s",
            {"bar": BAD},
            id="never returns and holds the interpreter",
        ),
        pytest.param("allocates", "MemoryError", {}, id="allocates without end"),
        pytest.param(
            "ends_the_process", "ended its process", {"bar": BAD, "status": 3}, id="ends it all"
        ),
    ],
)
def test_what_a_script_does_wrong_ends_the_run_with_the_bar_and_keeps_the_rest(
    does: str, said: str, facts: dict[str, Any]
) -> None:
    there = staged(spec(does), market())

    with pytest.raises(AlphaSwarmError) as caught:
        there.play(Quiet())

    assert caught.value.wire_code == "strategy_error"
    assert said in caught.value.message
    assert facts.items() <= caught.value.facts.items()
    assert caught.value.facts["timestamp"] == "1970-02-10T00:00:00Z"
    result = there.result()
    assert result is not None
    assert result.partial
    assert len(result.timestamps) == BAD
    assert result.fills["price"].size == BAD // 7 + 1


@pytest.mark.usefixtures("pack")
@pytest.mark.parametrize(
    ("does", "said"),
    [
        pytest.param("weighs_nan", "nan", id="a weight of nan"),
        pytest.param("orders_words", "'ten'", id="a quantity in words"),
        pytest.param("orders_a_list", "[1, 2]", id="the wrong shape"),
    ],
)
def test_what_is_no_number_fails_with_its_symbol(does: str, said: str) -> None:
    with pytest.raises(AlphaSwarmError, match=re.escape(said)) as caught:
        in_process(spec(does))

    assert caught.value.facts["symbol"] == "BBB.TEST"
    assert caught.value.facts["timestamp"] == "1970-02-10T00:00:00Z"


@pytest.mark.usefixtures("pack")
def test_an_order_that_makes_no_sense_is_rejected_and_the_run_goes_on() -> None:
    result = in_process(spec("orders_nan"))

    assert not result.partial
    assert result.orders["status"].tolist().count("rejected") == 1


@pytest.mark.usefixtures("pack")
@pytest.mark.parametrize("does", ["never_returns", "allocates"])
def test_a_package_that_decides_weights_is_bounded_too(does: str) -> None:
    limits = StrategyLimits(bar_s=2, plan_s=3 if does == "never_returns" else 600, memory_mb=200)
    there = staged(spec(does, "bad_weights"), market(), limits=limits)

    with pytest.raises(AlphaSwarmError) as caught:
        there.play(Quiet())

    assert caught.value.wire_code == "strategy_error"
    assert there.result() is None


@pytest.mark.usefixtures("pack")
def test_a_halt_keeps_the_bars_before_it() -> None:
    held = flat_market(np.full((50_000, 2), 50.0))
    ground = staging.Ground(bars.Window(held, SYMBOLS, 0))
    of = spec("takes_its_time")
    job = staging.job(of, ground, limits=StrategyLimits(memory_mb=500))
    theatre = Theatre(job, LIMITS, times=ground.window.market.timestamps)

    with pytest.raises(HaltedError):
        theatre.play(Quiet(stop_at=2))

    assert theatre.played is not None
    assert theatre.played.result is not None
    assert theatre.played.result.partial
