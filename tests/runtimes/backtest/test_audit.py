"""The look-ahead audit: what it lets pass, and that each of its tests catches a cheat alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from runtimes.backtest import audit
from runtimes.backtest.audit import Seen, filled, traced
from runtimes.backtest.bars import Window
from runtimes.backtest.noise import noised
from runtimes.backtest.reruns import Reruns
from runtimes.engine.arrays import Floats, Targets
from runtimes.engine.checks import check_market
from runtimes.engine.errors import LookaheadError
from runtimes.specs.backtest import BacktestSpec
from runtimes.specs.base import parse
from runtimes.strategies import STRATEGIES
from runtimes.strategies.base import Reading, Strategy, StrategyParams, Told, View, targets
from tests.kit.engine import names, random_market
from topology.errors import AlphaSwarmError

BARS, FIRST = 300, 40
ENOUGH = 10**9


def spec_of(name: str = "equal_weight", **params: Any) -> BacktestSpec:
    found = parse(
        "backtest",
        {
            "kind": "backtest",
            "name": "audited",
            "universe": {"symbols": list(names(3))},
            "data": {"start": "2001-01-01", "end": "2001-12-31"},
            "strategy": {"name": name, "params": params},
        },
    )
    assert isinstance(found, BacktestSpec)
    return found


def window_of(seed: int = 3, *, missing: float = 0.0, symbols: int = 3) -> Window:
    market = random_market(seed, bars=BARS, symbols=symbols, missing=missing)
    return Window(market, names(symbols), FIRST)


def cheat(decide: Callable[[View], Floats]) -> Reruns:
    """Return reruns of a strategy whose ``decide`` gives weights (T, N) for every bar."""

    def every_tenth_bar(view: View, _: StrategyParams) -> Targets:
        rows = np.arange(view.first, len(view.close), 10)
        return targets(rows, decide(view)[rows])

    return Reruns(spec_of(), Strategy("Cheat", StrategyParams, lambda _: 1, every_tenth_bar))


def audited(reruns: Reruns, window: Window, *, cuts: int = 8, noise: int = 2, seed: int = 7) -> Any:
    whole = reruns.see(window, BARS)
    return audit.audited(
        reruns.see, window, whole, seed=seed, cuts=cuts, noise=noise, budget=ENOUGH
    )


def tomorrow(view: View) -> Floats:
    """Hold a third of what rises tomorrow."""
    ahead = np.vstack([view.close[1:], view.close[-1:]])
    return np.where(ahead > view.close, 1 / 3, 0.0)


def whole_sample(view: View) -> Floats:
    """Hold a third of what is below the mean of the whole sample."""
    return np.where(view.close < view.close.mean(axis=0), 1 / 3, 0.0)


def last_bar(view: View) -> Floats:
    """Hold a third of what ends higher than it stands."""
    return np.where(view.close[-1] > view.close, 1 / 3, 0.0)


def next_volume(view: View) -> Floats:
    """Hold a third of what is traded more tomorrow: no price is looked at."""
    volume = view.market.volume
    return np.where(np.vstack([volume[1:], volume[-1:]]) > volume, 1 / 3, 0.0)


CHEATS = [tomorrow, whole_sample, last_bar, next_volume]


@pytest.mark.parametrize("decide", CHEATS)
@pytest.mark.parametrize(
    ("cuts", "noise", "test"),
    [pytest.param(8, 0, "cut", id="cut alone"), pytest.param(0, 8, "noise", id="noise alone")],
)
def test_a_cheat_is_caught_by_each_test_alone(
    decide: Callable[[View], Floats], cuts: int, noise: int, test: str
) -> None:
    found = audited(cheat(decide), window_of(), cuts=cuts, noise=noise)
    assert found["passed"] is False
    first = found["first_difference"]
    assert (first["test"], first["what"]) == (test, "a decision")
    assert first["at"] <= first["known_until"]
    with pytest.raises(LookaheadError) as refused:
        audit.refuse(found)
    assert refused.value.wire_code == "lookahead_strategy"
    assert refused.value.facts["test"] == test


def test_a_one_bar_cheat_is_caught_because_half_of_the_bars_are_decided_at() -> None:
    """A random cut hits one of 26 decisions rarely; the audit aims."""
    assert all(
        audited(cheat(tomorrow), window_of(seed), cuts=4, noise=0, seed=seed)["passed"] is False
        for seed in range(5)
    )


def test_a_strategy_that_breaks_on_a_shorter_past_is_caught() -> None:
    def reads_the_end(view: View) -> Floats:
        weights = np.zeros(view.close.shape)
        weights[view.close[250] > view.close] = 1 / 3  # bar 250 is not there on a cut past
        return weights

    found = audited(cheat(reads_the_end), window_of(), cuts=8, noise=0)
    assert found["first_difference"]["what"] == "a failure"


@pytest.mark.parametrize("name", ["momentum", "sma_cross", "equal_weight", "minimum_variance"])
@pytest.mark.parametrize("missing", [0.0, 0.1])
def test_an_honest_strategy_passes(name: str, missing: float) -> None:
    params = {"sma_cross": {"fast": 3, "slow": 9}, "momentum": {"lookback": 20, "top": 1}}
    spec = spec_of(name, **params.get(name, {}))
    window = window_of(missing=missing)
    found = audited(Reruns(spec, STRATEGIES.weights(name)), window)
    assert found["passed"] is True
    assert (len(found["cuts"]), len(found["noise"])) == (8, 2)
    assert found["first_difference"] is None
    audit.refuse(found)


def test_rounding_is_no_look_ahead() -> None:
    def rounded(view: View) -> Floats:
        return np.full(view.close.shape, 0.3 + 1e-13 * len(view.close))

    assert audited(cheat(rounded), window_of())["passed"] is True


def test_a_fill_that_knows_the_future_is_a_difference_too() -> None:
    honest, window = Reruns(spec_of(), STRATEGIES.weights("equal_weight")), window_of()

    def again(other: Window, bars: int) -> Seen:
        decided = honest.decide(other)
        fills = honest.trade(other, decided, bars=bars).fills
        return Seen(
            traced(decided), filled({**fills, "price": fills["price"] + other.market.close[-1, 0]})
        )

    whole = again(window, BARS)
    found = audit.audited(again, window, whole, seed=1, cuts=0, noise=3, budget=ENOUGH)
    assert found["first_difference"]["what"] == "a fill"


def test_the_bars_are_drawn_from_the_seed() -> None:
    reruns = Reruns(spec_of(), STRATEGIES.weights("equal_weight"))
    one, again, other = (audited(reruns, window_of(), seed=seed) for seed in (1, 1, 2))
    assert one == again
    assert one["cuts"] != other["cuts"]


@pytest.mark.parametrize(
    ("budget", "cuts", "noise"),
    [
        pytest.param(ENOUGH, 4, 2, id="all"),
        pytest.param(2 * BARS, 2, 1, id="as many as are cheap enough"),
        pytest.param(FIRST, 0, 0, id="none"),
    ],
)
def test_an_audit_stays_within_its_budget(budget: int, cuts: int, noise: int) -> None:
    reruns, window = Reruns(spec_of(), STRATEGIES.weights("equal_weight")), window_of()
    computed = []

    def counted(other: Window, bars: int) -> Seen:
        computed.append(len(other.market.timestamps))
        return reruns.see(other, bars)

    whole = reruns.see(window, BARS)
    found = audit.audited(counted, window, whole, seed=7, cuts=4, noise=2, budget=budget)
    assert sum(computed) <= budget
    assert len(found["cuts"]) >= cuts
    assert len(found["noise"]) >= noise
    assert (found["passed"] is None) == (found["skipped"] is not None) == (not computed)


def test_what_was_not_asked_for_is_said_to_be_skipped() -> None:
    reruns, window = Reruns(spec_of(), STRATEGIES.weights("equal_weight")), window_of()
    found = audited(reruns, window, cuts=0, noise=0)
    assert found["skipped"] == "The spec asks for no audit."


@pytest.mark.parametrize("seed", range(3))
def test_noise_leaves_the_past_and_the_calendar_alone(seed: int) -> None:
    window, bar = window_of(seed, missing=0.2), 150
    reading = Reading("alphaswarm_silver_x.signals", "score")
    told = Told(np.arange(BARS * 3.0).reshape(BARS, 3), np.zeros((BARS, 3), np.int64))
    window = Window(
        window.market,
        window.symbols,
        FIRST,
        member=np.ones((BARS, 3), dtype=bool),
        panels={reading: told},
    )
    other = noised(window, bar, np.random.default_rng(seed))
    for before, after in zip(window.market, other.market, strict=True):
        assert np.array_equal(before[: bar + 1], after[: bar + 1], equal_nan=True)
        assert np.array_equal(np.isnan(before), np.isnan(after))
    assert np.array_equal(window.market.timestamps, other.market.timestamps)
    later = ~np.isnan(window.market.close[bar + 1 :])
    assert (window.market.close[bar + 1 :] != other.market.close[bar + 1 :])[later].all()
    assert other.member is not None
    assert other.member[: bar + 1].all()
    assert not other.member[bar + 1 :].all()
    assert np.array_equal(other.panels[reading].values[: bar + 1], told.values[: bar + 1])
    assert (other.panels[reading].values[bar + 1 :] != told.values[bar + 1 :]).all()
    check_market(other.market, other.symbols, first=FIRST)  # noise is a market, too


def test_the_error_of_a_cheat_is_ours() -> None:
    assert issubclass(LookaheadError, AlphaSwarmError)
