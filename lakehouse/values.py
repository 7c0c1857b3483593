"""Rows of a query as JSON text: nothing that JSON cannot say is lost in silence, sizes are capped.

Runs in the child (`lakehouse.cell`), so that a server never holds more than the text and its
values, and whatever DuckDB makes is converted under the child's limits.
"""

from __future__ import annotations

import datetime as dt
import json
import math
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import duckdb
import pyarrow as pa

MOST_BYTES = 16 << 20
MOST_VALUES = 500_000
"""Small values weigh far more as Python objects than as text, so they are counted, too."""
SAFE_INTEGER = 1 << 53
"""Integers from here on change when read as JSON numbers by others, so they become text."""
FLOAT_DIGITS = 15
"""Decimal digits that a float64 keeps."""
PIECE = 64
"""Rows that are Python objects at the same time."""
AS_TEXT = ("BIT", "BIGNUM", "INTERVAL", "TIME WITH TIME ZONE", "TIMESTAMP_NS", "VARIANT")
"""DuckDB types that Arrow or Python would not keep whole: DuckDB writes them as text."""


class RefusedError(Exception):
    """The result is nothing that JSON could say."""


class TooLargeError(RefusedError):
    """A single row is beyond the caps."""


class OutOfRangeError(RefusedError):
    """A time is infinite or outside the years 1 to 9999."""


def answer(query: duckdb.DuckDBPyRelation, most: int) -> bytes:
    """Run ``query`` and return ``{"columns", "truncated", "rows"}`` as JSON, at most ``most`` rows.

    Raises `TooLargeError` and `OutOfRangeError`.
    """
    columns = [[name, str(kind)] for name, kind in zip(query.columns, query.types, strict=True)]
    rows, truncated = _capped(_python(_plain(query)), most)
    head = json.dumps({"columns": columns, "truncated": truncated})
    return b"".join((head[:-1].encode(), b', "rows": [', b",".join(rows), b"]}"))


def cell(value: Any) -> Any:
    """Return a value as JSON says it.

    Times are RFC 3339 in UTC (which a time without a zone counts as), NaN and infinities null.
    Integers from 2^53 on and decimals of more than 15 digits are text, bytes hexadecimal text,
    maps lists of pairs.
    """
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, int):
        return value if abs(value) < SAFE_INTEGER else str(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): cell(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [cell(inner) for inner in value]
    return _special(value)


def _special(value: Any) -> Any:
    if isinstance(value, dt.datetime):
        aware = value if value.tzinfo else value.replace(tzinfo=dt.UTC)
        return aware.astimezone(dt.UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, Decimal):
        if value == value.to_integral_value():
            return cell(int(value))
        return float(value) if len(value.as_tuple().digits) <= FLOAT_DIGITS else str(value)
    return value.hex() if isinstance(value, bytes) else str(value)


def _plain(query: duckdb.DuckDBPyRelation) -> duckdb.DuckDBPyRelation:
    odd = [any(name in str(kind) for name in AS_TEXT) for kind in query.types]
    if not any(odd):
        return query
    return query.project(
        ", ".join(f"#{i}{'::VARCHAR' * odd[i - 1]}" for i in range(1, 1 + len(odd)))
    )


def _python(query: duckdb.DuckDBPyRelation) -> Iterator[tuple[Any, ...]]:
    """Yield the rows while they are made; an endless result costs nothing beyond what is taken."""
    for batch in query.to_arrow_reader(PIECE):
        for start in range(0, batch.num_rows, PIECE):
            piece = batch.slice(start, PIECE)
            step = PIECE if piece.nbytes <= MOST_BYTES else 1
            for first in range(0, piece.num_rows, step):
                yield from _objects(piece.slice(first, step))


def _objects(piece: pa.RecordBatch) -> Iterator[tuple[Any, ...]]:
    _refuse_too_large(piece.nbytes)
    try:
        columns = [column.to_pylist() for column in piece.columns]
    except (OverflowError, ValueError) as error:
        raise OutOfRangeError from error
    return zip(*columns, strict=True)


def _capped(rows: Iterator[tuple[Any, ...]], most: int) -> tuple[list[bytes], bool]:
    """Return the encoded rows within the caps, and whether there were more."""
    kept: list[bytes] = []
    size = values = 0
    try:
        for row in rows:
            if len(kept) == most:
                return kept, True
            text = json.dumps([cell(value) for value in row], ensure_ascii=False, allow_nan=False)
            encoded = text.encode()
            size += len(encoded)
            values += sum(text.count(mark) for mark in ",[{")
            _refuse_too_large(size, values)
            kept.append(encoded)
    except TooLargeError:
        if not kept:
            raise
        return kept, True
    return kept, False


def _refuse_too_large(size: int, values: int = 0) -> None:
    if size > MOST_BYTES or values > MOST_VALUES:
        raise TooLargeError
