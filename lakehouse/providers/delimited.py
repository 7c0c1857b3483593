"""CSV as a stream of rows, every value the text that stands in the file, in bounded memory."""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.csv

from lakehouse.errors import EmptyAppendError, UnreadableFileError
from lakehouse.providers.base import Batch, Broken

BLOCK = 4 << 20
"""Bytes that are parsed at a time, so the longest line; memory is a few times as much."""
MOST_COLUMNS = 1_024
MOST_BROKEN = 100_000
"""Lines with other columns than the header, kept one by one; more of them are no table."""
MOST_ROWS = 100_000
"""Of one batch."""
SHOWN = 200
"""Characters of a broken line that are kept."""
_DELIMITERS = ",;\t|"
_MARK, _UTF16 = b"\xef\xbb\xbf", (b"\xff\xfe", b"\xfe\xff")

Opener = Callable[[], AbstractContextManager[BinaryIO]]


@dataclass(frozen=True, slots=True)
class Delimited:
    """Rows of delimited text; with ``header`` its first line names the columns."""

    opener: Opener
    schema: pa.Schema
    delimiter: str
    header: bool = True

    def batches(self) -> Iterator[Batch]:
        """Yield the rows from the start; what is no CSV raises ``unreadable_file``."""
        broken: list[Broken] = []
        with self.opener() as raw:
            text = _Text(raw)
            try:
                with self._reader(text, broken) as reader:
                    for batch in reader:
                        yield from _sliced(batch, self.schema, broken)
                        broken.clear()
            except (pa.ArrowInvalid, UnicodeDecodeError) as error:
                raise self._problem(error) from error
            if text.quotes % 2:
                raise UnreadableFileError(
                    "A quote is opened and never closed.",
                    hint='Look for a single " in the file: everything after it is one value.',
                )
        if broken:
            yield Batch(pa.RecordBatch.from_pylist([], self.schema), tuple(broken))

    def _reader(self, text: _Text, broken: list[Broken]) -> pyarrow.csv.CSVStreamingReader:
        return pyarrow.csv.open_csv(
            pa.PythonFile(text, mode="r"),
            read_options=pyarrow.csv.ReadOptions(
                use_threads=False,
                block_size=BLOCK,
                column_names=None if self.header else self.schema.names,
            ),
            parse_options=_parsing(self.delimiter, self._keep(broken)),
            convert_options=_as_text(_given(self)),
        )

    def _keep(self, broken: list[Broken]) -> Callable[[Any], str]:
        before = 1 if self.header else 0
        count = 0

        def keep(row: Any) -> str:
            nonlocal count
            count += 1
            if count > MOST_BROKEN:
                return "error"
            detail = f"{row.actual_columns} values instead of {row.expected_columns}"
            broken.append(Broken(row.number - before, detail, (row.text or "")[:SHOWN]))
            return "skip"

        return keep

    def _problem(self, error: Exception) -> UnreadableFileError:
        line = _undecodable(self.opener)
        if line is not None:
            return UnreadableFileError(
                f"Line {line} holds bytes that are not UTF-8.",
                hint="Save the file as UTF-8 (it may be Latin-1 or Windows-1252).",
                line=line,
            )
        if "straddling" in str(error):
            return UnreadableFileError(
                f"A line is longer than {BLOCK >> 20} MB.",
                hint='Look for a " that is opened and never closed.',
            )
        return UnreadableFileError(
            "The text cannot be read as CSV.",
            hint="Look for an open quote; one header line, then one line per bar.",
        )


def delimited(opener: Opener, names: list[str] | None = None) -> Delimited:
    """Return the reader of a CSV; ``names`` are the columns of one that has no header line.

    Looks at the beginning alone: delimiter, columns, encoding. A file without a byte or with
    nothing but a header raises ``empty_append``.
    """
    with opener() as stream:
        head = _head(stream)
    refuse_binary(head)
    if not head.removeprefix(_MARK).strip():
        raise EmptyAppendError("The file is empty.", hint="Export it again: it has no bytes.")
    if names is not None:
        return Delimited(opener, _texts(names), ",", header=False)
    delimiter, given = _sniffed(head)
    if b"\n" not in head.strip() and b"\r" not in head.strip():
        raise no_rows()
    return Delimited(opener, _texts(usable(given)), delimiter)


def no_rows() -> EmptyAppendError:
    """Return the error of a file with columns and nothing else."""
    return EmptyAppendError(
        "The file has a header but no rows.", hint="Ingest it when it has some."
    )


