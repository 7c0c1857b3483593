"""What a signal knew: its correlation across symbols with the returns that followed it.

``signal`` and ``closes`` have shape (T, N); nan is "no value". At each bar the signals of all
symbols are correlated with their returns over the next ``horizon`` bars, close to close from the
bar at whose close the signal was known (alphalens' definition; Grinold and Kahn 2000, ch. 6).
"""

from __future__ import annotations

import numpy as np

from runtimes.engine.arrays import Floats, Ints
from runtimes.engine.metrics import FLAT, NAN, is_flat

HORIZONS = (1, 5, 20)
FEWEST = 3
"""Symbols that a bar needs: two of them always correlate fully."""


def coefficients(signal: Floats, closes: Floats, *, horizon: int, ranked: bool = True) -> Floats:
    """Return (T,) the information coefficient at each bar; nan where it is not defined.

    Spearman's correlation, ties at their mean rank, or Pearson's where not ``ranked``. A bar with
    fewer than three symbols, or whose signals or returns are all alike, has none, and the last
    ``horizon`` bars have no return yet.
    """
    found = np.full(len(closes), NAN)
    if len(closes) <= horizon:
        return found
    ahead = closes[horizon:] / closes[:-horizon] - 1.0
    known = np.isfinite(signal[:-horizon]) & np.isfinite(ahead)
    a, b = np.where(known, signal[:-horizon], NAN), np.where(known, ahead, NAN)
    found[:-horizon] = _correlations(ranks(a), ranks(b)) if ranked else _correlations(a, b)
    return found


def ranks(values: Floats) -> Floats:
    """Return each row's ranks (T, N), 1 for its smallest value, ties at their mean, nan for nan."""
    order = np.argsort(values, axis=1, kind="stable")
    ordered = np.take_along_axis(values, order, axis=1)
    differs = ordered[:, 1:] != ordered[:, :-1]
    edge = np.ones((len(values), 1), dtype=bool)
    place = np.arange(values.shape[1])
    begins = np.where(np.hstack([edge, differs]), place, 0)
    ends = np.where(np.hstack([differs, edge]), place, place.size - 1)
    first = np.maximum.accumulate(begins, axis=1)
    last = np.minimum.accumulate(ends[:, ::-1], axis=1)[:, ::-1]
    found = np.empty_like(values)
    np.put_along_axis(found, order, (first + last) / 2.0 + 1.0, axis=1)
    found[np.isnan(values)] = NAN
    return found


def measures(signal: Floats, closes: Floats) -> dict[str, float | int]:
    """Return mean IC, mean rank IC and the rank ICIR (mean / std, ddof 1) over each horizon."""
    found: dict[str, float | int] = {}
    for horizon in HORIZONS:
        plain = _known(coefficients(signal, closes, horizon=horizon, ranked=False))
        ranked = _known(coefficients(signal, closes, horizon=horizon))
        found[f"ic_{horizon}"] = float(plain.mean()) if plain.size else NAN
        found[f"rank_ic_{horizon}"] = float(ranked.mean()) if ranked.size else NAN
        found[f"rank_icir_{horizon}"] = stability(ranked)
    return found


def stability(coefficients: Floats) -> float:
    """Return mean / std (ddof 1) of the coefficients, the ICIR per bar; nan below two or flat."""
    if coefficients.size < 2:
        return NAN
    deviation = float(coefficients.std(ddof=1))
    return NAN if is_flat(deviation, coefficients) else float(coefficients.mean()) / deviation


def _known(coefficients: Floats) -> Floats:
    return coefficients[~np.isnan(coefficients)]


def _correlations(a: Floats, b: Floats) -> Floats:
    """Return each row's Pearson correlation of two (T, N) with nan at the same places."""
    count = np.count_nonzero(~np.isnan(a), axis=1)
    a, b = _centred(a, count), _centred(b, count)
    size = np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1))
    defined = (count >= FEWEST) & (size > 0.0)
    found = np.full(count.size, NAN)
    return np.asarray(np.divide((a * b).sum(axis=1), size, out=found, where=defined))


def _centred(values: Floats, count: Ints) -> Floats:
    """Return rows less their mean, 0 for nan; a row that is flat but for rounding is all 0."""
    filled = np.where(np.isnan(values), 0.0, values)
    mean = filled.sum(axis=1, keepdims=True) / np.maximum(count, 1)[:, None]
    centred = np.where(np.isnan(values), 0.0, values - mean)
    largest = np.abs(filled).max(axis=1, initial=0.0)
    flat = np.abs(centred).max(axis=1, initial=0.0) <= FLAT * largest
    centred[flat] = 0.0
    return centred
