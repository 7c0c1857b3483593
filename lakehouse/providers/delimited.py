"""Bytes of a file as a table, every value as it came: CSV as text, Parquet typed."""

from __future__ import annotations

import gzip
import io
import zlib
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from lakehouse.errors import EmptyAppendError
from lakehouse.providers.base import Broken
from topology.errors import BadInputError

MOST_BYTES = 1 << 30
"""Of a file, unpacked. Larger ones are to be split: a batch is held in memory."""
SHOWN = 200
"""Characters of a broken line that are kept."""
_DELIMITERS = ",;\t|"
_GZIP, _PARQUET, _ZIP, _UTF16 = b"\x1f\x8b", b"PAR1", b"PK\x03\x04", (b"\xff\xfe", b"\xfe\xff")


class UnreadableFileError(BadInputError):
    """The file is not what it seems: broken archive, wrong encoding, no table at all."""

    code = "unreadable_file"


def table_of(data: bytes) -> tuple[pa.Table, tuple[Broken, ...]]:
    """Return the rows of a CSV or Parquet file, gzipped or not, and the lines that are no rows.

    ``unreadable_file`` says what is wrong and where, ``empty_append`` that there are no rows.
    """
    data = _unpacked(data)
    if not data.strip():
        raise EmptyAppendError("The file is empty.", hint="Export it again: it has no bytes.")
    table, broken = (_parquet(data), ()) if data.startswith(_PARQUET) else _csv(data)
    if not table.num_rows and not broken:
        raise _no_rows()
    return table, broken


def _no_rows() -> EmptyAppendError:
    return EmptyAppendError(
        "The file has a header but no rows.", hint="Ingest it when it has some."
    )


def _unpacked(data: bytes) -> bytes:
    if data.startswith(_GZIP):
        try:
            data = gzip.GzipFile(fileobj=io.BytesIO(data)).read(MOST_BYTES + 1)
        except (OSError, EOFError, zlib.error) as error:
            raise UnreadableFileError(
                "The gzip archive is cut off or broken.", hint="Copy or download it again."
            ) from error
    if len(data) > MOST_BYTES:
        raise _too_large()
    return data


def _too_large() -> UnreadableFileError:
    return UnreadableFileError(
        f"The file holds more than {MOST_BYTES >> 20} MB unpacked.",
        hint="Split it, for example by year; each part is an ingest of its own.",
        most_bytes=MOST_BYTES,
    )


def _parquet(data: bytes) -> pa.Table:
    try:
        file = pq.ParquetFile(pa.BufferReader(data))
        facts = file.metadata
        sizes = (facts.row_group(i).total_byte_size for i in range(facts.num_row_groups))
        if sum(sizes) > MOST_BYTES:
            raise _too_large()
        return _flat(file.read())
    except (pa.ArrowException, OSError) as error:
        raise UnreadableFileError(
            "This begins like Parquet but cannot be read as such.", hint="Write the file again."
        ) from error


def _flat(table: pa.Table) -> pa.Table:
    """Return the columns in types that a bronze table holds, without any loss."""
    names = _names(table.schema.names)
    columns = [_kept(table.column(i), field) for i, field in enumerate(table.schema)]
    return pa.table(columns, names=names)


def _kept(column: pa.ChunkedArray, field: pa.Field) -> pa.ChunkedArray:
    kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
    if pa.types.is_nested(kind):
        raise UnreadableFileError(
            f"The column {field.name[:64]!r} is nested ({kind}).",
            hint="Flatten it: bars are plain columns.",
            column=field.name[:64],
        )
    try:
        return column.cast(_storable(kind))
    except pa.ArrowInvalid as error:
        raise UnreadableFileError(
            f"The column {field.name[:64]!r} loses digits as {_storable(kind)}.",
            hint="Write times in microseconds and integers within 64 bits.",
            column=field.name[:64],
        ) from error


def _storable(kind: pa.DataType) -> pa.DataType:
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


def _csv(data: bytes) -> tuple[pa.Table, tuple[Broken, ...]]:
    _refuse_binary(data)
    if b"\n" not in data.strip():
        raise _no_rows()
    header = data.lstrip(b"\xef\xbb\xbf").split(b"\n", 1)[0].decode("utf-8")
    delimiter = max(_DELIMITERS, key=header.count)
    names, given = _header(data, delimiter)
    broken: list[Broken] = []

    def keep(row: Any) -> str:
        detail = f"{row.actual_columns} values instead of {row.expected_columns}"
        broken.append(Broken(row.number - 1, detail, (row.text or "")[:SHOWN]))
        return "skip"

    try:
        table = pyarrow.csv.read_csv(
            io.BytesIO(data),
            read_options=pyarrow.csv.ReadOptions(use_threads=False),
            parse_options=_parsing(delimiter, keep),
            convert_options=pyarrow.csv.ConvertOptions(
                column_types=dict.fromkeys(given, pa.string()), strings_can_be_null=False
            ),
        )
    except pa.ArrowInvalid as error:
        raise UnreadableFileError(
            "The text cannot be read as CSV.",
            hint="Look for an open quote; one header line, then one line per bar.",
        ) from error
    return table.rename_columns(names), tuple(broken)


def _header(data: bytes, delimiter: str) -> tuple[list[str], list[str]]:
    """Return the columns' names as we keep them, and as the file writes them."""
    try:
        with pyarrow.csv.open_csv(
            io.BytesIO(data),
            read_options=pyarrow.csv.ReadOptions(use_threads=False),
            parse_options=_parsing(delimiter, lambda _: "skip"),
            convert_options=pyarrow.csv.ConvertOptions(strings_can_be_null=False),
        ) as reader:
            given: list[str] = reader.schema.names
    except pa.ArrowInvalid as error:
        raise UnreadableFileError(
            "The file has no readable header line.", hint="Begin with the names of the columns."
        ) from error
    return _names(given), given


def _names(given: list[str]) -> list[str]:
    """Return usable names: an empty one gets its place, two alike (in any case) are refused."""
    names = [name.strip() or f"column_{place}" for place, name in enumerate(given, start=1)]
    seen = [name.casefold() for name in names]
    double = next((name for name in names if seen.count(name.casefold()) > 1), None)
    if double is None and not any(name.startswith("_") for name in names):
        return names
    wrong = double or next(name for name in names if name.startswith("_"))
    raise UnreadableFileError(
        f"The column name {wrong[:64]!r} stands twice or begins with an underscore.",
        hint="Rename the column; capitals make no difference, and _names are ours.",
        column=wrong[:64],
    )


def _parsing(delimiter: str, keep: Any) -> pyarrow.csv.ParseOptions:
    return pyarrow.csv.ParseOptions(
        delimiter=delimiter, newlines_in_values=True, invalid_row_handler=keep
    )


def _refuse_binary(data: bytes) -> None:
    if data.startswith(_UTF16) or b"\0" in data[:65_536] or data.startswith(_ZIP):
        raise UnreadableFileError(
            "This is neither CSV text in UTF-8 nor Parquet.",
            hint="Unpack archives other than gzip, and save text as UTF-8.",
        )
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UnreadableFileError(
            f"Line {line} holds bytes that are not UTF-8.",
            hint="Save the file as UTF-8 (it may be Latin-1 or Windows-1252).",
            line=line,
        ) from error
