"""Views of made-up bars and tables for strategies: what the lake would have told them."""

from __future__ import annotations

from typing import Any

import numpy as np

from runtimes.engine.arrays import Floats, Market
from runtimes.strategies.base import Strategy, Told, View
from tests.kit.engine import names


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
