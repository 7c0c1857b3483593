"""Provider ``files``: a CSV or Parquet file, gzipped or not, below an allowed folder."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping

import pyarrow as pa

from lakehouse.providers.base import Batch, Fact, Payload, Reading, Request
from lakehouse.providers.delimited import table_of
from lakehouse.providers.paths import read_allowed

NAMESPACE = "alphaswarm_bronze_files"
_SHAPE_DIGITS = 12


class Files:
    """Brings one file in; its rows go to the bronze table of all files with the same columns."""

    def fetch(self, request: Request) -> Iterator[Payload]:
        """Read the file; see `read_allowed` and `table_of` for what is refused."""
        name, data = read_allowed(request.path or "", request.allowed)
        rows, broken = table_of(data)
        empty = pa.RecordBatch.from_pylist([], rows.schema)
        parts = [Batch(empty, broken), *map(Batch, rows.to_batches())]
        yield Payload(
            table=f"{NAMESPACE}.shape_{_shape(rows.schema)}",
            sha256=hashlib.sha256(data).hexdigest(),
            source=f"files:{name}",
            schema=rows.schema,
            opened=lambda: parts,
        )

    def reading(self, request: Request) -> Reading:
        """Return the reading of the spec."""
        return request.reading

    def rows(self, rows: pa.Table) -> pa.Table:
        """Return the rows: a file names ``TICKER.EXCHANGE`` itself, or the reading does."""
        return rows

    def facts(self, request: Request) -> Mapping[Fact, pa.Table]:
        """Return nothing: a file of bars says nothing about splits and dividends."""
        return {}


def _shape(schema: pa.Schema) -> str:
    text = "\n".join(f"{field.name}\t{field.type}" for field in schema)
    return hashlib.sha256(text.encode()).hexdigest()[:_SHAPE_DIGITS]
