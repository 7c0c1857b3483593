"""Many small data files of a partition into one: sorted, counted, in bounded memory."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
from pyiceberg.io.fileformat import FileFormatFactory
from pyiceberg.manifest import DataFile, DataFileContent, FileFormat
from pyiceberg.schema import Schema, sanitize_column_names
from pyiceberg.table import Table

from lakehouse import catalog, scan
from lakehouse.maintain.policy import Policy
from topology.errors import FaultError
from topology.frames import Progress

ROWS = 250_000
"""Rows of a row group, as ``write.parquet.row-group-limit`` says."""


@dataclass(frozen=True, slots=True)
class Group:
    """Small files of one partition that become one."""

    files: tuple[DataFile, ...]

    @property
    def bytes(self) -> int:
        """Return their size on the disk."""
        return sum(file.file_size_in_bytes for file in self.files)

    @property
    def rows(self) -> int:
        """Return their rows."""
        return sum(file.record_count for file in self.files)


def rewrite(
    table: Table, group: Group, *, policy: Policy, spill: Path, progress: Progress
) -> DataFile:
    """Write the rows of ``group`` to one new file, in the table's order, and return it.

    No snapshot names the new file yet. Sorting uses ``policy.memory_mb`` and, beyond that, the
    folder ``spill``. Other rows than the old files held, by count, are a fault.
    """
    inner = sanitize_column_names(table.schema())
    place = f"{group.files[0].file_path.rpartition('/')[0]}/00000-0-{uuid.uuid4()}.parquet"
    model = FileFormatFactory.get(FileFormat.PARQUET)
    output = table.io.new_output(place)
    with (
        catalog.reaching(),
        scan.connected(memory_mb=policy.memory_mb, spill=spill) as connection,
        model.create_writer(output, inner, table.properties) as writer,
    ):
        reader = connection.sql(_sql(table, inner, group)).to_arrow_reader(ROWS)
        for rows in _chunks(reader, _stored(inner)):
            progress.checkpoint()
            writer.write(rows)
    facts = writer.result()
    if facts.record_count != group.rows:
        raise FaultError(
            "Joining files gave other rows than they held; nothing was changed.",
            hint="Please report it with the table's name and the versions of `alphaswarm version`.",
            rows_before=group.rows,
            rows_after=facts.record_count,
        )
    return DataFile.from_args(
        content=DataFileContent.DATA,
        file_path=place,
        file_format=FileFormat.PARQUET,
        partition=group.files[0].partition,
        file_size_in_bytes=len(output),
        sort_order_id=None,
        spec_id=group.files[0].spec_id,
        equality_ids=None,
        key_metadata=None,
        **facts.to_serialized_dict(),
    )


def _sql(table: Table, inner: Schema, group: Group) -> str:
    """Return the SELECT over the files; a table without an order keeps the order of its files."""
    files = ", ".join(scan.quoted(f.file_path.removeprefix("file://")) for f in group.files)
    chosen = ", ".join(scan.identifier(field.name) for field in inner.fields)
    text = f"SELECT {chosen} FROM read_parquet([{files}], hive_partitioning=false)"  # noqa: S608
    names = [inner.find_column_name(field.source_id) for field in table.sort_order().fields]
    order = ", ".join(scan.identifier(name) for name in names if name)
    return f"{text} ORDER BY {order}" if order else text


def _stored(inner: Schema) -> pa.Schema:
    """Return the columns as files hold them: with field ids, plain strings."""
    from pyiceberg.io.pyarrow import schema_to_pyarrow  # loads datasets: only for who rewrites

    plain = scan.arrow_schema(inner)
    ids = schema_to_pyarrow(inner, include_field_ids=True)
    return pa.schema([field.with_metadata(ids.field(n).metadata) for n, field in enumerate(plain)])


def _chunks(reader: pa.RecordBatchReader, schema: pa.Schema) -> Iterator[pa.Table]:
    """Yield the rows in tables of `ROWS`, the last one shorter."""
    waiting: list[pa.RecordBatch] = []
    for batch in reader:
        waiting.append(batch)
        while sum(b.num_rows for b in waiting) >= ROWS:
            whole = pa.Table.from_batches(waiting)
            yield whole.slice(0, ROWS).cast(schema)
            waiting = whole.slice(ROWS).to_batches()
    if waiting:
        yield pa.Table.from_batches(waiting).cast(schema)
