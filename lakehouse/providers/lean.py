"""Provider ``lean``: the data folder of QuantConnect's Lean, trades and quotes, three resolutions.

The format is the one of Lean's `Data/*/readme.md` and `Common/Util/LeanData.cs`: equity prices in
deci-cents, minutes as milliseconds of a day, hours and days as ``YYYYMMDD HH:MM``, all of them the
START of a bar in the market's zone. Here a bar carries its end, in UTC.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar

import pyarrow as pa

from lakehouse.errors import EmptyAppendError, UnreadableFileError
from lakehouse.providers import archives, lean_layout, readers
from lakehouse.providers.base import Batch, Fact, Payload, Reading, Request, Resolution
from lakehouse.providers.delimited import Delimited, delimited
from lakehouse.providers.lean_factors import adjustments, symbol_map
from lakehouse.providers.lean_hours import Markets, markets
from lakehouse.providers.lean_identity import Identities, identities
from lakehouse.providers.lean_layout import COLUMNS, Entry, Tick
from lakehouse.providers.lean_rows import Facts, facts, typed
from topology.errors import BadInputError, MissingError, UnknownNameError, did_you_mean, nearest

NAMESPACE = "alphaswarm_bronze_lean"
PLACE = ("security", "market", "ticker", "day")
"""Columns of bronze that say what Lean writes into a path."""


@dataclass(frozen=True, slots=True)
class _Rows:
    """The rows of one zip with its path's facts before them."""

    entry: Entry
    lines: Delimited

    @property
    def schema(self) -> pa.Schema:
        """Return the columns, all text."""
        names = [*PLACE, *self.lines.schema.names]
        return pa.schema([pa.field(name, pa.string()) for name in names])

    def batches(self) -> Iterator[Batch]:
        """Yield the rows from the first."""
        entry = self.entry
        values = (entry.security, entry.market, entry.ticker, entry.day)
        for batch in self.lines.batches():
            count = batch.rows.num_rows
            told = [pa.repeat(pa.scalar(value, pa.string()), count) for value in values]
            rows = pa.RecordBatch.from_arrays([*told, *batch.rows.columns], schema=self.schema)
            yield Batch(rows, batch.broken)


class Lean:
    """Brings in one resolution and one kind of bars: those of the request's table."""

    identities: ClassVar[bool] = True
    """Its symbols are permanent ones: no later rename is to be laid over them."""

    def __init__(self) -> None:
        self._folder: _Folder | None = None
        self._told: Facts | None = None

    def fetch(self, request: Request) -> Iterator[Payload]:
        """Yield one payload per zip, by path; one that cannot be read raises, an empty one warns.

        ``symbols`` leaves out files of tickers that none of them ever had.
        """
        folder = self._folder = _Folder.found(request)
        self._told = folder.facts()
        empty: list[str] = []
        for entry in folder.entries:
            try:
                yield folder.payload(entry, request)
            except EmptyAppendError:
                empty.append(entry.name)
            except UnreadableFileError as error:
                facts = {"file": entry.name[:256], **error.facts}
                raise UnreadableFileError(error.message, hint=error.hint, **facts) from error
        if len(empty) == len(folder.entries):
            raise EmptyAppendError("All files are empty.", hint="Download the folder again.")
        readers.tell_empty(request.progress, empty)

    def fingerprint(self, request: Request) -> str:
        """Return the SHA-256 of the names and hashes of the zips asked for and what explains them.

        A folder may hold a thousand times more (ticks, options); that is not looked at.
        """
        folder = _Folder.found(request)
        beside = lean_layout.explaining(folder.root, folder.identities, request.allowed)
        return archives.digests([*(entry.file for entry in folder.entries), *beside])

    def reading(self, request: Request) -> Reading:
        """Return the reading of what `rows` makes: ends of bars, with their zone."""
        return Reading()

    def rows(self, rows: pa.Table) -> pa.Table:
        """Return bronze rows as typed bars with their identity; see `lean_rows.typed`."""
        folder, told = self._fetched()
        return typed(rows, told, resolution=folder.resolution, tick=folder.tick)

    def facts(self, request: Request) -> Mapping[Fact, pa.Table]:
        """Return the factors and the tickers of what was fetched."""
        folder, told = self._fetched()
        wanted = set(told.names.column("vt_symbol").to_pylist())
        found: dict[Fact, pa.Table] = {
            "adjustments": adjustments(folder.root, folder.identities, wanted, request.allowed),
            "symbol_map": symbol_map(folder.identities.values(), wanted),
        }
        return {name: table for name, table in found.items() if table.num_rows}

    def _fetched(self) -> tuple[_Folder, Facts]:
        if self._folder is None or self._told is None:
            raise RuntimeError("rows and facts are asked for before the first payload")
        return self._folder, self._told


