"""Rows with the same key, side by side: which is the bar, which corrects it, which is too much."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

KEY = ("vt_symbol", "timestamp")


@dataclass(frozen=True, slots=True)
class Part:
    """Some keys, sorted.

    ``first`` has the row of each key from the first payload that has it, ``last`` from the last
    one, ``doubles`` the rows that repeat a key within their payload, with the row that is
    ``kept``. Each keeps the payload's ``_no``. ``several`` tells whether any key came from more
    than one payload.
    """

    first: pa.Table
    last: pa.Table
    doubles: pa.Table
    several: bool


def parts(batches: Iterable[pa.RecordBatch], *, rows: int) -> Iterator[Part]:
    """Yield sorted batches as parts of about ``rows``; a key is never divided.

    The batches are sorted by key, then by payload ``_no`` and ``_row``. Where one key alone has
    that many rows, its doubles come in parts of their own.
    """
    held: list[pa.RecordBatch] = []
    for batch in batches:
        held.append(batch)
        if sum(b.num_rows for b in held) < rows:
            continue
        whole = pa.Table.from_batches(held)
        last = int(np.flatnonzero(_begins(whole))[-1])
        if last:
            yield _part(whole.slice(0, last))
            held = whole.slice(last).to_batches()
        else:
            part = _part(whole)
            yield replace(part, first=part.first.slice(0, 0), last=part.last.slice(0, 0))
            held = whole.take(pa.array(np.flatnonzero(_heads(whole)))).to_batches()
    if sum(b.num_rows for b in held):
        yield _part(pa.Table.from_batches(held))


def _part(rows: pa.Table) -> Part:
    begins = _begins(rows)
    heads = _heads(rows)
    places = np.flatnonzero(heads)
    keys = np.cumsum(begins)[places]
    last = places[np.append(keys[1:] != keys[:-1], [True])]
    kept = np.maximum.accumulate(np.where(heads, np.arange(rows.num_rows), 0))
    extra = np.flatnonzero(~heads)
    doubles = rows.take(pa.array(extra))
    numbers = rows.column("_row").take(pa.array(kept[extra]))
    return Part(
        first=_plain(rows, np.flatnonzero(begins)),
        last=_plain(rows, last),
        doubles=doubles.append_column("kept", numbers),
        several=len(places) > int(begins.sum()),
    )


def _plain(rows: pa.Table, places: NDArray[np.int64]) -> pa.Table:
    chosen = rows if len(places) == rows.num_rows else rows.take(pa.array(places))
    return chosen.drop_columns("_row")


def _heads(rows: pa.Table) -> NDArray[np.bool_]:
    """Tell for each row whether its key or its payload differs from the one before."""
    return _begins(rows) | _changes(rows, "_no")


def _begins(rows: pa.Table) -> NDArray[np.bool_]:
    """Tell for each row whether its key differs from the one before, shape (rows,)."""
    return _changes(rows, KEY[0]) | _changes(rows, KEY[1])


def _changes(rows: pa.Table, name: str) -> NDArray[np.bool_]:
    column = rows.column(name).combine_chunks()
    differs = pc.not_equal(column.slice(1), column.slice(0, max(len(column) - 1, 0)))
    return np.append([True], np.asarray(differs.to_numpy(zero_copy_only=False), dtype=np.bool_))
