"""What a strategy is: validated parameters, a look-back, and a pure function to target weights.

A strategy sees a `View` up to the end and returns decisions for many bars at once; the decision
at row t may use rows 0..t only. `audit` proves it by computing decisions again on a view cut at t.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from runtimes.engine.arrays import Floats, Ints, Market, Targets, each
from runtimes.engine.errors import LookaheadError, StrategyError
from runtimes.part import Part
from runtimes.strategies.shared import Shared, whole
from topology.errors import AlphaSwarmError

Flags = NDArray[np.bool_]


class StrategyParams(Part):
    """Parameters of a strategy: the base of every member's model."""


@dataclass(frozen=True, slots=True)
class Reading:
    """A column of a lake table that a strategy needs beside the bars.

    ``snapshot_id`` None is the newest when the run is claimed; ``where`` pairs other columns with
    the values that a row must have there.
    """

    table: str
    column: str
    snapshot_id: str | None = None
    where: tuple[tuple[str, str | int], ...] = ()


class Told(NamedTuple):
    """What a `Reading` told at each bar's close: two arrays (T, N).

    ``values`` are those of the latest row known then, NaN where it holds none; ``rows`` is that
    row's timestamp in ns, 0 where none was known yet.
    """

    values: Floats
    rows: Ints


@dataclass(frozen=True, slots=True)
class View:
    """What a strategy may look at: T bars of N symbols, who counts, and what it asked for.

    Decisions fall at rows >= ``first``; earlier rows are look-back. ``member`` (T, N) tells when a
    symbol belongs to the universe, None: always. ``panels`` hold what each `Reading` told.
    ``symbols`` (N,) name the columns, where anybody needs to know.
    Trials of a sweep have ``shared`` columns, of which row ``since`` is the view's first.
    """

    market: Market
    first: int
    member: Flags | None = None
    panels: Mapping[Reading, Told] = field(default_factory=dict)
    symbols: tuple[str, ...] = ()
    shared: Shared | None = None
    since: int = 0

    @property
    def close(self) -> Floats:
        """Return the closes (T, N)."""
        return self.market.close

    @property
    def members(self) -> Flags:
        """Return (T, N): whether the symbol belongs to the universe."""
        return np.ones(self.close.shape, dtype=bool) if self.member is None else self.member

    @property
    def eligible(self) -> Flags:
        """Return (T, N): whether the symbol belongs to the universe and has a bar."""
        return self.members & listed(self.market)

    @property
    def begun(self) -> Flags:
        """Return (T, N): whether the symbol belongs and has had a bar by then."""
        return self.members & np.logical_or.accumulate(listed(self.market), axis=0)

    def of_members(self, values: Floats) -> Floats:
        """Return ``values`` (T, N) with nan where the symbol does not belong."""
        return values if self.member is None else np.where(self.member, values, np.nan)

    def until(self, bar: int) -> View:
        """Return the view as it was at the close of ``bar``."""
        return replace(
            self,
            market=cut(self.market, bar),
            member=None if self.member is None else self.member[: bar + 1],
            panels={
                reading: each(panel, lambda column: column[: bar + 1])
                for reading, panel in self.panels.items()
            },
            shared=None,
        )

    def windowed(self, name: str, length: int, compute: Callable[[Floats], Floats]) -> Floats:
        """Return ``compute`` (K,) -> (K,) on each symbol's own closes (T, N), nan without a bar.

        ``compute`` must look at the last ``length`` bars alone and give the same bits wherever
        they stand: under ``name`` and ``length`` trials share what it returns.
        """
        if self.shared is None:
            return on_own_bars(self.close, compute)
        column = self.shared.column(name, length, lambda close: on_own_bars(close, compute))
        return whole(self.shared, column, self.since, length)


Decide = Callable[[View, Any], Targets]


@dataclass(frozen=True, slots=True)
class Strategy:
    """A member of the family.

    ``decide(view, params)`` returns decisions at rows >= ``view.first``. ``warmup(params)`` is how
    many bars a symbol needs, the deciding one included, before it can have a weight.
    ``inputs(params)`` says what is read from the lake beside the bars, and ``signal(view, params)``
    returns what the strategy ranks by (T, N), nan for nothing, where there is such a thing.
    ``symbols(params)`` are those that the parameters name: the universe must have them.
    """

    form: ClassVar[str] = "weights"

    title: str
    params: type[StrategyParams]
    warmup: Callable[[Any], int]
    decide: Decide
    inputs: Callable[[Any], tuple[Reading, ...]] = lambda _: ()
    signal: Callable[[View, Any], Floats] | None = None
    symbols: Callable[[Any], tuple[str, ...]] = lambda _: ()


