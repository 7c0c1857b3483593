"""One ingest to be done: payloads that are news, by number, and what rows say of themselves."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from lakehouse import staging
from lakehouse.identity import Ticker
from lakehouse.job import Run, Tally, stamped
from lakehouse.layers import TableName
from lakehouse.providers.base import Payload, Provider, Reading, Request
from lakehouse.staging import Staging
from topology.canonical import sha256

SHARE = 0.35
"""Of the memory given, what the staging may hold; the rest is for Arrow, the writer and Python."""
LEAST_MB = 64


@dataclass(frozen=True)
class Work:
    """Who ingests (``run``), what is asked for, and the ``fresh`` payloads, by number.

    ``names`` are those under which a symbol's rows may come beside its own.
    """

    run: Run
    request: Request
    provider: Provider
    reading: Reading
    fresh: Sequence[Payload]
    names: Sequence[Ticker]
    tally: Tally

    @functools.cached_property
    def id(self) -> str:
        """Return what names this work in the keys of its appends: its payloads."""
        return sha256([payload.sha256 for payload in self.fresh])[:12]

    @functools.cached_property
    def numbers(self) -> dict[str, int]:
        """Return the number ``_no`` of each payload, by hash."""
        return {payload.sha256: no for no, payload in enumerate(self.fresh)}

    @functools.cached_property
    def sources(self) -> pa.Array:
        """Return the source of each payload, by number."""
        return pa.array([payload.source for payload in self.fresh], pa.string())

    def beside(self, name: str) -> str:
        """Return the table ``name`` in the namespace of the one that is filled."""
        return f"{TableName.parse(self.request.table).namespace}.{name}"

    def staging(self) -> AbstractContextManager[Staging]:
        """Open an empty staging within the memory of the run."""
        memory_mb = max(LEAST_MB, int(self.run.memory_mb * SHARE))
        kind = "bars" if self.request.fact else self.request.kind  # of facts it keeps the rejects
        return staging.opened(kind, memory_mb=memory_mb, spill=self.run.spill)

    def raw(self, payload: Payload, rows: pa.RecordBatch) -> pa.RecordBatch:
        """Return rows as they came, with what every bronze row says of itself."""
        return stamped(
            rows,
            _ingested_at=self.run.created_at,
            _source=payload.source,
            _payload_sha256=payload.sha256,
            _run_id=self.run.run_id,
        )

    def bars(self, rows: pa.Table, **more: Any) -> pa.Table:
        """Return good rows as the bars of this run, each with the source of its payload."""
        source = self.sources.take(rows.column("_no").combine_chunks())
        rows = rows.drop_columns("_no").append_column("source", source)
        return stamped(rows, ingested_at=self.run.created_at, run_id=self.run.run_id, **more)
