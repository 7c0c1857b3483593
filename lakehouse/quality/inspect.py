"""Run the rules over the bars of a table, in slices that fit into memory.

A slice is some symbols, or a part of one symbol's time; it is read with the bars before that a
rule needs for its judgement, and tells only of what lies in its own window.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from lakehouse import query
from lakehouse.asof import AsOf
from lakehouse.calendars import Resolution
from lakehouse.lake import Lake
from lakehouse.layers import TableName
from lakehouse.novelty import REVISIONS
from lakehouse.quality import rules, view
from lakehouse.quality.judge import Case, Limits, judge, kept
from lakehouse.quality.rule import Rule, Scope
from lakehouse.scan import Where
from lakehouse.source import Revisions, Source, open_source
from topology.errors import BadInputError
from topology.frames import Progress

SLICE_ROWS = 100_000
"""Bars looked at together: about 100 MB with what the rules add."""

BEFORE: Mapping[Resolution, dt.timedelta] = {
    "1d": dt.timedelta(days=120),
    "1h": dt.timedelta(days=21),
    "1m": dt.timedelta(days=5),
}
AFTER: Mapping[Resolution, dt.timedelta] = {
    "1d": dt.timedelta(days=10),
    "1h": dt.timedelta(days=5),
    "1m": dt.timedelta(days=5),
}
"""How far a slice is read beyond its window: for the 63 bars before, and for the next one."""

_NAME = re.compile(r"(bars|quotes)_(1d|1h|1m)")


@dataclass(frozen=True, slots=True)
class Window:
    """What to look at; None does not restrict. Both ends are inclusive ends of bars."""

    symbols: Sequence[str] | None = None
    start: dt.datetime | None = None
    end: dt.datetime | None = None


@dataclass(frozen=True, slots=True)
class Inspected:
    """What was looked at and found.

    ``findings`` has the columns of `judge.FOUND`, the worst first within a rule and symbol;
    ``found`` counts all of that rule and symbol, kept or not. ``not_checked`` are sentences.
    """

    table: str
    snapshot_ids: Mapping[str, str]
    rows: int
    symbols: int
    first: dt.datetime | None
    last: dt.datetime | None
    findings: pa.Table
    rules: tuple[Rule, ...]
    not_checked: list[str] = field(default_factory=list)


def scope_of(table: str) -> Scope:
    """Return what ``table`` holds; ``invalid_arguments`` where it is no table of bars."""
    match = _NAME.fullmatch(TableName.parse(table).name)
    if match is None:
        raise BadInputError(
            f"{table!r} is not a table of bars or quotes.",
            hint=f"Quality rules look at bars: name a table such as {query.BARS}.",
            table=table,
        )
    kind, resolution = match.groups()
    return Scope(kind, resolution)  # type: ignore[arg-type]  # the pattern admits these only


def inspect(
    lake: Lake,
    table: str,
    window: Window,
    *,
    now: dt.datetime,
    as_of: AsOf = None,
    most_rows: int | None = None,
    progress: Progress | None = None,
) -> Inspected:
    """Look at the bars of ``window`` with every rule that fits, as of a time or snapshot.

    ``now`` is when it is looked at: bars after it are of the future. Beyond ``most_rows`` the
    remaining symbols are left out, and named.
    """
    work = _Work(lake, table, scope_of(table), window, now, as_of)
    lives = work.lives()
    taken = _within(lives, most_rows)
    names = taken.column("vt_symbol").to_pylist()
    first = min(taken.column("first").to_pylist(), default=None)
    last = max(taken.column("last").to_pylist(), default=None)
    held = view.exchanges(names, first, last)
    parts = []
    for piece in _pieces(taken):
        if progress is not None:
            progress.checkpoint()
        parts.append(work.look(piece, taken, held[0], held[1]))
    return Inspected(
        table=table,
        snapshot_ids=work.pins,
        rows=sum(taken.column("rows").to_pylist()),
        symbols=len(names),
        first=first,
        last=last,
        findings=kept(parts),
        rules=rules.of(work.scope),
        not_checked=[*_left_out(lives, taken, most_rows), *work.lacking(taken, held[2])],
    )


@dataclass(frozen=True, slots=True)
class _Piece:
    """Symbols, and the times (from ``after``, exclusive, to ``until``) whose findings it tells."""

    symbols: list[str]
    after: dt.datetime | None
    until: dt.datetime | None


@dataclass(slots=True)
class _Work:
    lake: Lake
    table: str
    scope: Scope
    window: Window
    now: dt.datetime
    as_of: AsOf
    pins: Mapping[str, str] = field(init=False)
    factors: pa.Table = field(init=False)

    def __post_init__(self) -> None:
        beside = [self.table + REVISIONS, f"{TableName.parse(self.table).namespace}.adjustments"]
        self.pins = query.resolve(self.lake, [self.table], self.as_of, optional=beside)
        self.factors = query.factors(
            self.lake, self.table, self.window.symbols, snapshot_ids=self.pins, as_of=self.as_of
        )

    def lives(self) -> pa.Table:
        """Return of each symbol its bars in the window, its ends, and the bars next to it."""
        ends = {"start": self.window.start, "end": self.window.end}
        low, high = (
            f"TIMESTAMPTZ '{value.astimezone(dt.UTC).isoformat()}'" if value else None
            for value in ends.values()
        )
        inside = f'"timestamp" BETWEEN {low or _EVER[0]} AND {high or _EVER[1]}'
        source = self._source(Where(symbols=self.window.symbols), "first")
        return source.rows(
            "SELECT vt_symbol, "  # noqa: S608
            f"count(*) FILTER ({inside}) AS rows, "
            f'min("timestamp") FILTER ({inside}) AS start, max("timestamp") FILTER ({inside}) '
            'AS stop, min("timestamp") AS first, max("timestamp") AS last, '
            f'max("timestamp") FILTER ("timestamp" < {low or _EVER[0]}) AS previous, '
            f'min("timestamp") FILTER ("timestamp" > {high or _EVER[1]}) AS following '
            f"FROM source GROUP BY vt_symbol HAVING count(*) FILTER ({inside}) > 0 "
            "ORDER BY vt_symbol"
        )

    def look(
        self, piece: _Piece, lives: pa.Table, calendars: pa.Table, sessions: pa.Table
    ) -> pa.Table:
        """Return what the rules find in a piece."""
        start, end = piece.after or self.window.start, piece.until or self.window.end
        where = Where(
            symbols=piece.symbols,
            start=start and start - BEFORE[self.scope.resolution],
            end=end and end + AFTER[self.scope.resolution],
        )
        source = self._source(where)
        case = Case(
            self.scope,
            source.sql,
            source.sources,
            source.parameters,
            self.factors,
            calendars,
            sessions,
            lives,
            self.now,
        )
        return judge(case, Limits(self.window.start, self.window.end, piece.after, piece.until))

    def lacking(self, taken: pa.Table, without: Mapping[str, Sequence[str]]) -> list[str]:
        """Return sentences on what the rules could not judge."""
        told = [
            f"{exchange} has no calendar: gaps and sessions of {_list(symbols)} were not checked."
            for exchange, symbols in without.items()
        ]
        if self.scope.kind == "bars":
            known = set(self.factors.column("vt_symbol").to_pylist())
            bare = [s for s in taken.column("vt_symbol").to_pylist() if s not in known]
            if bare:
                told.append(f"No splits or dividends are known of {_list(bare)}.")
        return told

    def _source(self, where: Where, revisions: Revisions = "latest") -> Source:
        return open_source(
            self.lake,
            self.table,
            where=where,
            snapshot_ids=self.pins,
            as_of=self.as_of,
            revisions=revisions,
        )


_EVER = ("TIMESTAMPTZ '-infinity'", "TIMESTAMPTZ 'infinity'")


def _list(names: Sequence[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more


def _within(lives: pa.Table, most_rows: int | None) -> pa.Table:
    """Return the symbols, in order, that together have no more rows than allowed; one at least."""
    if most_rows is None:
        return lives
    total = taken = 0
    for rows in lives.column("rows").to_pylist():
        total += rows
        if total > most_rows and taken:
            break
        taken += 1
    return lives.slice(0, taken)


def _left_out(lives: pa.Table, taken: pa.Table, most_rows: int | None) -> list[str]:
    rest = lives.column("vt_symbol").to_pylist()[taken.num_rows :]
    if not rest:
        return []
    return [f"Beyond {most_rows:,} rows, {_list(rest)} were not checked: name symbols or days."]


def _pieces(lives: pa.Table) -> Iterator[_Piece]:
    """Yield pieces of about `SLICE_ROWS` rows: many symbols, or a part of one symbol's time."""
    held: list[str] = []
    rows = 0
    for life in lives.select(["vt_symbol", "rows", "start", "stop"]).to_pylist():
        if held and rows + life["rows"] > SLICE_ROWS:
            yield _Piece(held, None, None)
            held, rows = [], 0
        if life["rows"] > SLICE_ROWS:
            yield from _parts(life["vt_symbol"], life["rows"], life["start"], life["stop"])
        else:
            held.append(life["vt_symbol"])
            rows += life["rows"]
    if held:
        yield _Piece(held, None, None)


def _parts(symbol: str, rows: int, start: dt.datetime, stop: dt.datetime) -> Iterator[_Piece]:
    count = -(-rows // SLICE_ROWS)
    cuts = [start + (stop - start) * n / count for n in range(1, count)]
    for after, until in zip([None, *cuts], [*cuts, None], strict=True):
        yield _Piece([symbol], after, until)
