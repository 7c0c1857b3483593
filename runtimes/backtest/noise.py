"""Another future: the window of a run with everything after one bar replaced by noise."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from runtimes.backtest.bars import Window
from runtimes.engine.arrays import Conditions, Floats, Market
from runtimes.strategies.base import Told

STEP = 0.01
"""Deviation of a bar's log return where the past holds too few to measure it."""
FARTHEST = 5.0
"""How far a noise walk may go from the last price, as a logarithm: prices stay finite."""
HALF_SPREAD = 1e-4


def noised(window: Window, bar: int, rng: np.random.Generator) -> Window:
    """Return ``window`` with everything that was not known at the close of ``bar`` made up.

    Prices become random walks from the last close with the deviation of the symbol's own past,
    volumes, quotes, exchange rates, impact, membership and panels noise of their own scale;
    corporate actions after ``bar`` are left out. Which symbols have a bar when, and the calendar,
    stay. Everything up to ``bar`` is the same, bit for bit.
    """
    market = _market(window.market, bar, rng)
    return replace(
        window,
        market=market,
        member=_flags(window.member, bar, rng),
        panels={name: _told(panel, bar, rng) for name, panel in window.panels.items()},
        conditions=_conditions(window.conditions, market, bar, rng),
    )


def _market(market: Market, bar: int, rng: np.random.Generator) -> Market:
    close = market.close
    shape = close[bar + 1 :].shape
    step = _steps(close[: bar + 1])

    def shock() -> Floats:
        return step * rng.standard_normal(shape)

    walk = np.clip(np.cumsum(shock(), axis=0), -FARTHEST, FARTHEST)
    ends = _level(close, bar) * np.exp(walk)
    opens = ends * np.exp(shock() / 2)
    high = np.maximum(opens, ends) * np.exp(np.abs(shock()) / 2)
    low = np.minimum(opens, ends) * np.exp(-np.abs(shock()) / 2)
    volume = market.volume[bar + 1 :] * np.exp(rng.standard_normal(shape))
    present = ~np.isnan(close[bar + 1 :])
    made = (np.where(present, column, np.nan) for column in (opens, high, low, ends, volume))
    columns = (
        np.concatenate([old[: bar + 1], new]) for old, new in zip(market[1:], made, strict=True)
    )
    return Market(market.timestamps, *columns)


def _steps(close: Floats) -> Floats:
    """Return (N,) the deviation of log returns from bar to bar, `STEP` where there are none."""
    returns = np.diff(np.log(close), axis=0)
    known = ~np.isnan(returns)
    count = known.sum(axis=0)
    square = np.where(known, returns, 0.0) ** 2
    found = np.sqrt(square.sum(axis=0) / np.maximum(count, 1))
    return np.where((count > 1) & (found > 0), found, STEP)


def _level(close: Floats, bar: int) -> Floats:
    """Return (N,) the last close at ``bar``, before a symbol's first bar that of its first."""
    known = ~np.isnan(close)
    places = np.arange(len(close))[:, None]
    last = np.where(known[: bar + 1], places[: bar + 1], -1).max(axis=0)
    first = np.argmax(known, axis=0)
    level = close[np.where(last >= 0, last, first), np.arange(close.shape[1])]
    return np.where(np.isnan(level), 1.0, level)


def _flags(
    member: np.ndarray[tuple[int, ...], np.dtype[np.bool_]] | None,
    bar: int,
    rng: np.random.Generator,
) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]] | None:
    if member is None:
        return None
    return np.concatenate([member[: bar + 1], rng.random(member[bar + 1 :].shape) < 0.5])


def _told(panel: Told, bar: int, rng: np.random.Generator) -> Told:
    later = panel.values[bar + 1 :]
    finite = panel.values[np.isfinite(panel.values)]
    scale = float(finite.std()) if finite.size > 1 else 1.0
    made = rng.permutation(later) + (scale or 1.0) * rng.standard_normal(later.shape)
    return panel._replace(values=np.concatenate([panel.values[: bar + 1], made]))


def _conditions(
    conditions: Conditions | None, market: Market, bar: int, rng: np.random.Generator
) -> Conditions | None:
    if conditions is None:
        return None
    after = slice(bar + 1, None)
    quotes, impact, rates = (
        np.array(part) for part in (conditions.quotes, conditions.impact, conditions.rates)
    )
    if quotes.size:
        prices = np.stack([market.open, market.high, market.low, market.close])[:, after]
        made = np.concatenate([prices * (1 - HALF_SPREAD), prices * (1 + HALF_SPREAD)])
        quotes[:, after] = np.where(np.isnan(quotes[:, after]), np.nan, made)
    if impact.size:
        impact[:, after] *= np.exp(rng.standard_normal(impact[:, after].shape))
    if rates.size:
        walk = np.cumsum(STEP * rng.standard_normal(rates[after].shape), axis=0)
        rates[after] *= np.exp(np.clip(walk, -FARTHEST, FARTHEST))
    known = conditions.actions[conditions.actions["bar"] <= bar]
    return conditions._replace(quotes=quotes, impact=impact, rates=rates, actions=known)
