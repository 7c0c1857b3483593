"""Bars of the lake as a frame: enough rows before the first asked for, and after the last."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lakehouse import days, query, universe
from lakehouse.adjust import Adjust
from lakehouse.asof import AsOf
from lakehouse.features.frame import Array, Frame, Ints
from lakehouse.features.operators import FIELDS
from lakehouse.features.reach import EVERYTHING, Reach
from lakehouse.lake import Lake
from lakehouse.query import UNADJUSTED

PER_DAY = {"1d": 1.0, "1h": 6.5, "1m": 390.0}
DAYS_PER_SESSION, DAYS_SPARE, WIDER = 1.6, 14, 4
"""A first guess of how many days hold the rows wanted; where it is short, `WIDER` times more."""
NEVER = dt.date(1900, 1, 1)
LAST = dt.date(2199, 12, 31)


@dataclass(frozen=True)
class Asked:
    """Which bars: days ``start`` to ``end`` of ``symbols``, at these pins.

    ``rows``: a window counts a symbol's own ``bars``, or every instant of any symbol (``union``).
    ``groups``: a field's name to each symbol's label; ``members``: on which days a symbol counts
    in the ``universe`` of that name.
    """

    symbols: tuple[str, ...]
    universe: str | None
    table: str
    start: dt.date
    end: dt.date
    adjust: Adjust
    rows: str = "bars"
    snapshot_ids: Mapping[str, str] = field(default_factory=dict)
    as_of: AsOf = None
    groups: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    members: Mapping[str, Sequence[tuple[dt.date, dt.date | None]]] | None = None


@dataclass(frozen=True)
class Loaded:
    """A frame, and each symbol's ``first`` row (N,) that is asked for.

    ``shown`` (R,) tells which rows are bars of members in the period; of the ``unadjusted``
    symbols no adjustments are known.
    """

    frame: Frame
    first: Ints
    shown: Array
    unadjusted: tuple[str, ...] = ()


def load(
    lake: Lake, asked: Asked, reach: Reach, *, first_bars: Mapping[str, dt.datetime]
) -> Loaded:
    """Return the bars asked for, with ``reach.back`` rows before and ``reach.ahead`` after.

    Fewer only where a symbol has no more: ``first_bars`` says when each symbol's data begin.
    """
    per_day = PER_DAY[asked.table.rpartition("_")[2]]
    back = math.ceil(reach.back / per_day * DAYS_PER_SESSION) + DAYS_SPARE
    later = math.ceil(reach.ahead / per_day * DAYS_PER_SESSION) + DAYS_SPARE if reach.ahead else 0
    while True:
        begin = NEVER if reach.back == EVERYTHING else _moved(asked.start, -back)
        end = _moved(asked.end, later)
        bars = query.bars(
            lake,
            asked.symbols,
            begin,
            end,
            table=asked.table,
            adjust=asked.adjust,
            snapshot_ids=asked.snapshot_ids,
            as_of=asked.as_of,
        )
        frame = framed(bars, asked, begin, first_bars)
        first = _rows_before(frame, _nanoseconds(asked.start))
        if begin == NEVER or _reaches(frame, first, reach.back, begin, first_bars):
            break
        back *= WIDER
    last = _nanoseconds(asked.end + dt.timedelta(days=1))
    member = ~np.isnan(frame.fields["close"]) & _belonging(frame, asked)
    frame = replace(frame, member=member)
    shown = (frame.places >= np.repeat(first, np.diff(frame.starts))) & (frame.times < last)
    shown &= member
    lacking = (bars.schema.metadata or {}).get(UNADJUSTED, b"").decode()
    return Loaded(frame, first, shown, tuple(filter(None, lacking.split(","))))


def framed(
    bars: pa.Table, asked: Asked, begin: dt.date, first_bars: Mapping[str, dt.datetime]
) -> Frame:
    """Return a long table of bars, sorted by symbol and time, as a frame."""
    symbols = pc.unique(bars.column("vt_symbol")).to_pylist()
    codes = pc.index_in(bars.column("vt_symbol"), pa.array(symbols, pa.string())).to_numpy()
    times = bars.column("timestamp").cast(pa.int64()).to_numpy() * 1_000
    columns = {
        name: bars.column(name).to_numpy().astype(np.float32)
        for name in FIELDS
        if name in bars.schema.names
    }
    if "vwap" not in columns:
        prices = (bars.column(name).to_numpy() for name in ("high", "low", "close"))
        columns["vwap"] = (sum(prices) / 3.0).astype(np.float32)
    counts = np.bincount(codes, minlength=len(symbols))
    frame = Frame(tuple(symbols), _starts(counts), times, columns)
    if asked.rows == "union":
        frame = _union(frame, begin, first_bars)
    return _grouped(frame, asked.groups)


def _union(frame: Frame, begin: dt.date, first_bars: Mapping[str, dt.datetime]) -> Frame:
    """Return the frame with a row for each instant of any symbol, from a symbol's first bar on."""
    if not frame.rows:
        return frame
    instants = np.unique(frame.times)
    parts: list[Ints] = []
    places: list[Ints] = []
    for i, symbol in enumerate(frame.symbols):
        own = frame.times[frame.starts[i] : frame.starts[i + 1]]
        earlier = symbol in first_bars and first_bars[symbol].date() < begin
        since = instants[0] if earlier else own[0]
        kept = instants[instants >= since]
        parts.append(kept)
        places.append(np.searchsorted(kept, own) + sum(part.size for part in parts[:-1]))
    place, times = np.concatenate(places), np.concatenate(parts)
    columns = {}
    for name, values in frame.fields.items():
        columns[name] = np.full(times.size, np.nan, dtype=np.float32)
        columns[name][place] = values
    return Frame(frame.symbols, _starts([part.size for part in parts]), times, columns)


