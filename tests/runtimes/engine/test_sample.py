"""Real bars: what five stocks did from 2000 to 2013, to nine digits."""

from __future__ import annotations

import numpy as np
import pytest

from runtimes.engine.arrays import DONE, Market, Targets
from runtimes.engine.params import make
from runtimes.engine.results import Result
from runtimes.engine.simulation import Simulation
from runtimes.strategies import STRATEGIES
from runtimes.strategies.base import View, plan
from tests.kit.engine import sample_market


@pytest.fixture(scope="module")
def adjusted() -> tuple[Market, tuple[str, ...]]:
    return sample_market()


def hold(market: Market, symbols: tuple[str, ...], **rules: object) -> Result:
    strategy = STRATEGIES.weights("buy_and_hold")
    targets = plan(strategy, strategy.params(), View(market, 0))
    params = make(**rules)  # type: ignore[arg-type]
    simulation = Simulation(market, symbols, targets, params)
    while simulation.advance() != DONE:
        pass
    return simulation.result()


def only(market: Market, symbols: tuple[str, ...], name: str) -> Market:
    column = symbols.index(name)
    own = np.flatnonzero(~np.isnan(market.close[:, column]))
    return Market(market.timestamps[own], *(field[own][:, [column]] for field in market[1:]))


@pytest.mark.parametrize("name", ["AAPL.NASDAQ", "IBM.NYSE", "MSFT.NASDAQ", "FB.NASDAQ"])
def test_free_buy_and_hold_is_the_ratio_of_adjusted_closes(
    adjusted: tuple[Market, tuple[str, ...]], name: str
) -> None:
    market = only(*adjusted, name)
    result = hold(market, (name,), cash=10_000, fractional=True, fill="next_close")
    ratio = market.close[-1, 0] / market.close[1, 0]
    assert result.curve.equity[-1] / 10_000 == pytest.approx(ratio, rel=1e-9)


def test_late_listings_are_named_and_never_bought(
    adjusted: tuple[Market, tuple[str, ...]],
) -> None:
    result = hold(*adjusted)
    late = next(w for w in result.warnings if w["code"] == "late_listing")
    assert late["first"] == {
        "FB.NASDAQ": "2012-05-18T21:00:00Z",
        "GOOG.NASDAQ": "2004-08-19T21:00:00Z",
    }
    assert set(result.fills["vt_symbol"].tolist()) == {"AAPL.NASDAQ", "IBM.NYSE", "MSFT.NASDAQ"}


@pytest.mark.parametrize(
    ("adjust", "code"), [("none", "raw_prices_no_actions"), ("split", "dividends_not_booked")]
)
def test_prices_that_leave_something_out_carry_a_warning(adjust: str, code: str) -> None:
    market, symbols = sample_market(adjusted=False)
    apple = only(market, symbols, "AAPL.NASDAQ")
    targets = Targets(np.array([0]), np.ones((1, 1)))
    simulation = Simulation(apple, ("AAPL.NASDAQ",), targets, make(), adjust=adjust)
    assert simulation.advance() == DONE
    assert code in [w["code"] for w in simulation.result().warnings]


def test_symbols_with_too_little_history_before_the_start_are_named(
    adjusted: tuple[Market, tuple[str, ...]],
) -> None:
    market, symbols = adjusted
    first = int(np.flatnonzero(~np.isnan(market.close[:, symbols.index("GOOG.NASDAQ")]))[10])
    none = Targets(np.zeros(0, dtype=np.int64), np.zeros((0, len(symbols))))
    simulation = Simulation(market, symbols, none, make(), first=first, warmup=127)
    short = next(w for w in simulation.result().warnings if w["code"] == "short_look_back")
    assert short["symbols"] == ["GOOG.NASDAQ"]
    assert short["needed"] == 127
