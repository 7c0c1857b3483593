"""CSV as a stream of rows, every value the text that stands in the file, in bounded memory."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import islice
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.csv

from lakehouse.errors import EmptyAppendError, UnreadableFileError
from lakehouse.providers.base import Batch, Broken

BLOCK = 1 << 20
"""Bytes that are parsed at a time, so the longest line; memory is a few times as much."""
MOST_COLUMNS = 1_024
MOST_BROKEN = 100_000
"""Lines with other columns than the header, kept one by one; more of them are no table."""
MOST_ROWS = 100_000
"""Of one batch."""
SHOWN = 200
"""Characters of a broken line that are kept."""
_DELIMITERS = ",;\t|"
_BLANK = re.compile(r"(?:[ \t]*\r?\n)+")
_MARK, _UTF16 = b"\xef\xbb\xbf", (b"\xff\xfe", b"\xfe\xff")

Opener = Callable[[], AbstractContextManager[BinaryIO]]


@dataclass(frozen=True, slots=True)
class Delimited:
    """Rows of delimited text; with ``header`` a line names them, after ``blank`` empty ones."""

    opener: Opener
    schema: pa.Schema
    delimiter: str
    header: bool = True
    blank: int = 0

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
            except pa.ArrowInvalid as error:
                raise _problem(error) from error
            text.end()
        if broken:
            yield Batch(pa.RecordBatch.from_pylist([], self.schema), tuple(broken))

    def _reader(self, text: _Text, broken: list[Broken]) -> pyarrow.csv.CSVStreamingReader:
        return pyarrow.csv.open_csv(
            pa.PythonFile(text, mode="r"),
            read_options=pyarrow.csv.ReadOptions(
                use_threads=False,
                block_size=BLOCK,
                column_names=self.schema.names,
                skip_rows=self.blank,
                skip_rows_after_names=int(self.header),
            ),
            parse_options=pyarrow.csv.ParseOptions(
                delimiter=self.delimiter,
                newlines_in_values=True,
                invalid_row_handler=self._keep(broken),
            ),
            convert_options=pyarrow.csv.ConvertOptions(
                column_types=self.schema, strings_can_be_null=False, check_utf8=False
            ),
        )

    def _keep(self, broken: list[Broken]) -> Callable[[Any], str]:
        before = self.blank + int(self.header)
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


def delimited(opener: Opener, names: list[str] | None = None) -> Delimited:
    """Return the reader of a CSV; ``names`` are the columns of one that has no header line.

    Looks at the beginning alone: delimiter, columns, encoding. A file without a byte or with
    nothing but a header raises ``empty_append``.
    """
    with opener() as stream:
        data = stream.read(BLOCK)
    head = data if len(data) < BLOCK else data[: data.rfind(b"\n") + 1] or data
    refuse_binary(head)
    _refuse_web_page(head)
    if not head.removeprefix(_MARK).strip():
        raise EmptyAppendError("The file is empty.", hint="Export it again: it has no bytes.")
    if names is not None:
        return Delimited(opener, _texts(names), ",", header=False)
    blank, delimiter, given = _sniffed(head)
    if len(data) < BLOCK and not re.search(rb"[\r\n]", head.strip()):
        raise no_rows()
    return Delimited(opener, _texts(usable(given)), delimiter, blank=blank)


def no_rows() -> EmptyAppendError:
    """Return the error of a file with columns and nothing else."""
    return EmptyAppendError(
        "The file has a header but no rows.", hint="Ingest it when it has some."
    )


def _refuse_web_page(head: bytes) -> None:
    if head.removeprefix(_MARK).lstrip()[:9].lower().startswith((b"<!doctype", b"<html")):
        raise UnreadableFileError(
            "This is a web page, not data.",
            hint="A login page or an error was saved in its place: fetch the file again.",
        )


def refuse_binary(head: bytes) -> None:
    """Raise ``unreadable_file`` for what is no text in UTF-8."""
    if head.startswith(_UTF16) or b"\0" in head:
        raise UnreadableFileError(
            "This is neither CSV text in UTF-8 nor Parquet nor JSON lines.",
            hint="Save text as UTF-8; of archives gzip, zstd and zip are unpacked.",
        )


def usable(given: list[str]) -> list[str]:
    """Return usable names: an empty one gets its place, two that mean the same are refused."""
    if len(given) > MOST_COLUMNS:
        raise UnreadableFileError(
            f"The file has {len(given):,} columns; a table may have {MOST_COLUMNS:,}.",
            hint="One row per bar: turn a column per symbol into rows first.",
            columns=len(given),
        )
    names = [name.strip() or f"column_{place}" for place, name in enumerate(given, start=1)]
    counts = Counter(_plain(name) for name in names)
    double = next((name for name in names if counts[_plain(name)] > 1), None)
    if double is None and not any(name.startswith("_") for name in names):
        return names
    wrong = double or next(name for name in names if name.startswith("_"))
    raise UnreadableFileError(
        f"The column name {wrong[:64]!r} stands twice or begins with an underscore.",
        hint="Rename the column; capitals, spaces and underscores make no difference, and _names "
        "are ours.",
        column=wrong[:64],
    )


def _plain(name: str) -> str:
    return name.casefold().replace(" ", "").replace("_", "")


class _Text:
    """A file of text as pyarrow reads it, that sees to its encoding and its quotes."""

    closed = False

    def __init__(self, inner: BinaryIO) -> None:
        self._inner = inner
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._lines, self._quotes = 1, 0

    def read(self, size: int = -1) -> bytes:
        data = self._inner.read(size)
        self._decode(data, final=len(data) < size)
        self._lines += data.count(b"\n")
        self._quotes += data.count(b'"')
        return data

    def end(self) -> None:
        """Say that all was read: half a pair of quotes is an error."""
        if self._quotes % 2:
            raise UnreadableFileError(
                "A quote is opened and never closed.",
                hint='Look for a single " in the file: everything after it is one value.',
            )

    def close(self) -> None:
        """The stream belongs to who opened it."""

    def _decode(self, data: bytes, *, final: bool) -> None:
        try:
            self._decoder.decode(data, final)
        except UnicodeDecodeError as error:
            raise _no_utf8(self._lines + error.object[: error.start].count(b"\n")) from error


def _no_utf8(line: int) -> UnreadableFileError:
    return UnreadableFileError(
        f"Line {line} holds bytes that are not UTF-8.",
        hint="Save the file as UTF-8 (it may be Latin-1 or Windows-1252).",
        line=line,
    )


def _problem(error: pa.ArrowInvalid) -> UnreadableFileError:
    if "straddling" in str(error):
        return UnreadableFileError(
            f"A line is longer than {BLOCK >> 20} MB.",
            hint='Look for a " that is opened and never closed.',
        )
    return UnreadableFileError(
        "The text cannot be read as CSV.",
        hint="Look for an open quote; one header line, then one line per bar.",
    )


def _sniffed(head: bytes) -> tuple[int, str, list[str]]:
    """Return how many lines before the header are empty, the delimiter and the columns.

    The delimiter splits the header and the line after it into as many values, and into most.
    """
    try:
        text = head.removeprefix(_MARK).decode("utf-8")
    except UnicodeDecodeError as error:
        if b"\n" not in head[: error.start].strip():
            raise _no_utf8(1) from error
        text = head[: error.start].decode("utf-8")
    empty = _BLANK.match(text)
    blank = empty[0].count("\n") if empty else 0
    text = text[empty.end() if empty else 0 :]
    header = text.partition("\n")[0]
    most = max(_DELIMITERS, key=header.count)
    if header.count(most) >= MOST_COLUMNS:
        return blank, most, [""] * (header.count(most) + 1)
    rows = {delimiter: _first_two(text, delimiter) for delimiter in _DELIMITERS}

    def fit(delimiter: str) -> tuple[bool, int]:
        header, first = rows[delimiter]
        return len(header) == len(first) > 1, len(header)

    best = max(_DELIMITERS, key=fit)
    return blank, best, rows[best][0]


def _first_two(text: str, delimiter: str) -> tuple[list[str], list[str]]:
    """Return the values of the first two lines, as the CSV of RFC 4180 means them."""
    try:
        read = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
        rows = list(islice((row for row in read if row), 2))
    except csv.Error:
        rows = []
    header, first = (*rows, [], [])[:2]
    return header, first


def _texts(names: list[str]) -> pa.Schema:
    return pa.schema([pa.field(name, pa.string()) for name in names])


def _sliced(rows: pa.RecordBatch, schema: pa.Schema, broken: list[Broken]) -> Iterator[Batch]:
    named = pa.RecordBatch.from_arrays(rows.columns, schema=schema)
    for start in range(0, max(named.num_rows, 1), MOST_ROWS):
        yield Batch(named.slice(start, MOST_ROWS), tuple(broken) if start == 0 else ())
