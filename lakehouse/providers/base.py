"""What a data provider is: it fetches one payload, and says how the payload's rows are bars."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa


@dataclass(frozen=True, slots=True)
class Broken:
    """A row that does not even have the payload's columns; ``row`` counts data rows from 1."""

    row: int
    detail: str
    content: str


@dataclass(frozen=True, slots=True)
class Payload:
    """Rows as they came: text from CSV, typed from Parquet.

    ``table`` is the bronze table for them, ``sha256`` the hash of the bytes that were fetched,
    ``source`` what readers see as the rows' origin. ``broken`` are lines that are no rows.
    """

    table: str
    rows: pa.Table
    sha256: str
    source: str
    broken: tuple[Broken, ...] = ()

    def numbers(self) -> pa.Array:
        """Return the number of each row among all data lines, the broken ones included."""
        count = self.rows.num_rows + len(self.broken)
        skipped = {line.row for line in self.broken}
        whole = (number for number in range(1, count + 1) if number not in skipped)
        return pa.array(islice(whole, self.rows.num_rows), pa.int64())


@dataclass(frozen=True, slots=True)
class Reading:
    """How rows become bars.

    ``columns`` maps our names to the payload's where they differ by more than case, spaces and
    underscores; ``{"volume": ""}`` says that there is none. A time without a zone is one in
    ``timezone``; a date without a time is the bar that ends at ``close`` (HH:MM) of that day
    there. ``vt_symbol`` and ``currency`` stand in for columns that the payload lacks.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    timezone: str = "UTC"
    close: str = "16:00"
    vt_symbol: str | None = None
    currency: str = "USD"


@dataclass(frozen=True, slots=True)
class Request:
    """What an ingest asks for; ``allowed`` are the folders below which files may be read."""

    provider: str
    table: str
    path: str | None = None
    symbols: Sequence[str] | None = None
    reading: Reading = field(default_factory=Reading)
    allowed: Sequence[Path] = ()

    @classmethod
    def of(cls, spec: Mapping[str, Any], allowed: Sequence[Path]) -> Request:
        """Return the request of a validated spec of kind data."""
        return cls(
            provider=spec["provider"],
            table=spec["table"],
            path=spec.get("path"),
            symbols=spec.get("symbols"),
            reading=Reading(**spec.get("reading") or {}),
            allowed=allowed,
        )


class Provider(Protocol):
    """A source of bars."""

    def fetch(self, request: Request) -> Payload:
        """Return the payload; what cannot be read raises before anything is written."""

    def reading(self, request: Request) -> Reading:
        """Return how the payload's rows are bars."""

    def symbols(self, rows: pa.Table) -> pa.Table:
        """Return the rows with the provider's own symbols turned into ``TICKER.EXCHANGE``."""

    def adjustments(self, rows: pa.Table) -> pa.Table | None:
        """Return ``vt_symbol, date, price_factor, split_factor`` of the payload, or None."""