def plan(strategy: Strategy, params: StrategyParams, view: View) -> Targets:
    """Return the decisions of ``strategy``; whatever it raises becomes `StrategyError`.

    Whoever does not belong to the universe at a decision weighs nothing, whatever was decided.
    """
    try:
        found = strategy.decide(view, params)
    except AlphaSwarmError:
        raise
    except Exception as error:
        raise StrategyError(
            f"The strategy failed: {type(error).__name__}.",
            hint="Check its parameters against the data.",
            error=str(error)[:200],
        ) from error
    if view.member is None:
        return found
    return Targets(found.rows, np.where(view.member[found.rows], found.weights, 0.0))


def cut(market: Market, bar: int) -> Market:
    """Return the bars up to and including ``bar``, the way the past looked then."""
    return each(market, lambda column: column[: bar + 1])


def audit(
    strategy: Strategy,
    params: StrategyParams,
    view: View,
    *,
    rng: np.random.Generator,
    cuts: int = 8,
) -> None:
    """Raise `LookaheadError` if a decision changes when the future is cut away.

    Recomputes the decisions on the view cut at ``cuts`` random rows; every row up to the cut must
    be there, bit for bit.
    """
    full = plan(strategy, params, view)
    bars = np.arange(view.first, len(view.market.timestamps))
    for bar in np.sort(rng.choice(bars, size=min(cuts, bars.size), replace=False)):
        seen = plan(strategy, params, view.until(int(bar)))
        known = int(np.searchsorted(full.rows, bar, side="right"))
        same = np.array_equal(seen.rows, full.rows[:known]) and np.array_equal(
            seen.weights, full.weights[:known], equal_nan=True
        )
        if not same:
            raise LookaheadError(
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
    close: Floats, compute: Callable[[Floats], Floats | Flags], *, fill_forward: bool = False
) -> Floats:
    """Apply ``compute`` (K,) -> (K,) to each symbol's own bars of ``close`` (T, N).

    Bars that a symbol does not have are nan in the result, or repeat its last value where
    ``fill_forward``; before its first bar nan. Flags stay flags where no bar is missing.
    """
    if not np.isnan(close).any():
        columns: list[Any] = [compute(column) for column in np.ascontiguousarray(close.T)]
        return columns[0][:, None] if len(columns) == 1 else np.stack(columns, axis=1)
    return _spread(close, lambda own, n: compute(close[own, n]), fill_forward=fill_forward)


def on_own_market(
    market: Market, compute: Callable[[Market], Floats], *, fill_forward: bool = False
) -> Floats:
    """Apply ``compute`` to each symbol's own bars, a market of columns (K,); see `on_own_bars`."""

    def one(own: Ints, n: int) -> Floats:
        columns = (column[own, n] for column in market[1:])
        return compute(Market(market.timestamps[own], *columns))

    return _spread(market.close, one, fill_forward=fill_forward)


def _spread(
    close: Floats, compute: Callable[[Ints, int], Floats | Flags], *, fill_forward: bool
) -> Floats:
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


def carried(values: Floats | Flags, close: Floats) -> Floats | Flags:
    """Return ``values`` (T, N), where a symbol has no bar its last one's; nan before its first."""
    missing = np.isnan(close)
    if not missing.any():
        return values
    rows = np.where(missing, -1, np.arange(len(close))[:, None])
    place = np.maximum.accumulate(rows, axis=0)
    found = np.take_along_axis(values, np.maximum(place, 0), axis=0)
    return np.where(place < 0, np.nan, found)


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


def on_change(sides: Floats | Flags, view: View) -> Targets:
    """Return 1/N times each symbol's side at the first bar and wherever one changes; nan is 0.

    ``sides`` (T, N) lie between -1 and 1, or are true and false; N counts the
    members of the universe at that bar, and whoever comes or goes changes sides. Each decision
    restores all weights.
    """
    parts = sides if sides.dtype == bool else np.where(np.isnan(sides), 0.0, sides)
    counted: Any = parts.shape[1]
    if view.member is not None:
        counted = np.maximum(view.member.sum(axis=1, keepdims=True), 1)
        parts = np.where(view.member, parts, 0.0) / counted
        counted = 1
    moved = parts[view.first + 1 :] != parts[view.first : -1]
    changed = np.zeros(len(parts), dtype=bool)
    changed[view.first + 1 + np.flatnonzero(moved) // parts.shape[1]] = True
    changed[view.first : view.first + 1] = True
    rows = np.flatnonzero(changed)
    return targets(rows, parts[rows] / counted)


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
