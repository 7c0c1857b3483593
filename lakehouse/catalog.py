"""The Iceberg catalog: opened, asked for tables, and the one place where a table is made."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import zip_longest

import pyarrow as pa
from pyiceberg.catalog import load_catalog
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.exceptions import (
    NamespaceAlreadyExistsError,
    NoSuchTableError,
    TableAlreadyExistsError,
)
from pyiceberg.partitioning import UNPARTITIONED_PARTITION_SPEC, PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.table import Table
from pyiceberg.table.sorting import SortField, SortOrder
from pyiceberg.transforms import BucketTransform, IdentityTransform, MonthTransform
from pyiceberg.types import (
    BinaryType,
    BooleanType,
    DateType,
    DecimalType,
    DoubleType,
    FloatType,
    IcebergType,
    IntegerType,
    LongType,
    NestedField,
    StringType,
    TimestamptzType,
)
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from lakehouse.errors import LayerMismatchError, SchemaMismatchError, TableNotFoundError
from lakehouse.lake import CATALOG, Lake
from lakehouse.layers import TableName
from lakehouse.schemas import Shape
from topology.errors import (
    FaultError,
    HomeError,
    RefusedError,
    StoreUnreachableError,
    did_you_mean,
    nearest,
)

PROPERTIES = {
    "commit.manifest-merge.enabled": "true",
    "commit.manifest.min-count-to-merge": "20",
    "write.metadata.delete-after-commit.enabled": "true",
    "write.metadata.previous-versions-max": "10",
    "commit.retry.num-retries": "20",
    "commit.retry.min-wait-ms": "20",
    "commit.retry.max-wait-ms": "500",
    "write.parquet.compression-codec": "zstd",
    "write.parquet.row-group-limit": "250000",
}
"""Every table has these: without them commits and plans grow with each append (quadratic)."""

LAYER = "alphaswarm.layer"
FORMAT = 2
BUCKETS = 16
FIRST_PARTITION_ID = 1000
"""Where Iceberg's specification starts to number partition fields."""
INSUFFICIENT_PRIVILEGE = "42501"

_TYPES: dict[pa.DataType, IcebergType] = {
    pa.string(): StringType(),
    pa.bool_(): BooleanType(),
    pa.int32(): IntegerType(),
    pa.int64(): LongType(),
    pa.float32(): FloatType(),
    pa.float64(): DoubleType(),
    pa.date32(): DateType(),
    pa.binary(): BinaryType(),
    pa.timestamp("us", tz="UTC"): TimestamptzType(),
}


_FILES = {"py-io-impl": "lakehouse.sealed.SealedIO"}
_open: dict[Lake, SqlCatalog] = {}
_opening = threading.Lock()


def of(lake: Lake) -> SqlCatalog:
    """Return the lake's catalog, opened once per process; its tables must be there."""
    with _opening, reaching():
        if lake not in _open:
            catalog = load_catalog(CATALOG, **lake.properties(), **_FILES)
            if not isinstance(catalog, SqlCatalog):
                raise FaultError(f"The catalog is a {type(catalog).__name__}, not in PostgreSQL.")
            _open[lake] = catalog
        return _open[lake]


def close(lake: Lake) -> None:
    """Close the lake's connections; the next use opens it again."""
    with _opening:
        catalog = _open.pop(lake, None)
    if catalog is not None:
        catalog.engine.dispose()


@contextmanager
def reaching() -> Iterator[None]:
    """Turn refusals of the database and the file system into ours; no path is told."""
    try:
        yield
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) == INSUFFICIENT_PRIVILEGE:
            raise RefusedError(
                "This role may not commit to the lake.",
                hint="Only workers write, with the writer's role: submit a run of kind data.",
            ) from error
        raise unreachable("catalog") from error
    except SQLAlchemyError as error:
        raise unreachable("catalog") from error
    except OSError as error:
        if error.errno not in _CURES:
            raise unreachable("warehouse") from error
        raise HomeError(
            f"The warehouse cannot be written: {os.strerror(error.errno)}.",
            hint=_CURES[error.errno],
        ) from error


_CURES = {
    errno.ENOSPC: "The disk is full: free some space, then submit again; nothing was lost.",
    errno.EDQUOT: "Your disk quota is used up: free some space, then submit again.",
    errno.EROFS: "The file system is read-only: put the warehouse on another one.",
    errno.EACCES: "Give yourself write permission on the warehouse.",
    errno.EPERM: "The warehouse belongs to another user: take it over, or choose another one.",
    errno.ENOTDIR: "A file stands where a folder of the warehouse must be: move it away.",
    errno.EEXIST: "A file stands where a folder of the warehouse must be: move it away.",
}


def unreachable(store: str) -> StoreUnreachableError:
    """Return the error for the lake's ``catalog`` or ``warehouse`` that does not answer."""
    return StoreUnreachableError(
        f"The lake's {store} does not answer.",
        hint="Run `alphaswarm doctor`, then `alphaswarm up`.",
        store=store,
    )


def names(lake: Lake) -> list[str]:
    """Return every table's name, sorted."""
    with reaching():
        catalog = of(lake)
        return sorted(
            ".".join(identifier)
            for namespace in catalog.list_namespaces()
            for identifier in catalog.list_tables(namespace)
        )


