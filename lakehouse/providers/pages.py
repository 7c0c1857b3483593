"""An answer of an endpoint as rows: JSON of three layouts or CSV, every value the text it was."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from lakehouse.errors import EmptyAppendError, UnreadableFileError
from lakehouse.providers.base import Batch
from lakehouse.providers.delimited import delimited, usable
from lakehouse.providers.patience import UnusableError
from lakehouse.providers.wire import Answer
from topology.errors import did_you_mean
from topology.redact import redact
from topology.sources import HttpSource

EXCERPT = 120
_MOST_ROWS = 100_000


@dataclass(frozen=True, slots=True)
class Page:
    """The rows of one answer in batches, how many there are, and what stands around them."""

    schema: pa.Schema
    batches: tuple[Batch, ...]
    around: Any = None

    @property
    def rows(self) -> int:
        """Return how many rows there are, lines that are none included."""
        return sum(batch.rows.num_rows + len(batch.broken) for batch in self.batches)


def read(answer: Answer, source: HttpSource) -> Page:
    """Return the page of an answer; what is not as the topology says raises `UnusableError`."""
    if not answer.body.strip():
        return Page(pa.schema([]), ())
    refuse_html(answer)
    if source.format == "csv":
        return _csv(answer)
    return of_json(answer.body, source)


def of_json(body: bytes, source: HttpSource) -> Page:
    """Return the rows at ``source.rows``: objects, lists, or an object of lists."""
    try:
        around = json.loads(body, parse_float=str, parse_int=str, parse_constant=str)
    except (ValueError, RecursionError) as error:
        raise UnusableError("content", f"it is not JSON: {excerpt(body)!r}.", again=True) from error
    columns = _columns(_found(around, source.rows), source.rows)
    try:
        names = usable(list(columns))
    except UnreadableFileError as error:
        raise UnusableError("content", error.message, again=False) from error
    arrays = [pa.array(map(_text, values), pa.string()) for values in columns.values()]
    schema = pa.schema([pa.field(name, pa.string()) for name in names])
    whole = pa.RecordBatch.from_arrays(arrays, schema=schema)
    starts = range(0, whole.num_rows, _MOST_ROWS)
    return Page(schema, tuple(Batch(whole.slice(at, _MOST_ROWS)) for at in starts), around)


def at(around: Any, path: str) -> Any:
    """Return what stands at a dotted path, None where nothing does."""
    for part in path.split(".") if path else ():
        if isinstance(around, list) and part.isdigit() and int(part) < len(around):
            around = around[int(part)]
        else:
            around = around.get(part) if isinstance(around, dict) else None
    return around


def excerpt(body: bytes) -> str:
    """Return the beginning of a body as printable text without what looks like a secret."""
    text = " ".join(body[: 4 * EXCERPT].decode("utf-8", "replace").split())
    plain = "".join(letter if letter.isprintable() else "?" for letter in text)
    return redact(plain)[:EXCERPT]


def refuse_html(answer: Answer) -> None:
    """Raise `UnusableError` for a web page: a sign-in, a block, a notice of maintenance."""
    head = answer.body.lstrip()[:16].lower()
    kind = answer.headers.get("content-type", "")
    if head.startswith((b"<!doctype", b"<html")) or kind.startswith("text/html"):
        raise UnusableError(
            "html",
            f"it answered with a web page: {excerpt(answer.body)!r}.",
            again=True,
            status=answer.status,
        )


def _found(around: Any, path: str) -> Any:
    found = at(around, path)
    if found is None and path:
        keys = sorted(around)[:20] if isinstance(around, dict) else []
        hint = did_you_mean(path, keys) if keys else ""
        text = json.dumps(around, default=str).encode()
        raise UnusableError(
            "content", f"it has nothing at {path!r}. {hint} It is {excerpt(text)!r}.", again=False
        )
    return found


def _columns(rows: Any, path: str) -> dict[str, list[Any]]:
    """Return the columns, in the order of their first appearance; what a row lacks is null."""
    if isinstance(rows, dict):
        lists = {name: values for name, values in rows.items() if isinstance(values, list)}
        if len({len(values) for values in lists.values()}) == 1:
            return lists
    if not isinstance(rows, list):
        raise _odd(path, "no list of rows")
    if all(isinstance(row, dict) for row in rows):
        names = dict.fromkeys(name for row in rows for name in row)
        return {name: [row.get(name) for row in rows] for name in names}
    if all(isinstance(row, list) for row in rows):
        width = max(map(len, rows))
        return {
            str(place): [row[place] if place < len(row) else None for row in rows]
            for place in range(width)
        }
    raise _odd(path, "rows that are neither objects nor lists")


def _odd(path: str, what: str) -> UnusableError:
    place = f"at {path!r}" if path else "at the top"
    return UnusableError("content", f"it has {what} {place}.", again=False)


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value)


def _csv(answer: Answer) -> Page:
    if not answer.framed and not answer.body.endswith(b"\n"):
        raise UnusableError("truncated", "its last line has no end.", again=True)
    try:
        table = delimited(lambda: nullcontext(io.BytesIO(answer.body)))
        batches = tuple(_filled(table.batches()))
    except EmptyAppendError:
        return Page(pa.schema([]), ())
    except UnreadableFileError as error:
        sentence = f"{error.message} It is {excerpt(answer.body)!r}."
        raise UnusableError("content", sentence, again=False) from error
    return Page(table.schema, batches)


def _filled(batches: Iterator[Batch]) -> Iterator[Batch]:
    return (batch for batch in batches if batch.rows.num_rows or batch.broken)
