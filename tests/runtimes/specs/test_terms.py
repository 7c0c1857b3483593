"""Terms of trade in a spec: quotes, lags, pieces, settlement and foreign money."""

from __future__ import annotations

from typing import Any

import pytest

from runtimes.engine.params import make
from runtimes.specs.backtest import BacktestSpec
from runtimes.specs.base import parse
from topology.canonical import sha256
from topology.errors import AlphaSwarmError

BODY: dict[str, Any] = {
    "kind": "backtest",
    "name": "terms",
    "universe": {"symbols": ["IBM.NYSE"]},
    "data": {"start": "2005-01-03", "end": "2010-12-31"},
    "strategy": {"name": "buy_and_hold"},
}
LATER: dict[str, tuple[Any, Any]] = {
    "portfolio.lot": (0, 10.0),
    "portfolio.lots": ({}, {"IBM.NYSE": 10.0}),
    "portfolio.tick": (0, 0.01),
    "portfolio.ticks": ({}, {"IBM.NYSE": 0.05}),
    "portfolio.settlement_days": (0, 2),
    "portfolio.rates": ({}, {"EUR": "EURUSD.OANDA", "USDT": 1.0}),
    "portfolio.rates_table": (None, "alphaswarm_silver_fx.bars_1h"),
    "execution.lag_bars": (1, 3),
    "execution.intrabar": ("worst", "nearest"),
}
"""Keys that came later: their defaults, and other values."""


def spec(block: str = "portfolio", **keys: Any) -> BacktestSpec:
    found = parse("backtest", {**BODY, block: keys})
    assert isinstance(found, BacktestSpec)
    return found


@pytest.mark.parametrize("path", LATER)
def test_a_default_leaves_the_hash_and_another_value_is_kept(path: str) -> None:
    block, _, key = path.partition(".")
    default, other = LATER[path]
    same, changed = spec(block, **{key: default}), spec(block, **{key: other})
    assert sha256(same.body()) == sha256(spec().body())
    assert key not in same.body()[block]
    assert changed.body()[block][key] == other
    assert parse("backtest", changed.body()) == changed


def test_they_reach_the_engine() -> None:
    found = make(**spec("execution", lag_bars=4, fill="quote_side", intrabar="best").rules())
    assert (found.lag, make(**spec().rules()).lag) == (4, 1)
    assert found._replace(lag=1) == make(
        **spec("execution", fill="quote_side", intrabar="best").rules()
    )
    assert make(**spec(settlement_days=2).rules()).settlement == 2


def test_quotes_are_needed_by_the_side_and_by_the_spread() -> None:
    assert spec("execution", fill="quote_side").needs_quotes
    assert spec("execution", slippage={"model": "half_spread"}).needs_quotes
    assert not spec().needs_quotes


@pytest.mark.parametrize(
    ("block", "keys", "path"),
    [
        pytest.param("portfolio", {"lot": 5, "fractional": True}, "portfolio.lot", id="both"),
        pytest.param("portfolio", {"lots": {"IBM.NYSE": 0}}, "portfolio.lots", id="no piece"),
        pytest.param("portfolio", {"tick": -1}, "portfolio.tick", id="a step back"),
        pytest.param(
            "portfolio",
            {"settlement_days": 2, "leverage": 2},
            "portfolio.settlement_days",
            id="settlement on margin",
        ),
        pytest.param("portfolio", {"rates": {"USD": 1.0}}, "portfolio.rates.USD", id="own money"),
        pytest.param(
            "portfolio",
            {"rates": {"EUR": "GBPUSD.OANDA"}},
            "portfolio.rates.EUR",
            id="another currency's rate",
        ),
        pytest.param("execution", {"lag_bars": 0}, "execution.lag_bars", id="no time at all"),
        pytest.param(
            "execution",
            {"lag_bars": 2, "fill": "same_close"},
            "execution.lag_bars",
            id="at once, but later",
        ),
        pytest.param("execution", {"intrabar": "lucky"}, "execution.intrabar", id="no such way"),
    ],
)
def test_what_makes_no_sense_is_refused_by_its_key(
    block: str, keys: dict[str, Any], path: str
) -> None:
    with pytest.raises(AlphaSwarmError) as caught:
        spec(block, **keys)
    assert any(line["path"].startswith(path) for line in caught.value.facts["errors"])
