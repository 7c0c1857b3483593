"""Provider ``files``: CSV, Parquet and JSON lines below an allowed folder, packed or not."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from lakehouse.errors import EmptyAppendError, SchemaMismatchError, UnreadableFileError
from lakehouse.providers import paths, readers
from lakehouse.providers.archives import Member, Source, digest, digests, is_zip, members
from lakehouse.providers.base import Fact, Payload, Reading, Request
from lakehouse.providers.paths import File
from lakehouse.providers.readers import Rows
from topology.errors import MissingError

NAMESPACE = "alphaswarm_bronze_files"
SUFFIXES = (".csv", ".tsv", ".psv", ".parquet", ".pq", ".jsonl", ".ndjson")
PACKED = (".gz", ".zst")
OTHERWISE = (".txt", ".dat", ".data")
"""Taken from a folder or an archive that holds no file with one of `SUFFIXES`."""
SYMBOL = "vt_symbol"
_PREFIX = "files:"
_SHAPE_DIGITS = 12
_SHOWN = 20

S = TypeVar("S", bound=File | Member)


class Files:
    """Brings in a file, a folder or a glob; each file and archive member is a payload.

    Rows go to the bronze table of all files with the same columns. In a folder the columns of all
    files must agree; files without rows are left out with a warning.
    """

    def __init__(self) -> None:
        self._reading = Reading()

    def fetch(self, request: Request) -> Iterator[Payload]:
        """Yield the payloads by name; what cannot be read raises before the first."""
        self._reading = request.reading
        sources = _sources(request.path or "", request.allowed)
        opened, empty = _opened(sources)
        _refuse_drift(opened)
        for source, rows in opened:
            payload = self._payload(source, rows)
            try:
                if not request.known(payload.sha256):
                    readers.check(rows)
            except EmptyAppendError:
                if len(sources) == 1:
                    raise
                empty.append(source.name)
                continue
            except UnreadableFileError as error:
                raise _placed(error, source) from error
            yield payload
        if len(empty) == len(sources):
            raise EmptyAppendError("All files are empty.", hint="Export them again.")
        readers.tell_empty(request.progress, empty)

    def fingerprint(self, request: Request) -> str:
        """Return the SHA-256 of one file's bytes, or of the names and hashes of several."""
        files = paths.found(request.path or "", request.allowed)
        alone = len(files) == 1 and "/" not in files[0].name
        return digest(files[0]) if alone else digests(files)

    def reading(self, request: Request) -> Reading:
        """Return the reading of the spec."""
        return request.reading

    def rows(self, rows: pa.Table) -> pa.Table:
        """Return the rows with the symbol of the file's name, or the reading's exchange."""
        if self._reading.vt_symbol_from == "file":
            rows = _from_files(rows)
        if self._reading.exchange is None:
            return rows
        column = SYMBOL
        if self._reading.vt_symbol_from == "column":
            column = self._reading.columns.get(SYMBOL, SYMBOL)
        return _listed(rows, column, self._reading.exchange)

    def facts(self, request: Request) -> Mapping[Fact, pa.Table]:
        """Return nothing: a file of bars says nothing about splits and dividends."""
        return {}

    def _payload(self, source: Source, rows: Rows) -> Payload:
        sha256 = digest(source)
        if self._reading.vt_symbol_from == "file":  # the same bytes under two names are two
            sha256 = hashlib.sha256(f"{sha256}\n{symbol_of(source.name)}".encode()).hexdigest()
        return Payload(
            table=f"{NAMESPACE}.shape_{_shape(rows.schema)}",
            sha256=sha256,
            source=f"{_PREFIX}{source.name}",
            schema=rows.schema,
            opened=rows.batches,
        )


def symbol_of(name: str) -> str:
    """Return the symbol that a file's name is: without folders and suffixes, in capitals."""
    stem = PurePosixPath(name).name
    for suffix in (*PACKED, *SUFFIXES, *OTHERWISE):
        stem = stem[: -len(suffix)] if stem.lower().endswith(suffix) else stem
    return stem.upper()


