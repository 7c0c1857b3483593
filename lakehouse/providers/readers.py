"""A source of bytes as a stream of rows, whatever its format: sniffed, never told by its name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Protocol

import pyarrow as pa

from lakehouse.errors import UnreadableFileError
from lakehouse.providers.archives import Source, seekable, unpacked
from lakehouse.providers.base import Batch
from lakehouse.providers.columnar import MAGIC, columnar
from lakehouse.providers.delimited import delimited, no_rows, refuse_binary
from lakehouse.providers.jsonlines import json_lines
from topology.frames import Progress

EMPTY = "empty_files"
"""The code of the warning that names files without rows."""
_HEAD = 65_536
_SHOWN = 20
_MARK = b"\xef\xbb\xbf"


class Rows(Protocol):
    """Rows of one source, of one schema; ``batches`` opens it anew each time."""

    @property
    def schema(self) -> pa.Schema:
        """Return the columns of every batch."""

    def batches(self) -> Iterator[Batch]:
        """Yield the rows from the first."""


def reader(source: Source) -> Rows:
    """Return the reader of CSV, Parquet or JSON lines, packed or not.

    Looks at the beginning (of Parquet at the end, of JSON lines at all keys). Raises
    ``unreadable_file`` or ``empty_append`` with what is wrong and where.
    """
    with unpacked(source) as stream:
        head = stream.read(_HEAD)
    if head.startswith(MAGIC):
        return columnar(partial(seekable, source))
    refuse_binary(head)
    text = head.removeprefix(_MARK).lstrip()
    if text.startswith(b"["):
        raise UnreadableFileError(
            "This is one JSON array, not JSON lines.", hint="Write one object a line."
        )
    if text.startswith(b"{"):
        return json_lines(partial(unpacked, source))
    return delimited(partial(unpacked, source))


def check(rows: Rows) -> int:
    """Read everything once and return how many rows there are.

    What cannot be read to its end raises here, before anything was written.
    """
    count = lines = 0
    for batch in rows.batches():
        count += batch.rows.num_rows
        lines += len(batch.broken)
    if not count + lines:
        raise no_rows()
    return count


def tell_empty(progress: Progress | None, names: Sequence[str]) -> None:
    """Warn of files that hold no rows and were left out."""
    if names and progress is not None:
        said = f"{len(names)} files hold no rows."
        progress.emit("warning", said, code=EMPTY, files=list(names[:_SHOWN]))
