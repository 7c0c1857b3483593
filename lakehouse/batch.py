"""A batch before it is written: the registered columns, in order, without nulls or double keys."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lakehouse.errors import (
    DuplicateKeyError,
    EmptyAppendError,
    SchemaMismatchError,
    TimestampTypeError,
)
from lakehouse.schemas import Shape
from topology.errors import did_you_mean, nearest

HASHED_ROWS = 65_536
"""Rows per Arrow message under the digest: part of its definition, never to be changed."""
UTC = ("UTC", "+00:00", "Etc/UTC")


def fit(data: pa.Table, shape: Shape) -> pa.Table:
    """Return the columns of ``shape`` in its types and its order of rows.

    Columns may come in any order, chunked, sliced, as dictionaries or large strings. Raises
    ``schema_mismatch``, ``timestamp_type``, ``empty_append`` or ``duplicate_key``.
    """
    _refuse_other_columns(data.schema, shape.columns)
    if not data.num_rows:
        raise EmptyAppendError("The batch has no rows.", hint="Append only what there is.")
    columns = [_cast(data.column(field.name), field) for field in shape.columns]
    return _ordered(pa.table(columns, schema=shape.columns), shape)


def digest(table: pa.Table) -> str:
    """Return the SHA-256 of the table's Arrow stream; equal tables give equal digests.

    Chunks, offsets and the bytes under nulls do not count: such columns are rebuilt first.
    """
    plain = pa.schema([field.remove_metadata() for field in table.schema])
    whole = pa.table([_rebuilt(column) for column in table.columns], schema=plain)
    sink = _Hash()
    with pa.PythonFile(sink, mode="w") as file, pa.ipc.new_stream(file, plain) as stream:
        stream.write_table(whole, max_chunksize=HASHED_ROWS)
    return sink.sha256.hexdigest()


class _Hash:
    """A file that keeps nothing but the hash of what is written."""

    closed = False

    def __init__(self) -> None:
        self.sha256 = hashlib.sha256()

    def write(self, data: Any) -> int:
        self.sha256.update(data)
        return len(data)

    def flush(self) -> None:
        """Nothing waits."""

    def close(self) -> None:
        """Nothing is open."""


def _rebuilt(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return the column in one chunk whose bytes depend on its values alone."""
    whole = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
    if isinstance(whole, pa.ChunkedArray):  # text beyond 2 GB stays in several chunks
        raise SchemaMismatchError(
            "A text column of this batch is larger than 2 GB.", hint="Append in smaller batches."
        )
    packed = pa.types.is_boolean(whole.type)  # eight values share a byte with what stood beside
    if whole.null_count or whole.offset or packed:
        whole = whole.take(pa.array(np.arange(len(whole))))
    return whole


def _refuse_other_columns(given: pa.Schema, wanted: pa.Schema) -> None:
    for name in wanted.names:
        if name not in given.names:
            raise SchemaMismatchError(
                f"The column {name!r} is missing.",
                hint=did_you_mean(name, given.names),
                column=name,
                nearest=nearest(name, given.names),
            )
    for name in given.names:
        if name not in wanted.names or given.names.count(name) > 1:
            raise SchemaMismatchError(
                f"The column {name[:64]!r} does not belong here, or not twice.",
                hint=did_you_mean(name, wanted.names),
                column=name[:64],
                nearest=nearest(name, wanted.names),
            )


def _cast(column: pa.ChunkedArray, field: pa.Field) -> pa.ChunkedArray:
    if column.type != field.type:
        _refuse_lossy_time(column.type, field)
        if _family(column.type) != _family(field.type):
            raise _mismatch(field, column.type)
        try:
            column = column.cast(field.type)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise _mismatch(field, column.type) from error
    if column.null_count and not field.nullable:
        raise SchemaMismatchError(
            f"The column {field.name!r} holds {column.null_count} nulls but needs a value each.",
            hint="Leave such rows out or give them values.",
            column=field.name,
            nulls=column.null_count,
        )
    return column


def _family(kind: pa.DataType) -> str:
    """Return what a type means: text never becomes a number here, nor the other way round."""
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return "text"
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return "number"
    return "time" if pa.types.is_timestamp(kind) else str(kind)


def _refuse_lossy_time(given: pa.DataType, field: pa.Field) -> None:
    """A time must already be UTC and no finer than microseconds: nothing is guessed or cut off."""
    if not pa.types.is_timestamp(field.type):
        return
    if not pa.types.is_timestamp(given):
        raise _mismatch(field, given)
    if given.unit == "ns" or given.tz not in UTC:
        raise TimestampTypeError(
            f"The column {field.name!r} is {given} but must be timestamp[us, UTC].",
            hint="Cast to timestamp[us, UTC].",
            column=field.name,
            given=str(given),
            wanted=str(field.type),
        )


def _mismatch(field: pa.Field, given: pa.DataType) -> SchemaMismatchError:
    return SchemaMismatchError(
        f"The column {field.name!r} is {given} and cannot become {field.type}.",
        hint=f"Cast the column to {field.type} first.",
        column=field.name,
        given=str(given),
        wanted=str(field.type),
    )


def _ordered(table: pa.Table, shape: Shape) -> pa.Table:
    """Return the table sorted (stable); refuse equal keys, which then stand side by side."""
    if not shape.order:
        return table
    if not _ascending(table, shape.order):
        table = table.sort_by([(name, "ascending") for name in shape.order])
    if shape.key:
        _refuse_doubles(table, shape.key)
    return table


def _ascending(table: pa.Table, order: tuple[str, ...]) -> bool:
    """Tell whether the rows stand in order, by comparing each with its neighbour."""
    upper, lower = table.slice(0, table.num_rows - 1), table.slice(1)
    undecided = None
    for name in order:
        before, after = upper.column(name), lower.column(name)
        falls = pc.greater(before, after)
        if undecided is not None:
            falls = pc.and_(falls, undecided)
        if pc.any(falls, min_count=0).as_py():
            return False
        ties = pc.equal(before, after)
        undecided = ties if undecided is None else pc.and_(undecided, ties)
        if not pc.any(undecided, min_count=0).as_py():
            return True
    return True


def _refuse_doubles(table: pa.Table, key: tuple[str, ...]) -> None:
    upper, lower = table.slice(0, table.num_rows - 1), table.slice(1)
    same = None
    for name in key:
        ties = pc.equal(upper.column(name), lower.column(name))
        same = ties if same is None else pc.and_(same, ties)
        if not pc.any(same, min_count=0).as_py():
            return
    doubles = lower.filter(same).select(list(key)).slice(0, 3).to_pylist()
    raise DuplicateKeyError(
        f"The batch holds the same ({', '.join(key)}) more than once.",
        hint="Keep one row of each key.",
        keys=[{name: _json(value) for name, value in row.items()} for row in doubles],
    )


def _json(value: Any) -> Any:
    return value if isinstance(value, str | int | float) else str(value)
