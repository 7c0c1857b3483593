"""Does a strategy look ahead? Its decisions again, on a past without its future and with another.

Two tests, each of which catches a cheat alone. Cut: at seeded bars everything after is taken away.
Noise: everything after is replaced by noise. Decisions and fills up to the bar must be the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtimes.backtest.bars import Window
from runtimes.backtest.noise import noised
from runtimes.backtest.pieces import piece
from runtimes.engine.arrays import Floats, Ints, Targets
from runtimes.engine.errors import LookaheadError, instant
from runtimes.engine.results import Named
from topology.errors import AlphaSwarmError

ROUNDING = 1e-9
"""Values that differ by less than this part are the same decision, rounded elsewhere."""
CELLS = 5_000_000
"""Bars times symbols that one audit computes again at most."""
CALLS = 250_000
"""Bars that a script is played through again at most in one audit."""
STREAM = 0xA0D17


@dataclass(frozen=True, slots=True)
class Trace:
    """What happened, in order: bars (D,) or instants, a label each, and numbers (D, W)."""

    at: Ints
    labels: Sequence[str]
    values: Floats

    def until(self, last: int) -> Trace:
        """Return what happened up to ``last``, inclusive."""
        kept = int(np.searchsorted(self.at, last, side="right"))
        return Trace(self.at[:kept], self.labels[:kept], self.values[:kept])


@dataclass(frozen=True, slots=True)
class Seen:
    """One run over a window: ``decisions`` by bar of the window, ``fills`` by instant (ns)."""

    decisions: Trace
    fills: Trace


Again = Callable[[Window, int], Seen]
"""Runs over a window again, its simulation up to a number of traded bars at least."""


def audited(
    again: Again, window: Window, whole: Seen, *, seed: int, cuts: int, noise: int, budget: int
) -> dict[str, Any]:
    """Return what both tests found, as JSON for ``statistics.audit``.

    ``whole`` is the run as it was. Up to ``cuts`` and ``noise`` bars are drawn, half of them among
    the bars that were decided at; where all of it would be more than ``budget`` (bars times
    symbols, a script's bars alone) fewer are, and none where one alone is.
    """
    rng = np.random.Generator(np.random.Philox(key=np.array([seed, STREAM], dtype=np.uint64)))
    drawn = _drawn(whole, window, rng, cuts), _drawn(whole, window, rng, noise)
    tests = _affordable(*drawn, cost=len(window.market.timestamps), budget=budget)
    kept: dict[str, list[int]] = {"cut": [], "noise": []}
    first = None
    for kind, bar in tests:
        kept[kind].append(bar)
        first = _tested(again, window, whole, kind, bar, rng)
        if first is not None:
            break
    times = window.market.timestamps
    told = {name: [instant(times[bar]) for bar in bars] for name, bars in kept.items()}
    return {
        "passed": None if not tests else first is None,
        "cuts": told["cut"],
        "noise": told["noise"],
        "first_difference": first,
        "skipped": None if tests else _why(window, cuts + noise, budget),
    }


def skipped(reason: str) -> dict[str, Any]:
    """Return the audit of a run that had none."""
    return {"passed": None, "cuts": [], "noise": [], "first_difference": None, "skipped": reason}


def refuse(found: dict[str, Any]) -> None:
    """Raise `LookaheadError` if an audit failed."""
    first = found["first_difference"]
    if first is not None:
        raise LookaheadError(
            f"The strategy looks ahead: {first['what']} at {first['at']} changes when what comes "
            f"after {first['known_until']} is {'cut off' if first['test'] == 'cut' else 'noise'}.",
            hint="Use bars up to the deciding one only. What the run found is kept as partial.",
            **first,
        )


def traced(targets: Targets) -> Trace:
    """Return target weights as decisions; the sign of a zero does not matter."""
    return Trace(targets.rows, [""] * len(targets.rows), targets.weights + 0.0)


def filled(fills: Named) -> Trace:
    """Return the fills of a result."""
    names = zip(fills["vt_symbol"].tolist(), fills["side"].tolist(), strict=True)
    numbers = np.column_stack([fills["quantity"], fills["price"], fills["fee"]])
    return Trace(fills["timestamp"], [f"{side} {symbol}" for symbol, side in names], numbers)


def _drawn(whole: Seen, window: Window, rng: np.random.Generator, count: int) -> list[int]:
    """Return bars in order: a future of at least one bar behind each, half of them decided at."""
    last = len(window.market.timestamps) - 1
    bars = np.arange(window.first, last)
    if not count or not bars.size:
        return []
    decided = np.unique(whole.decisions.at)
    decided = decided[(decided >= window.first) & (decided < last)]
    some = rng.choice(decided, min((count + 1) // 2, decided.size), replace=False)
    rest = np.setdiff1d(bars, some)
    more = rng.choice(rest, min(count - some.size, rest.size), replace=False)
    return sorted(int(bar) for bar in np.concatenate([some, more]))


def _affordable(
    cuts: list[int], noise: list[int], *, cost: int, budget: int
) -> list[tuple[str, int]]:
    """Return which tests to do: the cheapest cuts and as many noises as ``budget`` bars allow."""
    left = budget
    tests: list[tuple[str, int]] = []
    for place in range(max(len(cuts), len(noise))):
        for kind, bars, price in (("cut", cuts, None), ("noise", noise, cost)):
            if place < len(bars):
                needed = bars[place] + 1 if price is None else price
                if needed <= left:
                    left -= needed
                    tests.append((kind, bars[place]))
    return tests


def _why(window: Window, asked: int, budget: int) -> str:
    if not asked:
        return "The spec asks for no audit."
    bars = len(window.market.timestamps)
    if bars - window.first < 2:
        return "There is no bar with another one after it."
    return f"{bars} bars are more than the {budget} that an audit of this universe may compute."


def _tested(
    again: Again, window: Window, whole: Seen, kind: str, bar: int, rng: np.random.Generator
) -> dict[str, Any] | None:
    """Return the first difference that one test shows, None where there is none."""
    known = bar - window.first + 1
    other = piece(window, 0, known) if kind == "cut" else noised(window, bar, rng)
    now = int(window.market.timestamps[bar])
    told = {"test": kind, "known_until": instant(now)}
    try:
        seen = again(other, known)
    except AlphaSwarmError as error:
        return {**told, "what": "a failure", "at": instant(now), "error": error.message[:200]}
    decided = _first_difference(whole.decisions.until(bar), seen.decisions.until(bar))
    if decided is not None:
        when = instant(window.market.timestamps[decided])
        return {**told, "what": "a decision", "at": when}
    moment = _first_difference(whole.fills.until(now), seen.fills.until(now))
    return None if moment is None else {**told, "what": "a fill", "at": instant(moment)}


def _first_difference(one: Trace, other: Trace) -> int | None:
    """Return where two traces differ first, None where they are the same but for rounding."""
    shared = min(one.at.size, other.at.size)
    same = one.at[:shared] == other.at[:shared]
    same &= np.array(one.labels[:shared]) == np.array(other.labels[:shared])
    same &= _alike(one.values[:shared], other.values[:shared])
    if not same.all():
        place = int(np.argmin(same))
        return int(min(one.at[place], other.at[place]))
    longer = one if one.at.size > shared else other
    return None if longer.at.size == shared else int(longer.at[shared])


def _alike(one: Floats, other: Floats) -> NDArray[np.bool_]:
    close = np.isclose(one, other, rtol=ROUNDING, atol=ROUNDING, equal_nan=True)
    return np.asarray(close.all(axis=1), dtype=np.bool_)
