"""JSON lines as a stream of rows: one object a line, every value the text that stands there."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, BinaryIO

import pyarrow as pa

from lakehouse.errors import UnreadableFileError
from lakehouse.providers.base import Batch, Broken
from lakehouse.providers.delimited import BLOCK, MOST_BROKEN, MOST_COLUMNS, SHOWN, usable

MOST_ROWS = 50_000
"""Of one batch."""

Opener = Callable[[], AbstractContextManager[BinaryIO]]
Record = dict[str, str | None]


@dataclass(frozen=True, slots=True)
class JsonLines:
    """Rows of JSON objects; a key that an object lacks is null."""

    opener: Opener
    schema: pa.Schema
    keys: tuple[str, ...]

    def batches(self) -> Iterator[Batch]:
        """Yield the rows from the start, lines that are no flat objects apart."""
        records: list[Record] = []
        broken: list[Broken] = []
        for record in _records(self.opener):
            if isinstance(record, Broken):
                broken.append(record)
            else:
                records.append(record)
            if len(records) == MOST_ROWS:
                yield self._batch(records, broken)
                records, broken = [], []
        if records or broken:
            yield self._batch(records, broken)

    def _batch(self, records: list[Record], broken: list[Broken]) -> Batch:
        columns = [pa.array([row.get(key) for row in records], pa.string()) for key in self.keys]
        return Batch(pa.RecordBatch.from_arrays(columns, schema=self.schema), tuple(broken))


def json_lines(opener: Opener) -> JsonLines:
    """Return the reader of a JSON lines file; its columns are all keys, in order of appearance."""
    keys: dict[str, None] = {}
    broken = 0
    for record in _records(opener):
        if isinstance(record, Broken):
            broken += 1
        else:
            keys.update(dict.fromkeys(record))
        if broken > MOST_BROKEN:
            raise UnreadableFileError(
                f"More than {MOST_BROKEN:,} lines are no JSON objects.",
                hint="Write one object with plain values a line.",
            )
        if len(keys) > MOST_COLUMNS:
            break
    names = usable(list(keys))
    return JsonLines(opener, pa.schema([pa.field(n, pa.string()) for n in names]), tuple(keys))


def _records(opener: Opener) -> Iterator[Record | Broken]:
    """Yield each line that is not blank as its record, or as a broken line counted from 1."""
    row = 0
    with opener() as stream:
        while line := stream.readline(BLOCK + 1):
            if len(line) > BLOCK:
                raise UnreadableFileError(
                    f"A line is longer than {BLOCK >> 20} MB.",
                    hint="Write one object a line; a JSON array is not JSON lines.",
                )
            if line.strip():
                row += 1
                yield _record(row, line)


def _record(row: int, line: bytes) -> Record | Broken:
    try:
        value = json.loads(
            line.decode("utf-8-sig"),
            parse_float=str,
            parse_int=str,
            parse_constant=str,
            object_pairs_hook=_flat,
        )
    except (ValueError, RecursionError) as error:
        return Broken(row, f"no JSON object of plain values: {str(error)[:SHOWN]}", _shown(line))
    if not isinstance(value, dict):
        return Broken(row, "no JSON object", _shown(line))
    return value


def _flat(pairs: list[tuple[str, Any]]) -> Record:
    """Return the object with its values as text; a key twice or a value inside a value raises."""
    record: Record = {}
    for key, value in pairs:
        if key in record:
            raise ValueError(f"the key {key[:64]!r} stands twice")
        if isinstance(value, dict | list):
            raise ValueError(f"the value of {key[:64]!r} is nested")  # noqa: TRY004 - as json's own
        record[key] = str(value).lower() if isinstance(value, bool) else value
    return record


def _shown(line: bytes) -> str:
    return line.decode("utf-8", "replace").strip()[:SHOWN]