def refuse_binary(head: bytes) -> None:
    """Raise ``unreadable_file`` for what is no text in UTF-8."""
    if head.startswith(_UTF16) or b"\0" in head:
        raise UnreadableFileError(
            "This is neither CSV text in UTF-8 nor Parquet nor JSON lines.",
            hint="Save text as UTF-8; of archives gzip, zstd and zip are unpacked.",
        )


def usable(given: list[str]) -> list[str]:
    """Return usable names: an empty one gets its place, two alike (in any case) are refused."""
    if len(given) > MOST_COLUMNS:
        raise UnreadableFileError(
            f"The file has {len(given):,} columns; a table may have {MOST_COLUMNS:,}.",
            hint="One row per bar: turn a column per symbol into rows first.",
            columns=len(given),
        )
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


class _Text:
    """A file of text that counts its quotes, as pyarrow reads it."""

    closed = False

    def __init__(self, inner: BinaryIO) -> None:
        self._inner = inner
        self.quotes = 0

    def read(self, size: int = -1) -> bytes:
        data = self._inner.read(size)
        self.quotes += data.count(b'"')
        return data

    def close(self) -> None:
        """The stream belongs to who opened it."""


def _head(stream: BinaryIO) -> bytes:
    data = stream.read(BLOCK)
    return data if len(data) < BLOCK else data[: data.rfind(b"\n") + 1] or data


def _sniffed(head: bytes) -> tuple[str, list[str]]:
    """Return the delimiter that splits the header into most columns, and the columns."""
    try:
        text = head.removeprefix(_MARK).decode("utf-8")
    except UnicodeDecodeError as error:
        line = head.count(b"\n", 0, error.start) + 1
        if line == 1:
            raise UnreadableFileError(
                "Line 1 holds bytes that are not UTF-8.",
                hint="Save the file as UTF-8 (it may be Latin-1 or Windows-1252).",
                line=1,
            ) from error
        text = head[: error.start].decode("utf-8")
    header = next((line for line in io.StringIO(text, newline=None) if line.strip()), "")
    most = max(_DELIMITERS, key=header.count)
    if header.count(most) >= MOST_COLUMNS:
        return most, [""] * (header.count(most) + 1)
    splits = {delimiter: _split(text, delimiter) for delimiter in _DELIMITERS}
    best = max(_DELIMITERS, key=lambda delimiter: len(splits[delimiter]))
    return best, splits[best]


def _split(text: str, delimiter: str) -> list[str]:
    """Return the values of the first line, as the CSV of RFC 4180 means them."""
    try:
        rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
        return next((row for row in rows if any(value.strip() for value in row)), [])
    except csv.Error:
        return []


def _given(table: Delimited) -> list[str]:
    """Return the columns as pyarrow will find them in the file."""
    if not table.header:
        return list(table.schema.names)
    with table.opener() as stream:
        head = _head(stream)
    with pyarrow.csv.open_csv(
        io.BytesIO(head),
        read_options=pyarrow.csv.ReadOptions(use_threads=False, block_size=max(BLOCK, len(head))),
        parse_options=_parsing(table.delimiter, lambda _: "skip"),
        convert_options=pyarrow.csv.ConvertOptions(strings_can_be_null=False),
    ) as reader:
        names = list(reader.schema.names)
    if len(names) != len(table.schema.names):
        raise UnreadableFileError(
            "The file has no readable header line.", hint="Begin with the names of the columns."
        )
    return names


def _parsing(delimiter: str, keep: Any) -> pyarrow.csv.ParseOptions:
    return pyarrow.csv.ParseOptions(
        delimiter=delimiter, newlines_in_values=True, invalid_row_handler=keep
    )


def _as_text(names: list[str]) -> pyarrow.csv.ConvertOptions:
    return pyarrow.csv.ConvertOptions(
        column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False
    )


def _texts(names: list[str]) -> pa.Schema:
    return pa.schema([pa.field(name, pa.string()) for name in names])


def _sliced(rows: pa.RecordBatch, schema: pa.Schema, broken: list[Broken]) -> Iterator[Batch]:
    named = pa.RecordBatch.from_arrays(rows.columns, schema=schema)
    for start in range(0, max(named.num_rows, 1), MOST_ROWS):
        yield Batch(named.slice(start, MOST_ROWS), tuple(broken) if start == 0 else ())


def _undecodable(opener: Opener) -> int | None:
    """Return the number of the first line that is not UTF-8, or None."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    lines = 1
    with opener() as stream:
        while block := stream.read(BLOCK):
            try:
                decoder.decode(block)
            except UnicodeDecodeError as error:
                return lines + bytes(error.object[: error.start]).count(b"\n")
            lines += block.count(b"\n")
        try:
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return lines
    return None
