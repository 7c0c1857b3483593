"""Parquet as a stream of rows, typed as in the file, in types that a bronze table holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from lakehouse.errors import UnreadableFileError
from lakehouse.providers.archives import BLOCK, FREE, RATIO
from lakehouse.providers.base import Batch
from lakehouse.providers.delimited import usable

MAGIC = b"PAR1"
MOST_ROWS = 65_536
"""Of one batch."""

Opener = Callable[[], AbstractContextManager[BinaryIO]]


@dataclass(frozen=True, slots=True)
class Columnar:
    """Rows of a Parquet file; ``opener`` gives its bytes in a file that can be read anywhere."""

    opener: Opener
    schema: pa.Schema

    def batches(self) -> Iterator[Batch]:
        """Yield the rows from the start; a broken page raises ``unreadable_file``."""
        with self.opener() as stream:
            try:
                file = pq.ParquetFile(stream, buffer_size=BLOCK, pre_buffer=False)
                for batch in file.iter_batches(batch_size=MOST_ROWS):
                    columns = zip(batch.columns, batch.schema, self.schema, strict=True)
                    kept = [_kept(values, field, as_.type) for values, field, as_ in columns]
                    yield Batch(pa.RecordBatch.from_arrays(kept, schema=self.schema))
            except (pa.ArrowException, OSError) as error:
                raise _unreadable() from error


def columnar(opener: Opener) -> Columnar:
    """Return the reader of a Parquet file from what its footer says.

    Half a file (no footer), a nested column and a file that unpacks like a bomb raise
    ``unreadable_file``.
    """
    with opener() as stream:
        size = stream.seek(0, 2)
        stream.seek(0)
        try:
            file = pq.ParquetFile(stream)
            facts, schema = file.metadata, file.schema_arrow
        except (pa.ArrowException, OSError) as error:
            raise _unreadable() from error
        groups = (facts.row_group(place) for place in range(facts.num_row_groups))
        unpacked = max(sum(group.total_byte_size for group in groups), facts.num_rows)
    most = FREE + RATIO * size
    if unpacked > most:
        raise UnreadableFileError(
            f"The file unpacks to more than {most:,} bytes.",
            hint=f"That is {RATIO} times its size: look at it, and write it again as it should be.",
            most_bytes=most,
        )
    names = usable(list(schema.names))
    kinds = [_storable(field) for field in schema]
    pairs = zip(names, kinds, strict=True)
    return Columnar(opener, pa.schema([pa.field(name, kind) for name, kind in pairs]))


def _storable(field: pa.Field) -> pa.DataType:
    """Return the type in which a column is kept; times without a zone become text."""
    kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
    if pa.types.is_nested(kind):
        raise UnreadableFileError(
            f"The column {field.name[:64]!r} is nested ({str(kind)[:64]}).",
            hint="Flatten it: bars are plain columns.",
            column=field.name[:64],
        )
    if pa.types.is_timestamp(kind):
        return pa.timestamp("us", tz="UTC") if kind.tz else pa.string()
    for family, stored in (
        (pa.types.is_integer, pa.int64()),
        (pa.types.is_float16, pa.float32()),
        (pa.types.is_float32, pa.float32()),
        (pa.types.is_floating, pa.float64()),
        (pa.types.is_date, pa.date32()),
        (pa.types.is_boolean, pa.bool_()),
        (pa.types.is_decimal, kind),
    ):
        if family(kind):
            return stored
    return pa.string()


def _kept(values: pa.Array, field: pa.Field, kind: pa.DataType) -> pa.Array:
    try:
        return values.cast(kind)
    except pa.ArrowInvalid as error:
        raise UnreadableFileError(
            f"The column {field.name[:64]!r} loses digits as {kind}.",
            hint="Write times in microseconds and integers within 64 bits.",
            column=field.name[:64],
        ) from error


def _unreadable() -> UnreadableFileError:
    return UnreadableFileError(
        "This begins like Parquet but cannot be read as such.",
        hint="It may be half written: write or copy the file again.",
    )
