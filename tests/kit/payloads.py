"""What a provider gave, read to its end: as bronze holds it, and as the silver step sees it."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from lakehouse.providers.base import Broken, Payload, Provider


def bronze(payload: Payload) -> pa.Table:
    """Return a payload's rows with their numbers and their origin, as bronze keeps them."""
    batches = [batch.rows for batch in payload.numbered()]
    rows = pa.Table.from_batches(batches)
    source = pa.repeat(pa.scalar(payload.source), rows.num_rows)
    return rows.append_column("_source", source)


def broken(payload: Payload) -> list[Broken]:
    """Return the lines of a payload that are no rows."""
    return [line for batch in payload.batches() for line in batch.broken]


def read(provider: Provider, payloads: Sequence[Payload]) -> pa.Table:
    """Return the rows of payloads with the same columns as the provider says they are meant."""
    return provider.rows(pa.concat_tables([bronze(payload) for payload in payloads]))
