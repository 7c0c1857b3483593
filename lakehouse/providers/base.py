"""What a data provider is: it fetches payloads as streams of rows, and says how rows are bars."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, cast, runtime_checkable

import numpy as np
import pyarrow as pa

from topology.frames import Progress

ROW = "_row"
"""The column of a bronze table that numbers a payload's lines from 1, the broken ones included."""

Kind = Literal["bars", "quotes"]
FACTS = ("adjustments", "symbol_map", "universes")
"""Tables beside bars that a file may fill, too: what a row says is no bar."""
Resolution = Literal["1m", "1h", "1d"]
Fact = Literal["adjustments", "symbol_map", "universes"]


@dataclass(frozen=True, slots=True)
class Broken:
    """A line that does not even have the payload's columns; ``row`` counts data lines from 1."""

    row: int
    detail: str
    content: str


@dataclass(frozen=True, slots=True)
class Batch:
    """Some rows of a payload, in order, and lines met on the way that are none.

    A broken line may come with an earlier batch than the one that it lies in, never a later one.
    """

    rows: pa.RecordBatch
    broken: tuple[Broken, ...] = ()


@dataclass(frozen=True, slots=True)
class Payload:
    """Rows as they came, as a stream that may be opened again: text from CSV, typed from Parquet.

    One file, archive member or page. ``table`` is the bronze table for its rows, all of which have
    ``schema``; ``source`` is what readers see as their origin. ``sha256`` is the hash of the bytes
    that were fetched; where rows also hold what a path says (a symbol, a day), of that too: equal
    hashes mean equal rows. ``opened`` yields the rows in batches of at most some 100,000.
    """

    table: str
    sha256: str
    source: str
    schema: pa.Schema
    opened: Callable[[], Iterable[Batch]]

    def batches(self) -> Iterator[Batch]:
        """Yield the rows, from the first, each time that this is called."""
        yield from self.opened()

    def numbered(self) -> Iterator[Batch]:
        """Yield the rows with the column ``_row``: their numbers among all data lines."""
        waiting: set[int] = set()
        number = 1
        for batch in self.batches():
            waiting |= {line.row for line in batch.broken}
            numbers, number = _numbers(batch.rows.num_rows, number, waiting)
            rows = batch.rows.append_column(ROW, numbers)
            yield Batch(rows, batch.broken)


@dataclass(frozen=True, slots=True)
class Reading:
    """How rows become bars or quotes.

    ``columns`` maps our names to the payload's where they differ by more than case, spaces and
    underscores; ``{"volume": ""}`` says that there is none. A time without a zone is one in
    ``timezone``; a date without a time is the bar that ends at ``close`` (HH:MM, up to 24:00) of
    that day there. ``label`` says whether a time is the bar's ``end`` or its ``start``. A local
    time that exists twice, when clocks go back, is rejected unless ``fold`` says which is meant.
    ``vt_symbol`` and ``currency`` stand in for columns that the payload lacks. With
    ``vt_symbol_from`` ``file`` a payload's symbol is its file's name without suffixes, in
    capitals; ``exchange`` is appended to every ticker. ``redenominated`` has the day from which a
    symbol's prices are in another currency than before; undeclared, such rows are rejected.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    timezone: str = "UTC"
    close: str = "16:00"
    label: Literal["end", "start"] = "end"
    fold: Literal["first", "second"] | None = None
    vt_symbol: str | None = None
    vt_symbol_from: Literal["column", "file"] = "column"
    exchange: str | None = None
    currency: str = "USD"
    redenominated: Mapping[str, dt.date] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Request:
    """What an ingest asks for; ``allowed`` are the folders below which files may be read.

    ``start`` and ``end`` bound what a remote provider fetches (both inclusive, None: all it has),
    ``endpoint`` names the one of the topology that it asks. ``now`` is the run's time: nothing may
    depend on a clock. ``known`` tells whether a payload's hash is in bronze and silver already: it
    is yielded all the same, but need not be looked into. ``since`` tells the end of the last bar
    that the table holds of a symbol. ``remote`` is what a provider needs that leaves this machine,
    ``progress`` what it calls between pages and while it waits, ``spill`` a folder of this ingest
    alone for what is too large for memory; it is removed afterwards.
    """

    provider: str
    table: str
    path: str | None = None
    symbols: Sequence[str] | None = None
    start: dt.date | None = None
    end: dt.date | None = None
    reading: Reading = field(default_factory=Reading)
    endpoint: str | None = None
    allowed: Sequence[Path] = ()
    now: dt.datetime | None = None
    known: Callable[[str], bool] = field(default=lambda _: False)
    since: Callable[[str], dt.datetime | None] = field(default=lambda _: None)
    remote: Any = None
    progress: Progress | None = None
    spill: Path | None = None

    @classmethod
    def of(cls, spec: Mapping[str, Any], allowed: Sequence[Path], **more: Any) -> Request:
        """Return the request of a validated spec of kind data; ``more`` is what no spec says."""
        return cls(
            provider=spec["provider"],
            table=spec["table"],
            path=spec.get("path"),
            symbols=spec.get("symbols"),
            start=_day(spec.get("start")),
            end=_day(spec.get("end")),
            reading=_reading(spec.get("reading") or {}),
            endpoint=spec.get("endpoint"),
            allowed=allowed,
            **more,
        )

    @property
    def fact(self) -> Fact | None:
        """Return which fact beside bars the table holds; None for bars and quotes."""
        name = self.table.rpartition(".")[2]
        return cast("Fact", name) if name in FACTS else None

    @property
    def kind(self) -> Kind:
        """Return what the table holds: ``bars`` of trades or ``quotes``."""
        return cast("Kind", self.table.rpartition(".")[2].rpartition("_")[0])

    @property
    def resolution(self) -> Resolution:
        """Return how long the table's bars are."""
        return cast("Resolution", self.table.rpartition("_")[2])


