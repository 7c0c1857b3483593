"""Measures of closed trades, each with its NaN rule and its source.

``outcomes`` (K,) is the net result of each trade in money, in the order in which they closed. What
came out at exactly 0 is neither won nor lost. Mean and sums of an empty set are nan.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from runtimes.engine.arrays import Floats, Ints
from runtimes.engine.metrics import NAN, hit_rate, is_flat, mean
from runtimes.engine.results import Named

Flags = NDArray[np.bool_]
TIES = ("exit_time", "entry_time", "vt_symbol", "pnl", "bars", "mae", "mfe")
"""Columns of trades that decide their order: what is stored has no other."""


def in_order(trades: Named) -> Named:
    """Return the trades in order of exit, ties by entry, symbol and result.

    Whatever is computed from them then gives the same bits from the stored rows, which have no
    order beyond these columns.
    """
    if not trades["pnl"].size:
        return trades
    order = np.lexsort([trades[name] for name in reversed(TIES)])
    return {name: column[order] for name, column in trades.items()}


def average_win(outcomes: Floats) -> float:
    """Return the mean of the results above 0; nan without any."""
    return mean(outcomes[outcomes > 0])


def average_loss(outcomes: Floats) -> float:
    """Return the mean of the results below 0, itself below 0; nan without any."""
    return mean(outcomes[outcomes < 0])


def payoff(outcomes: Floats) -> float:
    """Return average win / abs(average loss); nan where nothing was won or nothing lost."""
    return average_win(outcomes) / abs(average_loss(outcomes))


def expectancy(outcomes: Floats) -> float:
    """Return the mean result per unit of the average loss (Tharp 1998: in multiples of R).

    nan where nothing was lost: there is no unit of risk.
    """
    return mean(outcomes) / abs(average_loss(outcomes))


def system_quality(outcomes: Floats) -> float:
    """Return sqrt(K) * mean / std(ddof 1), Tharp's SQN; nan below two trades or all alike.

    Tharp caps K at 100 for comparisons; this does not.
    """
    if outcomes.size < 2:
        return NAN
    deviation = float(outcomes.std(ddof=1))
    if is_flat(deviation, outcomes):
        return NAN
    return math.sqrt(outcomes.size) * float(outcomes.mean()) / deviation


def kelly(outcomes: Floats) -> float:
    """Return the fraction to bet, p - (1 - p) / payoff (Kelly 1956; Thorp 2006), p the hit rate.

    Below 0 there is nothing to bet on. nan where `payoff` is.
    """
    won = hit_rate(outcomes)
    return won - (1.0 - won) / payoff(outcomes)


def longest_streak(hits: Flags) -> int:
    """Return the longest run of true values in ``hits`` (K,) bool, 0 without any."""
    edges = np.flatnonzero(np.concatenate([[True], ~hits, [True]]))
    return int(np.diff(edges).max() - 1)


def round_trips(positions: Named) -> int:
    """Return how often a position came back to 0 or changed its sign.

    ``positions`` holds the position after each fill, in order; several trades (lots matched first
    in, first out) may belong to one round trip.
    """
    held = positions["quantity"]
    if not held.size:
        return 0
    _, symbol = np.unique(positions["vt_symbol"], return_inverse=True)
    order = np.lexsort([np.arange(held.size), symbol])
    held, symbol = held[order], symbol[order]
    before = np.where(_follows(symbol), np.concatenate([[0.0], held[:-1]]), 0.0)
    return int(((before != 0.0) & (before * held <= 0.0)).sum())


def _follows(symbol: Ints) -> Flags:
    """Tell for each row whether the one before is of the same symbol."""
    return np.concatenate([[False], symbol[1:] == symbol[:-1]])
