"""How much of a profit hangs on one trade, one symbol or one year."""

from __future__ import annotations

from typing import Any

import numpy as np

from runtimes.engine.arrays import Floats, Ints
from runtimes.engine.results import Named, Result


def concentration(result: Result, *, cash: float) -> dict[str, Any]:
    """Return the largest share that one part has in the whole, by kind; None where undefined.

    ``trade`` and ``symbol`` are shares in the money that closed trades made, ``year`` (a calendar
    year in UTC) in the growth of log equity. A share of 1 or more means that without this part
    nothing would be left. Undefined where the whole is not above 0 or has fewer than two parts.
    """
    return {
        "trade": _largest(result.trades["pnl"]),
        "symbol": _by_symbol(result.trades),
        "year": _by_year(result.timestamps, result.curve.equity, cash=cash),
    }


def _by_symbol(trades: Named) -> dict[str, Any] | None:
    names, places = np.unique(trades["vt_symbol"], return_inverse=True)
    return _largest(_sums(places, trades["pnl"]), names.tolist())


def _by_year(timestamps: Ints, equity: Floats, *, cash: float) -> dict[str, Any] | None:
    if not equity.size or not (equity > 0).all():
        return None
    years = timestamps.astype("datetime64[ns]").astype("datetime64[Y]").astype(np.int64) + 1970
    growth = np.diff(np.log(np.concatenate([[cash], equity])))
    names, places = np.unique(years, return_inverse=True)
    return _largest(_sums(places, growth), names.tolist())


def _sums(places: Ints, values: Floats) -> Floats:
    return np.bincount(places, weights=values).astype(np.float64)


def _largest(parts: Floats, names: list[Any] | None = None) -> dict[str, Any] | None:
    total = float(parts.sum())
    if parts.size < 2 or not total > 0:
        return None
    place = int(np.argmax(parts))
    share = {"share": float(parts[place]) / total}
    return share if names is None else {"name": names[place], **share}
