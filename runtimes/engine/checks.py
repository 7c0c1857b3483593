"""What the engine refuses before a bar is simulated: broken bars and impossible weights.

Nothing is repaired in silence; an error names the symbol, the rule and the first timestamps.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

import numpy as np

from runtimes.engine.arrays import Conditions, Floats, Ints, Market, Targets
from runtimes.engine.compiled import compiled
from runtimes.engine.errors import (
    BadBarsError,
    EmptyWindowError,
    InvalidWeightsError,
    instant,
)

SHOWN = 5
RULES = (
    "a bar has all four prices or none",
    "prices are finite and above 0",
    "high is not below low",
    "volume is not negative",
)
TOLERANCE = 1e-9
"""What rounding may add to a gross weight above the leverage."""


def check_market(market: Market, symbols: Sequence[str], *, first: int = 0) -> None:
    """Raise `BadBarsError` or `EmptyWindowError` unless every bar can be traded on.

    Rules: shapes agree; timestamps increase; a bar is whole (four prices) or absent (four NaN);
    prices are above 0 and finite; high >= low; volume is not negative.
    """
    shape = (market.timestamps.size, len(symbols))
    if any(field.shape != shape for field in market[1:]):
        raise BadBarsError(
            f"Bars of {len(symbols)} symbols must have shape {shape}.",
            hint="Build the panel anew.",
            rule="shape",
        )
    if not shape[1] or not 0 <= first < shape[0]:
        raise EmptyWindowError(
            "There is no bar between start and end.",
            hint="Look at the table's coverage and choose dates inside it.",
            bars=max(shape[0] - first, 0),
        )
    _check_order(market.timestamps)
    if sound(*(field.reshape(-1) for field in market[1:])):
        return
    counts = scan(market)
    for rule in np.flatnonzero(counts.any(axis=1)):
        _refuse(int(rule), counts[rule], market, symbols)


@compiled
def sound(open_: Floats, high: Floats, low: Floats, close: Floats, volume: Floats) -> bool:
    """Tell whether no bar breaks a rule; a loop without branches, as fast as memory is read."""
    broken = 0
    for k in range(close.size):
        whole = (low[k] > 0.0) & (high[k] >= low[k]) & (high[k] < np.inf)
        whole &= (open_[k] > 0.0) & (open_[k] < np.inf)
        whole &= (close[k] > 0.0) & (close[k] < np.inf)
        absent = np.isnan(open_[k]) & np.isnan(high[k]) & np.isnan(low[k]) & np.isnan(close[k])
        broken += 1 - int((whole & (not volume[k] < 0.0)) | absent)
    return broken == 0


@compiled
def rises(timestamps: Ints) -> bool:
    """Tell whether every timestamp is later than the one before."""
    late = 0
    for k in range(1, timestamps.size):
        late += int(timestamps[k] <= timestamps[k - 1])
    return late == 0


@compiled
def rule_broken(open_: float, high: float, low: float, close: float, volume: float) -> int:
    """Return the first of `RULES` that one bar breaks, or -1."""
    missing = int(np.isnan(open_)) + np.isnan(high) + np.isnan(low) + np.isnan(close)
    if missing == 4:
        return -1
    if missing:
        return 0
    if min(open_, low, close, high) <= 0.0 or max(open_, high, close, low) == np.inf:
        return 1
    if high < low:
        return 2
    return 3 if volume < 0.0 else -1


@compiled
def scan(market: Market) -> Ints:
    """Return (rules, N): how many bars of each symbol break each rule, in one pass."""
    counts = np.zeros((4, market.close.shape[1]), dtype=np.int64)
    for t in range(market.close.shape[0]):
        for i in range(market.close.shape[1]):
            rule = rule_broken(
                market.open[t, i],
                market.high[t, i],
                market.low[t, i],
                market.close[t, i],
                market.volume[t, i],
            )
            if rule >= 0:
                counts[rule, i] += 1
    return counts


def _check_order(timestamps: Ints) -> None:
    if not rises(timestamps):
        steps = np.flatnonzero(np.diff(timestamps) <= 0)
        raise BadBarsError(
            "Timestamps must increase from bar to bar.",
            hint="Sort the bars and drop duplicates at ingest.",
            rule="timestamps increase",
            timestamps=[instant(timestamps[i + 1]) for i in steps[:SHOWN]],
        )


def _refuse(rule: int, counts: Ints, market: Market, symbols: Sequence[str]) -> NoReturn:
    columns = np.flatnonzero(counts)
    column = int(columns[0])
    bars = (field[:, column] for field in market[1:])
    broken = [t for t, bar in enumerate(zip(*bars, strict=True)) if rule_broken(*bar) == rule]
    raise BadBarsError(
        f"{counts[column]} bars of {symbols[column]} break a rule: {RULES[rule]}.",
        hint="Correct the source and ingest again, or leave the symbol out.",
        symbol=symbols[column],
        rule=RULES[rule],
        timestamps=[instant(market.timestamps[t]) for t in broken[:SHOWN]],
        symbols=[symbols[i] for i in columns[:SHOWN]],
    )


def check_conditions(
    conditions: Conditions, market: Market, symbols: Sequence[str], *, first: int = 0
) -> None:
    """Raise `BadBarsError` unless every foreign currency has a rate above 0 at every bar traded."""
    foreign = int(conditions.terms["currency"].max(initial=0))
    rates = conditions.rates[first:]
    if foreign and conditions.rates.shape != (market.timestamps.size, foreign):
        raise BadBarsError(
            f"{foreign} foreign currencies need as many columns of rates, one row a bar.",
            hint="Give a rate for every currency that symbols are priced in.",
            rule="every currency has a rate",
        )
    missing = ~(np.isfinite(rates) & (rates > 0.0)) if foreign else np.zeros((0, 0), np.bool_)
    if missing.any():
        bar, place = np.argwhere(missing)[0].tolist()
        owners = np.flatnonzero(conditions.terms["currency"] == place + 1)
        raise BadBarsError(
            f"There is no exchange rate for {symbols[owners[0]]} at the first bar that lacks it.",
            hint="Start later, or take rates that begin before the bars.",
            symbol=symbols[int(owners[0])],
            rule="every currency has a rate",
            timestamps=[instant(market.timestamps[first + bar])],
        )


def check_targets(targets: Targets, *, bars: int, symbols: int) -> None:
    """Raise `InvalidWeightsError` unless shapes agree and rows increase inside the bars."""
    rows = targets.rows
    inside = rows.size == 0 or (rows[0] >= 0 and rows[-1] < bars and (np.diff(rows) > 0).all())
    if rows.ndim != 1 or targets.weights.shape != (rows.size, symbols) or not inside:
        raise InvalidWeightsError(
            "Decision rows must increase and have one weight per symbol.",
            hint="Return rows (R,) inside the bars and weights (R, N).",
            rows=list(rows.shape),
            weights=list(targets.weights.shape),
        )


def first_invalid(weights: Floats, *, leverage: float) -> int:
    """Return the first row with a NaN, an infinity or a gross above ``leverage``, or R."""
    gross = np.abs(weights).sum(axis=1)
    bad = ~(gross <= leverage + TOLERANCE)
    return int(np.argmax(bad)) if bad.any() else len(weights)


def refuse_row(
    weights: Floats, *, timestamp: int, symbols: Sequence[str], leverage: float
) -> NoReturn:
    """Raise `InvalidWeightsError` for one decision ``weights`` (N,)."""
    loose = np.flatnonzero(~np.isfinite(weights))
    column = int(loose[0]) if loose.size else int(np.argmax(np.abs(weights)))
    gross = float(np.abs(weights).sum())
    raise InvalidWeightsError(
        f"The weights decided at {instant(timestamp)} cannot be held.",
        hint="Weights must be finite and their absolute sum at most portfolio.leverage.",
        timestamp=instant(timestamp),
        symbol=symbols[column],
        value=repr(float(weights[column])),
        gross=gross if np.isfinite(gross) else None,
        leverage=leverage,
    )