def _sources(path: str, allowed: Sequence[Path]) -> list[Source]:
    """Return the files that the path names and the members of its archives, by name."""
    found = paths.found(path, allowed)
    if len(found) > 1 or "/" in found[0].name:
        named = not paths.split(path, allowed)[1]
        found = _data(found) if named else found
    sources: list[Source] = []
    for file in found:
        sources += _data(members(file)) if is_zip(file) else [file]
    if not sources:
        raise MissingError(
            "There are no data files in it.",
            hint=f"Looked for {', '.join(SUFFIXES)}, packed by gzip, zstd or zip; a glob such as "
            "'eod/*.dat' takes any name.",
        )
    return sorted(sources, key=lambda source: source.name)


def _data(found: Sequence[S]) -> list[S]:
    """Return what looks like data by its name; an archive does."""
    for known in (SUFFIXES, OTHERWISE):
        ends = (*known, *(suffix + packed for suffix in known for packed in PACKED), ".zip")
        chosen = [one for one in found if one.name.lower().endswith(ends)]
        if chosen:
            return chosen
    return []


def _opened(sources: Sequence[Source]) -> tuple[list[tuple[Source, Rows]], list[str]]:
    """Return the readers of all sources, and the names of those that are empty."""
    opened: list[tuple[Source, Rows]] = []
    empty: list[str] = []
    for source in sources:
        try:
            opened.append((source, readers.reader(source)))
        except EmptyAppendError:
            if len(sources) == 1:
                raise
            empty.append(source.name)
        except UnreadableFileError as error:
            raise _placed(error, source) from error
    return opened, empty


def _placed(error: UnreadableFileError, source: Source) -> UnreadableFileError:
    """Return the error with the name of the file that it is about."""
    return UnreadableFileError(
        error.message, hint=error.hint, **{"file": source.name[:256], **error.facts}
    )


def _refuse_drift(opened: Sequence[tuple[Source, Rows]]) -> None:
    """Raise ``schema_mismatch`` where a file has other columns than the first one."""
    if not opened:
        return
    first, wanted = opened[0][0], opened[0][1].schema
    drifted = {
        source.name[:256]: _drift(wanted, rows.schema)
        for source, rows in opened
        if rows.schema != wanted
    }
    if drifted:
        name, drift = next(iter(drifted.items()))
        said = "; ".join(f"{what} {', '.join(map(repr, found))}" for what, found in drift.items())
        raise SchemaMismatchError(
            f"{len(drifted)} of {len(opened)} files have other columns than "
            f"{first.name[:128]!r}; {name[:128]!r}: {said}.",
            hint="Bring each kind of file in by itself: put it in a folder of its own or name it "
            "by a glob.",
            columns=wanted.names[:_SHOWN],
            files=dict(list(drifted.items())[:_SHOWN]),
        )


def _drift(wanted: pa.Schema, found: pa.Schema) -> dict[str, list[str]]:
    """Return which columns are missing, new, of another type, or just elsewhere."""
    both = [name for name in wanted.names if name in found.names]
    kinds = [(name, wanted.field(name).type, found.field(name).type) for name in both]
    drift = {
        "missing": [name[:64] for name in wanted.names if name not in found.names],
        "new": [name[:64] for name in found.names if name not in wanted.names],
        "of another type": [f"{n[:64]} ({b}, not {a})" for n, a, b in kinds if a != b],
    }
    drift = {what: names for what, names in drift.items() if names}
    return drift or {"in another order": [name[:64] for name in found.names]}


def _from_files(rows: pa.Table) -> pa.Table:
    """Return the rows with the column ``vt_symbol`` made from ``_source``."""
    sources = rows.column("_source").combine_chunks().dictionary_encode()
    names = pa.array([symbol_of(name) for name in sources.dictionary.to_pylist()], pa.string())
    symbols = names.take(sources.indices)
    if SYMBOL in rows.schema.names:
        return rows.set_column(rows.schema.get_field_index(SYMBOL), SYMBOL, symbols)
    return rows.append_column(SYMBOL, symbols)


def _listed(rows: pa.Table, column: str, exchange: str) -> pa.Table:
    """Return the rows with the exchange behind each ticker."""
    if column not in rows.schema.names:
        return rows  # whoever cleans the rows says that it is missing
    tickers = pc.utf8_trim_whitespace(rows.column(column).cast(pa.string()))
    symbols = pc.binary_join_element_wise(tickers, exchange, ".")
    return rows.set_column(rows.schema.get_field_index(column), column, symbols)


def _shape(schema: pa.Schema) -> str:
    text = "\n".join(f"{field.name}\t{field.type}" for field in schema)
    return hashlib.sha256(text.encode()).hexdigest()[:_SHAPE_DIGITS]