def _grouped(frame: Frame, groups: Mapping[str, Mapping[str, str]]) -> Frame:
    """Return the frame with a field of group numbers for each grouping; NaN without a group."""
    lengths = np.diff(frame.starts)
    columns = dict(frame.fields)
    for name, labels in groups.items():
        numbers = {label: float(i) for i, label in enumerate(sorted(set(labels.values())))}
        own = [numbers.get(labels.get(symbol, ""), np.nan) for symbol in frame.symbols]
        columns[name] = np.repeat(np.array(own, dtype=np.float32), lengths)
    return replace(frame, fields=columns)


def _belonging(frame: Frame, asked: Asked) -> Array:
    """Return (R,) whether each row's symbol belongs to the universe on its exchange's day."""
    inside = np.ones(frame.rows, dtype=bool)
    if asked.members is None:
        return inside
    for i, symbol in enumerate(frame.symbols):
        rows = slice(int(frame.starts[i]), int(frame.starts[i + 1]))
        inside[rows] = universe.belonging(
            symbol,
            asked.members.get(symbol, ()),
            frame.times[rows],
            daily=days.daily(asked.table),
        )
    return inside


_DAY = 86_400_000_000_000


def _reaches(
    frame: Frame,
    first: Ints,
    back: int,
    begin: dt.date,
    first_bars: Mapping[str, dt.datetime],
) -> bool:
    """Tell whether every symbol has ``back`` rows before its first, or there are no more."""
    return all(
        first[i] >= back or symbol not in first_bars or first_bars[symbol].date() >= begin
        for i, symbol in enumerate(frame.symbols)
    )


def _rows_before(frame: Frame, instant: int) -> Ints:
    earlier = np.concatenate(([0], np.cumsum(frame.times < instant)))
    return (earlier[frame.starts[1:]] - earlier[frame.starts[:-1]]).astype(np.int64)


def _starts(counts: Sequence[int] | Ints) -> Ints:
    return np.concatenate(([0], np.cumsum(counts))).astype(np.int64)


def _moved(day: dt.date, days: int) -> dt.date:
    moved = day.toordinal() + days
    return dt.date.fromordinal(min(max(moved, NEVER.toordinal()), LAST.toordinal()))


def _nanoseconds(day: dt.date) -> int:
    return _number(day) * _DAY


def _number(day: dt.date) -> int:
    return day.toordinal() - dt.date(1970, 1, 1).toordinal()
