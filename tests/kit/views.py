"""Views of made-up bars and tables for strategies: what the lake would have told them."""

from __future__ import annotations

from typing import Any

import numpy as np

from runtimes.engine.arrays import Floats, Market
from runtimes.strategies.base import Strategy, Told, View
from tests.kit.engine import names

SMALL: dict[str, dict[str, object]] = {
    "breakout": {"enter": 5, "leave": 3},
    "buy_and_hold": {},
    "equal_weight": {"rebalance": "weekly"},
    "expression": {
        "signal": "CSRank($close/Ref($close, 3) - EMA($volume, 2)/Mean($volume, 4))",
        "rank": {"method": "top", "n": 2},
        "weights": {"method": "inverse_volatility", "bars": 4, "cap": 0.4},
        "rebalance": 3,
    },
    "low_volatility": {"lookback": 5, "top": 2, "rebalance": "weekly"},
    "macd": {"fast": 2, "slow": 5, "signal": 3},
    "mean_reversion": {"lookback": 5, "enter": 1.0},
    "minimum_variance": {"lookback": 8, "rebalance": "weekly"},
    "momentum": {"lookback": 5, "top": 2, "rebalance": "weekly"},
    "momentum_12_1": {"lookback": 5, "skip": 2, "top": 2, "rebalance": "weekly"},
    "pairs": {"lookback": 6, "enter": 1.0},
    "risk_parity": {"lookback": 8, "rebalance": "weekly"},
    "signal_table": {
        "table": "alphaswarm_gold_features.scores",
        "column": "score",
        "max_age_days": 4,
        "rank": {"method": "quantile", "part": 0.5, "short": False},
        "weights": {"method": "signal"},
        "rebalance": "weekly",
    },
    "sma_cross": {"fast": 3, "slow": 8},
    "target_weights": {"weights": {"S000.TEST": 0.6, "S003.TEST": 0.4}, "rebalance": "weekly"},
    "time_series_momentum": {"lookback": 5, "volatility": 4, "rebalance": "weekly"},
    "weight_table": {"table": "alphaswarm_gold_features.book", "column": "weight"},
}
"""Parameters by strategy with look-backs that a short market has room for."""


def told(values: Any, days: Any, market: Market) -> Told:
    """Return what rows told: ``values`` (T, N), and which bar's row each is, -1 for none."""
    places = np.array(days, dtype=np.int64)
    rows = np.where(places < 0, 0, market.timestamps[places] + 1)
    return Told(np.array(values, dtype=float), rows)


def random_told(market: Market, seed: int) -> Told:
    """Return a book of weights that a fifth of the bars renews for each symbol on its own."""
    rng = np.random.default_rng([seed, 2])
    shape = market.close.shape
    renewed = rng.random(shape) < 0.2
    place = np.maximum.accumulate(np.where(renewed, np.arange(shape[0])[:, None], -1), axis=0)
    drawn: Floats = rng.random(shape) / shape[1]
    values = np.where(place < 0, np.nan, np.take_along_axis(drawn, np.maximum(place, 0), axis=0))
    return told(values, place, market)


def seen(strategy: Strategy, params: Any, market: Market, first: int, *, seed: int = 0) -> View:
    """Return a view of ``market`` in which every table that the strategy reads tells something."""
    panels = {reading: random_told(market, seed) for reading in strategy.inputs(params)}
    return View(market, first, None, panels, names(market.close.shape[1]))
