"""How sure a result is: intervals of Sharpe ratio, growth and drawdown by stationary bootstrap.

The resampling of `runtimes.engine.validation.bootstrap` (Politis and Romano 1994), fused with the
three measures into one compiled pass, so that every run can afford it.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from runtimes.engine.arrays import Floats
from runtimes.engine.compiled import apart
from runtimes.engine.metrics import NAN
from runtimes.engine.validation.bootstrap import block_length

DRAWS = 1_000
ALPHA = 0.05
MOST_BARS = 5_000
"""Longer series are compounded to about so many bars first."""
CELLS = 1_000_000
"""Random numbers held at once: 8 MB."""
STREAM = 0x626F6F74
"""Second word of the random stream's key, beside the spec's seed: one stream for each use."""
NEAR = 1e-12
"""More than rounding moves a ratio of wealth to its peak."""
NAMES = ("sharpe", "cagr", "max_drawdown")


def measures(
    returns: Floats, *, years: float, periods_per_year: float, seed: int
) -> dict[str, float | int]:
    """Return ``<name>_low`` and ``<name>_high``, 95 % percentile intervals by 1,000 draws.

    ``returns`` (B,) are those of the bars, ``years`` the time that they cover. More than 5,000 are
    compounded first, k = ceil(B / 5,000) at a time, which leaves drawdowns inside k bars out.
    Blocks have the mean length that Politis and White (2004; Patton, Politis and White 2009)
    choose for the returns, told in bars as ``bootstrap_block``. Draws for which a measure is not
    defined do not count; nan below two returns, and for growth where no time passes.
    """
    merged = math.ceil(returns.size / MOST_BARS) if returns.size else 1
    series = compounded(returns, merged)
    if series.size < 2:
        bounds = {f"{name}_{side}": NAN for name in NAMES for side in ("low", "high")}
        return {**bounds, "bootstrap_block": NAN}
    block = block_length(series)
    ratio, growth, deepest = draw(series, block=block, seed=seed)
    with np.errstate(over="ignore"):
        yearly = growth ** (1.0 / years) - 1.0 if years > 0 else np.full(DRAWS, NAN)
    drawn = (ratio * math.sqrt(periods_per_year / merged), yearly, deepest)
    found: dict[str, float | int] = {}
    for name, values in zip(NAMES, drawn, strict=True):
        found[f"{name}_low"], found[f"{name}_high"] = _bounds(values)
    return {**found, "bootstrap_block": block * merged}


def compounded(returns: Floats, bars: int) -> Floats:
    """Return the returns of every ``bars`` bars together; the oldest group may be shorter."""
    if bars == 1:
        return returns
    edges = np.arange(returns.size % bars or bars, returns.size, bars)
    return np.asarray(np.multiply.reduceat(1.0 + returns, np.append(0, edges)) - 1.0)


def draw(returns: Floats, *, block: float, seed: int) -> tuple[Floats, Floats, Floats]:
    """Return Sharpe ratio per bar, final wealth and largest drawdown of each draw, (1000,) each."""
    source = np.random.Philox(key=np.array([seed, STREAM], dtype=np.uint64))
    found = np.empty((3, DRAWS))
    batch = max(CELLS // returns.size, 1)
    for begin in range(0, DRAWS, batch):
        end = min(begin + batch, DRAWS)
        chance = source.random_raw((end - begin) * returns.size)
        _resampled(returns, chance, 1.0 / max(block, 1.0), found[:, begin:end])
    return found[0], found[1], found[2]


@apart
def _resampled(
    returns: Floats, chance: NDArray[np.uint64], fresh: float, found: NDArray[np.float64]
) -> None:
    """Measure draws of ``returns``: each bar begins a block with probability ``fresh``.

    The upper half of a random word says where a block begins, the lower one whether one does.
    """
    count = returns.size
    threshold = np.uint64(min(fresh * 4294967296.0, 4294967295.0))
    half, low = np.uint64(32), np.uint64(0xFFFFFFFF)
    word = 0
    for k in range(found.shape[1]):
        place = np.int64(0)
        total, squares, largest = 0.0, 0.0, 0.0
        wealth, peak, deepest, bound = 1.0, 1.0, 0.0, 1.0 + NEAR
        for t in range(count):
            value = chance[word]
            word += 1
            begun = np.int64(((value >> half) * np.uint64(count)) >> half)
            place += np.int64(1)
            place = np.int64(0) if place == count else place
            place = begun if t == 0 or (value & low) < threshold else place
            change = returns[place]
            total += change
            squares += change * change
            largest = max(largest, abs(change))
            wealth *= 1.0 + change
            peak = max(peak, wealth)
            if wealth < peak * bound:  # a division takes longer than all the rest
                deepest = max(deepest, 1.0 - wealth / peak)
                bound = 1.0 - deepest + NEAR
        mean = total / count
        spread = max(squares - total * mean, 0.0) / (count - 1)
        deviation = np.sqrt(spread)
        # Squares lose half of the digits: what is flat is told by their precision, not by FLAT.
        flat = spread <= 1e-14 * largest * largest
        found[0, k] = np.nan if flat else mean / deviation
        found[1, k] = max(wealth, 0.0)
        found[2, k] = deepest


def warm() -> None:
    """Compile what draws, or load it from the cache: for workers, before runs."""
    draw(np.array([0.01, -0.01]), block=1.0, seed=0)


def _bounds(values: Floats) -> tuple[float, float]:
    known = values[np.isfinite(values)]
    if not known.size:
        return NAN, NAN
    low, high = np.quantile(known, [ALPHA / 2.0, 1.0 - ALPHA / 2.0]).tolist()
    return low, high
