"""Broken bars are refused with the symbol, the rule and the first timestamps."""

from __future__ import annotations

import numpy as np
import pytest

from runtimes.engine.arrays import Market, frozen
from runtimes.engine.checks import check_market
from runtimes.engine.errors import BadBarsError, EmptyWindowError
from tests.kit.engine import flat_market, names, random_market

NAN = float("nan")


def broken(field: str, row: int, value: float) -> Market:
    market = random_market(1, bars=9, symbols=2)
    getattr(market, field)[row, 1] = value
    return frozen(market)


@pytest.mark.parametrize(
    ("market", "rule"),
    [
        pytest.param(broken("open", 3, NAN), "all four prices or none", id="half a bar"),
        pytest.param(broken("low", 3, 0.0), "above 0", id="a price of nothing"),
        pytest.param(broken("low", 3, -5.0), "above 0", id="a negative price"),
        pytest.param(broken("high", 3, np.inf), "finite", id="an infinite price"),
        pytest.param(broken("high", 3, 0.01), "high is not below low", id="high below low"),
        pytest.param(broken("volume", 3, -1.0), "volume is not negative", id="negative volume"),
    ],
)
def test_a_broken_bar_is_named(market: Market, rule: str) -> None:
    with pytest.raises(BadBarsError) as caught:
        check_market(market, names(2))
    assert rule in caught.value.facts["rule"]
    assert caught.value.facts["symbol"] == "S001.TEST"
    assert caught.value.facts["timestamps"] == ["1970-01-04T00:00:00Z"]
    assert caught.value.body()["code"] == "bad_bars"


def test_at_most_five_timestamps_are_listed() -> None:
    market = random_market(1, bars=9, symbols=1)
    market.volume[:] = -1
    with pytest.raises(BadBarsError) as caught:
        check_market(frozen(market), names(1))
    assert len(caught.value.facts["timestamps"]) == 5
    assert caught.value.message.startswith("9 bars of S000.TEST")


@pytest.mark.parametrize("times", [[0, 1, 1, 2], [0, 2, 1, 3]], ids=["twice", "backwards"])
def test_timestamps_must_increase(times: list[int]) -> None:
    market = flat_market([[1.0]] * 4)._replace(timestamps=np.array(times))
    with pytest.raises(BadBarsError, match="increase"):
        check_market(frozen(market), names(1))


def test_whole_and_absent_bars_pass() -> None:
    check_market(frozen(random_market(1, bars=50, symbols=4, missing=0.4)), names(4))


def test_shapes_must_agree() -> None:
    with pytest.raises(BadBarsError) as caught:
        check_market(frozen(random_market(1, bars=5, symbols=2)), names(3))
    assert caught.value.facts["rule"] == "shape"


@pytest.mark.parametrize("first", [5, 9, -1])
def test_a_window_without_bars_is_empty(first: int) -> None:
    with pytest.raises(EmptyWindowError) as caught:
        check_market(frozen(random_market(1, bars=5, symbols=2)), names(2), first=first)
    assert caught.value.body()["code"] == "empty_window"


def test_a_universe_without_symbols_is_empty() -> None:
    with pytest.raises(EmptyWindowError):
        check_market(frozen(random_market(1, bars=5, symbols=0)), ())