class Provider(Protocol):
    """A source of bars or quotes. Nothing is written before the last payload was fetched.

    One whose ``rows`` name symbols by the name that they keep, whatever their ticker was that
    day, says so by an attribute ``identities = True``.
    """

    def fetch(self, request: Request) -> Iterator[Payload]:
        """Yield the payloads in an order that depends on the request and its bytes alone.

        All are fetched before the first is written: a payload holds a place, not rows, and what
        cannot be read raises here.
        """

    def reading(self, request: Request) -> Reading:
        """Return how the payloads' rows are bars."""

    def rows(self, rows: pa.Table) -> pa.Table:
        """Return bronze rows, some at a time, as the reading expects them; rows in, rows out.

        Here a provider's own symbols become ``TICKER.EXCHANGE``, its units ours. The columns that
        begin with an underscore (``_row``, ``_source`` ...) stay as they are.
        """

    def facts(self, request: Request) -> Mapping[Fact, pa.Table]:
        """Return what else the payloads say, once they are fetched; an empty mapping: nothing.

        ``adjustments``: ``vt_symbol, date, price_factor, split_factor``, whole sets of symbols.
        ``symbol_map``: ``vt_symbol, ticker, exchange, valid_from, valid_to``, whole histories.
        ``universes``: ``universe, vt_symbol, date_from, date_to``, whole universes. Dates are
        date32; ``valid_to`` and ``date_to`` are inclusive, null while open.
        """


@runtime_checkable
class FromPath(Protocol):
    """A provider that reads files, so that an ingest can be pinned to their bytes."""

    def fingerprint(self, request: Request) -> str:
        """Return the SHA-256 of all that a fetch would read; nothing there raises."""


def _numbers(rows: int, number: int, waiting: set[int]) -> tuple[pa.Array, int]:
    """Return the numbers of so many rows from ``number``, and the next; broken ones are used up."""
    last = number + rows
    for broken in sorted(waiting):
        if broken >= last:
            break
        last += 1
    skipped = {broken for broken in waiting if broken < last}
    waiting -= skipped
    if not skipped:
        return pa.array(np.arange(number, last)), last
    return pa.array([n for n in range(number, last) if n not in skipped], pa.int64()), last


def _reading(words: Mapping[str, Any]) -> Reading:
    days = {name: _day(text) for name, text in (words.get("redenominated") or {}).items()}
    return Reading(**{**words, "redenominated": days})


def _day(text: str | dt.date | None) -> dt.date | None:
    return dt.date.fromisoformat(text) if isinstance(text, str) else text
