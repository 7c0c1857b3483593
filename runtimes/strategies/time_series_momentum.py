"""Follow each symbol's own trend, each at the same risk.

Moskowitz, Ooi and Pedersen 2012, "Time Series Momentum": the sign of the return over twelve months,
scaled to a volatility; gross weights beyond 1 are scaled down, because nothing is borrowed.
"""

from __future__ import annotations

import math
from typing import Annotated

import numpy as np
from pydantic import Field

from runtimes.engine.arrays import Floats, Targets
from runtimes.part import Finite, Integer
from runtimes.strategies.base import (
    Strategy,
    StrategyParams,
    View,
    on_own_bars,
    rolling,
    starts_of_period,
    targets,
)
from runtimes.strategies.equal_weight import Rebalance

Length = Annotated[Integer, Field(ge=2, le=100_000)]


class TimeSeriesMomentumParams(StrategyParams):
    """Lengths in own bars; ``target`` volatility a year of ``bars_per_year``; ``short`` or cash."""

    lookback: Length = 252
    volatility: Length = 60
    target: Annotated[Finite, Field(gt=0, le=10)] = 0.4
    bars_per_year: Annotated[Finite, Field(gt=0, le=1e6)] = 252.0
    short: bool = False
    rebalance: Rebalance = "monthly"


def decide(view: View, params: TimeSeriesMomentumParams) -> Targets:
    """Return sign(return) * target / volatility / N for each symbol, gross at most 1."""
    rows = starts_of_period(view.market.timestamps, params.rebalance, first=view.first)
    scaled = on_own_bars(view.close, lambda own: exposure(own, params))
    count = np.maximum(view.members[rows].sum(axis=1, keepdims=True), 1)
    weights = np.nan_to_num(view.of_members(scaled)[rows]) / count
    gross = np.abs(weights).sum(axis=1, keepdims=True)
    return targets(rows, weights / np.maximum(gross, 1.0))


def exposure(close: Floats, params: TimeSeriesMomentumParams) -> Floats:
    """Return the scaled sign of the trailing return (K,), nan without enough or moving bars."""
    out = np.full(close.shape, np.nan)
    past, recent = close[: -params.lookback], close[params.lookback :]
    direction = np.sign(recent - past)
    if not params.short:
        direction = np.maximum(direction, 0.0)
    returns = np.concatenate([[np.nan], np.diff(close) / close[:-1]])
    spread = rolling(returns, params.volatility, lambda window: window.std(axis=1, ddof=1))
    yearly = spread[params.lookback :] * math.sqrt(params.bars_per_year)
    moving = yearly > 0
    out[params.lookback :] = np.where(
        moving, direction * params.target / np.where(moving, yearly, 1.0), np.nan
    )
    return out


STRATEGY = Strategy(
    title="Follow each symbol's own trend, each at the same risk.",
    params=TimeSeriesMomentumParams,
    warmup=lambda params: max(params.lookback, params.volatility) + 1,
    decide=decide,
)