def find(lake: Lake, table: str) -> Table | None:
    """Return the table, or None."""
    with reaching():
        try:
            return of(lake).load_table(table)
        except NoSuchTableError:
            return None


def load(lake: Lake, table: str) -> Table:
    """Return the table; ``table_not_found`` names the nearest ones."""
    try:
        found = find(lake, str(TableName.parse(table)))
    except LayerMismatchError:
        found = None
    if found is None:
        known = names(lake)
        raise TableNotFoundError(
            f"There is no table {table[:128]!r}.",
            hint=_hint(table[:128], known) or "Nothing has been ingested yet: alphaswarm demo.",
            table=table[:128],
            nearest=_nearest(table[:128], known),
        )
    return found


def _hint(table: str, known: list[str]) -> str:
    whole = _nearest(table, known)
    return f"Did you mean {whole[0]!r}?" if whole else did_you_mean(table, known)


def _nearest(table: str, known: list[str]) -> list[str]:
    """Return names like ``table``, first those that it is the last part of."""
    whole = [name for name in known if name.endswith(f".{table}")]
    return whole or nearest(table, known)


def create(lake: Lake, name: TableName, shape: Shape) -> Table:
    """Create a table with its mandatory properties; the caller holds the table's lock."""
    schema = _schema(shape)
    with reaching():
        _ensure_namespace(of(lake), name.namespace)
        try:
            return of(lake).create_table(
                str(name),
                schema,
                partition_spec=_partitions(shape, schema),
                sort_order=_sorting(shape, schema),
                properties={**PROPERTIES, "format-version": str(FORMAT), LAYER: name.layer},
            )
        except TableAlreadyExistsError:
            return of(lake).load_table(str(name))


def grow(table: Table, shape: Shape) -> None:
    """Add what ``shape`` has got since ``table`` was made: nullable columns behind all others.

    Rows from before are null there. Any other difference is left to `refuse_unlike`. The caller
    holds the table's lock.
    """
    if not shape.grows:
        return
    there, wanted = table.schema().fields, _schema(shape).fields
    fresh = wanted[len(there) :]
    known = [_told(field) for field in there] == [_told(field) for field in wanted[: len(there)]]
    if not fresh or not known or any(field.required for field in fresh):
        return
    with reaching(), table.update_schema() as change:
        for field in fresh:
            change.add_column(field.name, field.field_type)


def refuse_unlike(table: Table, name: TableName, shape: Shape) -> None:
    """Raise unless the table has our properties and the columns of ``shape``."""
    wanted = {**PROPERTIES, LAYER: name.layer}
    wrong = sorted(key for key, value in wanted.items() if table.properties.get(key) != value)
    if wrong or table.format_version != FORMAT:
        raise FaultError(
            f"{str(name)!r} was not made by append_arrow: it lacks mandatory properties.",
            hint="Give the table these properties, or move it out of the alphaswarm namespaces.",
            table=str(name),
            properties=wrong,
        )
    for there, ours in zip_longest(table.schema().fields, _schema(shape).fields):
        if there is None or ours is None or _told(there) != _told(ours):
            raise SchemaMismatchError(
                f"{str(name)!r} has other columns than this batch.",
                hint="A table keeps its columns; only tables of results ever get new ones.",
                table=str(name),
                there=_told(there),
                given=_told(ours),
            )


def _told(field: NestedField | None) -> str | None:
    if field is None:
        return None
    return f"{field.name} {field.field_type}{' required' if field.required else ''}"


def _schema(shape: Shape) -> Schema:
    fields = [
        NestedField(number, column.name, _type(column), required=not column.nullable)
        for number, column in enumerate(shape.columns, start=1)
    ]
    ids = {field.name: field.field_id for field in fields}
    return Schema(*fields, identifier_field_ids=[ids[name] for name in shape.key])


def _type(column: pa.Field) -> IcebergType:
    if pa.types.is_decimal(column.type):
        return DecimalType(column.type.precision, column.type.scale)
    if column.type not in _TYPES:
        raise SchemaMismatchError(
            f"The column {column.name[:64]!r} has the type {column.type}, which no table holds.",
            hint=f"Cast it to one of: {', '.join(sorted(str(t) for t in _TYPES))}.",
            column=column.name[:64],
            given=str(column.type),
        )
    return _TYPES[column.type]


def _partitions(shape: Shape, schema: Schema) -> PartitionSpec:
    if shape.partition is None:
        return UNPARTITIONED_PARTITION_SPEC
    kind, column = shape.partition
    return PartitionSpec(
        PartitionField(
            source_id=schema.find_field(column).field_id,
            field_id=FIRST_PARTITION_ID,
            transform=MonthTransform() if kind == "month" else BucketTransform(BUCKETS),
            name=f"{column}_{kind}",
        )
    )


def _sorting(shape: Shape, schema: Schema) -> SortOrder:
    ids = [schema.find_field(name).field_id for name in shape.order]
    return SortOrder(*(SortField(source_id=i, transform=IdentityTransform()) for i in ids))


def _ensure_namespace(catalog: SqlCatalog, namespace: str) -> None:
    try:
        if not catalog.namespace_exists(namespace):
            catalog.create_namespace(namespace)
    except NamespaceAlreadyExistsError:
        return
    except DBAPIError:
        if not catalog.namespace_exists(namespace):  # else another table's first append won
            raise
