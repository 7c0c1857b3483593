"""What a strategy is: validated parameters, a look-back, and a pure function to target weights.

A strategy sees the bars up to the end and returns decisions for many bars at once; the decision
at row t may use bars 0..t only. `audit` proves it by computing decisions again on bars cut at t.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtimes.engine.arrays import Floats, Ints, Market, Targets, each
from runtimes.engine.errors import StrategyError
from runtimes.part import Part


class StrategyParams(Part):
    """Parameters of a strategy: the base of every member's model."""


Decide = Callable[[Market, int, Any], Targets]


@dataclass(frozen=True, slots=True)
class Strategy:
    """A member of the family.

    ``decide(market, first, params)`` returns decisions at rows >= ``first``, the first bar that is
    traded; earlier bars are look-back. ``warmup(params)`` is how many bars a symbol needs,
    the deciding one included, before it can have a weight.
    """

    title: str
    params: type[StrategyParams]
    warmup: Callable[[Any], int]
    decide: Decide


def plan(strategy: Strategy, params: StrategyParams, market: Market, *, first: int) -> Targets:
    """Return the decisions of ``strategy``; whatever it raises becomes `StrategyError`."""
    try:
        return strategy.decide(market, first, params)
    except (ArithmeticError, LookupError, ValueError, TypeError) as error:
        raise StrategyError(
            f"The strategy failed: {type(error).__name__}.",
            hint="Check its parameters against the data.",
            error=str(error)[:200],
        ) from error


def cut(market: Market, bar: int) -> Market:
    """Return the bars up to and including ``bar``, the way the past looked then."""
    return each(market, lambda column: column[: bar + 1])


def audit(
    strategy: Strategy,
    params: StrategyParams,
    market: Market,
    *,
    first: int,
    rng: np.random.Generator,
    cuts: int = 8,
) -> None:
    """Raise `StrategyError` if a decision changes when the future is cut away.

    Recomputes the decisions on bars cut at ``cuts`` random rows; every row up to the cut must be
    there, bit for bit.
    """
    full = plan(strategy, params, market, first=first)
    bars = np.arange(first, len(market.timestamps))
    for bar in np.sort(rng.choice(bars, size=min(cuts, bars.size), replace=False)):
        seen = plan(strategy, params, cut(market, int(bar)), first=first)
        known = int(np.searchsorted(full.rows, bar, side="right"))
        same = np.array_equal(seen.rows, full.rows[:known]) and np.array_equal(
            seen.weights, full.weights[:known], equal_nan=True
        )
        if not same:
            raise StrategyError(
                "The strategy looks ahead: a past decision changes with later bars.",
                hint="Use bars up to the deciding one only.",
                bar=int(bar),
            )


def targets(rows: NDArray[Any], weights: Floats) -> Targets:
    """Return decisions with the dtypes that the kernel expects."""
    return Targets(np.asarray(rows, dtype=np.int64), np.asarray(weights, dtype=np.float64))


def listed(market: Market) -> NDArray[np.bool_]:
    """Return (T, N): whether the symbol has a bar."""
    return ~np.isnan(market.close)


def on_own_bars(
    close: Floats, compute: Callable[[Floats], Floats], *, fill_forward: bool = False
) -> Floats:
    """Apply ``compute`` (K,) -> (K,) to each symbol's own bars of ``close`` (T, N).

    Bars that a symbol does not have are nan in the result, or repeat its last value where
    ``fill_forward``; before its first bar nan.
    """
    return _spread(close, lambda own, n: compute(close[own, n]), fill_forward=fill_forward)


def on_own_market(
    market: Market, compute: Callable[[Market], Floats], *, fill_forward: bool = False
) -> Floats:
    """Apply ``compute`` to each symbol's own bars, a market of columns (K,); see `on_own_bars`."""

    def one(own: Ints, n: int) -> Floats:
        columns = (column[own, n] for column in market[1:])
        return compute(Market(market.timestamps[own], *columns))

    return _spread(market.close, one, fill_forward=fill_forward)


def _spread(close: Floats, compute: Callable[[Ints, int], Floats], *, fill_forward: bool) -> Floats:
    out = np.full(close.shape, np.nan)
    for column in range(close.shape[1]):
        own = np.flatnonzero(~np.isnan(close[:, column]))
        if not own.size:
            continue
        values = compute(own, column)
        if fill_forward:
            place = np.searchsorted(own, np.arange(len(close)), side="right") - 1
            out[:, column] = np.where(place >= 0, values[place], np.nan)
        else:
            out[own, column] = values
    return out


def windows(values: Floats, length: int) -> Floats:
    """Return (K - length + 1, length): each bar's window, the bar itself last."""
    return np.lib.stride_tricks.sliding_window_view(values, length)


def rolling(values: Floats, length: int, reduce: Callable[[Floats], Floats]) -> Floats:
    """Return ``reduce`` over each window of ``length`` (K,), nan before there is a whole one.

    ``reduce`` maps (W, length) to (W,).
    """
    out = np.full(values.shape, np.nan)
    if values.size >= length:
        out[length - 1 :] = reduce(windows(values, length))
    return out


def held(enter: NDArray[np.bool_], leave: NDArray[np.bool_]) -> Floats:
    """Return 1 from each ``enter`` to the next ``leave``, else 0; (K,). Entering wins a tie."""
    events = np.where(enter, 1.0, 0.0)
    last = np.maximum.accumulate(np.where(enter | leave, np.arange(enter.size), -1))
    return np.where(last >= 0, events[last], 0.0)


def on_change(sides: Floats, *, first: int) -> Targets:
    """Return 1/N times each symbol's side at ``first`` and wherever a side changes; nan is 0.

    ``sides`` (T, N) lie between -1 and 1. Each decision restores all weights.
    """
    sides = np.nan_to_num(sides)
    changed = np.zeros(len(sides), dtype=bool)
    changed[first + 1 :] = (sides[first + 1 :] != sides[first:-1]).any(axis=1)
    changed[first : first + 1] = True
    rows = np.flatnonzero(changed)
    return targets(rows, sides[rows] / sides.shape[1])


def top_parts(scores: Floats, top: int) -> Floats:
    """Return 1/top for the ``top`` highest of each row of ``scores`` (R, N), nan never; (R, N).

    Equal scores rank by symbol; a place that nobody fills stays empty.
    """
    ranked = np.argsort(-np.where(np.isnan(scores), -np.inf, scores), axis=1, kind="stable")
    weights = np.zeros(scores.shape)
    np.put_along_axis(weights, ranked[:, :top], 1.0 / top, axis=1)
    weights[np.isnan(scores)] = 0.0
    return weights


def starts_of_period(timestamps: Ints, period: str, *, first: int) -> Ints:
    """Return the rows that begin a new ``daily|weekly|monthly|quarterly`` period, and ``first``.

    The first bar of a period, never its last: at a bar's close nobody knows whether another one
    follows. Periods are by UTC date; weeks start on Monday.
    """
    days = timestamps.astype("datetime64[ns]").astype("datetime64[D]")
    months = days.astype("datetime64[M]").astype(np.int64)
    labels = {
        "daily": days.astype(np.int64),
        "weekly": (days.astype(np.int64) + 3) // 7,
        "monthly": months,
        "quarterly": months // 3,
    }[period]
    begins = np.concatenate([[True], labels[1:] != labels[:-1]])
    begins[:first] = False
    begins[first : first + 1] = True
    return np.flatnonzero(begins).astype(np.int64)