@dataclass(frozen=True, slots=True)
class _Folder:
    """A Lean data folder and what of it was asked for."""

    root: Path
    resolution: Resolution
    tick: Tick
    entries: Sequence[Entry]
    identities: Mapping[tuple[str, str], Identities]
    markets: Markets

    @classmethod
    def found(cls, request: Request) -> _Folder:
        """Return what ``request`` names; nothing of it there raises ``not_found``."""
        tick, allowed = lean_layout.TICKS.get(request.kind), request.allowed
        if tick is None:
            raise BadInputError(
                f"A Lean folder is brought in as bars or quotes, not as {request.kind!r}.",
                hint="Choose a table bars_* or quotes_*: factors and ticker changes come along.",
                table=request.table,
            )
        root, inside = lean_layout.root_of(request.path or "", allowed)
        entries = lean_layout.entries(
            root, inside, allowed, resolution=request.resolution, tick=tick
        )
        if not entries:
            raise MissingError(
                f"The folder holds no {tick}s of the resolution {request.resolution}.",
                hint="Choose another table: bars_* are trades, quotes_* quotes; forex has quotes.",
            )
        known = {
            place: identities(root, *place, allowed)
            for place in sorted({(entry.security, entry.market) for entry in entries})
        }
        chosen = _chosen(entries, known, request.symbols)
        return cls(root, request.resolution, tick, chosen, known, markets(root, allowed))

    def payload(self, entry: Entry, request: Request) -> Payload:
        """Return an entry's payload, read once to its end unless it is known."""
        rows, sha256 = _opened(entry, self.tick)
        if not request.known(sha256):
            readers.check(rows)
        folder = lean_layout.FOLDERS[self.resolution]
        return Payload(
            table=f"{NAMESPACE}.{entry.security}_{entry.market}_{folder}_{self.tick}",
            sha256=sha256,
            source=f"lean:{entry.name}",
            schema=rows.schema,
            opened=rows.batches,
        )

    def facts(self) -> Facts:
        """Return what the rows are joined with."""
        places = sorted({(entry.security, entry.market, entry.ticker) for entry in self.entries})
        return facts(places, self.identities, self.markets)


def _opened(entry: Entry, tick: Tick) -> tuple[_Rows, str]:
    """Return the reader of the one CSV in a zip, and the hash of its bytes and of its path."""
    inside = archives.members(entry.file)
    if len(inside) != 1:
        raise UnreadableFileError(
            f"A zip of bars holds one file, this one {len(inside)}.", hint="Download it again."
        )
    told = "\n".join((entry.name, archives.digest(inside[0])))
    lines = delimited(partial(archives.unpacked, inside[0]), list(COLUMNS[tick]))
    return _Rows(entry, lines), hashlib.sha256(told.encode()).hexdigest()


def _chosen(
    entries: Sequence[Entry],
    known: Mapping[tuple[str, str], Identities],
    symbols: Sequence[str] | None,
) -> list[Entry]:
    """Return the entries in which bars of ``symbols`` may lie."""
    if symbols is None:
        return list(entries)
    names: dict[tuple[str, str, str], set[str]] = {}
    for entry in entries:
        key = (entry.security, entry.market, entry.ticker)
        if key not in names:
            claims = known[entry.security, entry.market].of(entry.ticker)
            names[key] = {claim.vt_symbol for claim in claims}
    there = set().union(*names.values())
    for symbol in symbols:
        if symbol not in there:
            raise UnknownNameError(
                f"The folder has no bars of {symbol[:64]!r}.",
                hint=did_you_mean(symbol[:64], there),
                value=symbol[:64],
                nearest=nearest(symbol[:64], there),
            )
    wanted = set(symbols)
    return [e for e in entries if names[e.security, e.market, e.ticker] & wanted]
