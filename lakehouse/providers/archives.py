"""Packed bytes as streams: gzip, zstd and the members of a zip, within limits that stop a bomb."""

from __future__ import annotations

import gzip
import hashlib
import io
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import PurePosixPath
from typing import Any, BinaryIO, Protocol, cast

import pyarrow as pa

from lakehouse.errors import UnreadableFileError
from lakehouse.providers.paths import File

MOST_BYTES = 64 << 30
"""Of a file or of all members of an archive, unpacked."""
FREE, RATIO = 64 << 20, 200
"""Beyond ``FREE`` bytes what is unpacked may be so many times as large as what was packed.

Text of prices packs 4 to 30 times smaller; deflate reaches 1,032 on nothing but repetition.
"""
MOST_COPIED = 4 << 30
"""Of a packed file that must be unpacked to disk to be read: Parquet."""
MOST_MEMBERS = 100_000
BLOCK = 1 << 20
GZIP, ZSTD, ZIP = b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"PK\x03\x04"
_EMPTY_ZIP = b"PK\x05\x06"
_LOCAL_HEADER = struct.Struct("<26xHH")
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_BROKEN = (OSError, EOFError, zlib.error, zipfile.BadZipFile, NotImplementedError)


class Source(Protocol):
    """Bytes with a name that can be opened any number of times."""

    @property
    def name(self) -> str:
        """Return its place below what was asked for."""

    @property
    def size(self) -> int:
        """Return the bytes as they are stored."""

    def open(self) -> BinaryIO:
        """Open for reading from the start."""


@dataclass(frozen=True, slots=True)
class Member:
    """A file inside a zip."""

    archive: File
    info: zipfile.ZipInfo

    @property
    def name(self) -> str:
        """Return the archive's name and the member's."""
        return f"{self.archive.name}/{self.info.filename}"

    @property
    def size(self) -> int:
        """Return the packed size."""
        return self.info.compress_size

    def open(self) -> BinaryIO:
        """Open for reading the unpacked bytes; the central directory is not read again."""
        handle = self.archive.open()
        handle.seek(self.info.header_offset)
        header = handle.read(_LOCAL_HEADER.size)
        if len(header) < _LOCAL_HEADER.size or not header.startswith(ZIP):
            handle.close()
            raise _cut_off(self.name)
        handle.seek(sum(_LOCAL_HEADER.unpack(header)), io.SEEK_CUR)
        stream = zipfile.ZipExtFile(
            cast("Any", handle), "r", self.info, pwd=None, close_fileobj=True
        )
        return _limited(cast("BinaryIO", stream), self.name, self.size)


def is_zip(file: File) -> bool:
    """Tell whether a file begins like a zip archive."""
    with file.open() as stream:
        return stream.read(4) in (ZIP, _EMPTY_ZIP)


def members(archive: File) -> list[Member]:
    """Return the files in a zip, sorted by name; what unpacks to too much is refused unopened."""
    try:
        with archive.open() as stream, zipfile.ZipFile(stream) as opened:
            listed = opened.infolist()
    except _BROKEN as error:
        raise _cut_off(archive.name) from error
    infos = [info for info in listed if not info.is_dir()]
    _refuse_trick(archive, infos)
    infos = [info for info in infos if not _litter(info.filename)]
    return [Member(archive, info) for info in sorted(infos, key=lambda info: info.filename)]


def digest(source: Source) -> str:
    """Return the SHA-256 of the bytes of a file as stored, of a member unpacked."""
    hashed = hashlib.sha256()
    with source.open() as stream:
        while block := stream.read(BLOCK):
            hashed.update(block)
    return hashed.hexdigest()


def digests(sources: Iterable[Source]) -> str:
    """Return the SHA-256 of the names and hashes of several, in their order."""
    hashed = hashlib.sha256()
    for source in sources:
        hashed.update(f"{source.name}\t{digest(source)}\n".encode())
    return hashed.hexdigest()


@contextmanager
def unpacked(source: Source) -> Iterator[io.BufferedReader]:
    """Yield the bytes of a source, unpacked where it is gzip or zstd.

    An archive inside an archive and what unpacks beyond the limits raise ``unreadable_file``.
    """
    with io.BufferedReader(cast("Any", source.open()), BLOCK) as raw:
        head = raw.peek(4)[:4]
        if head.startswith(ZIP) or (isinstance(source, Member) and _packed(head)):
            raise _nested(source.name)
        if not _packed(head):
            yield raw
            return
        inner = gzip.GzipFile(fileobj=raw) if head.startswith(GZIP) else _zstd(raw)
        limited = _limited(cast("Any", inner), source.name, source.size)
        with io.BufferedReader(cast("Any", limited), BLOCK) as stream:
            if _packed(stream.peek(4)[:4]):
                raise _nested(source.name)
            yield stream


@contextmanager
def seekable(source: Source) -> Iterator[BinaryIO]:
    """Yield the unpacked bytes of a source in a file that can be read from anywhere."""
    with unpacked(source) as stream:
        if isinstance(source, File) and not _packed(stream.peek(4)[:4]) and stream.seekable():
            yield stream
            return
        with tempfile.TemporaryFile() as copy:
            while block := stream.read(BLOCK):
                copy.write(block)
                if copy.tell() > MOST_COPIED:
                    raise UnreadableFileError(
                        f"{source.name[:128]!r} holds a Parquet file of more than "
                        f"{MOST_COPIED >> 30} GB.",
                        hint="Unpack it: Parquet is compressed already.",
                        most_bytes=MOST_COPIED,
                    )
            copy.seek(0)
            yield cast("BinaryIO", copy)


class _Limited(io.RawIOBase):
    """A stream that stops with ``unreadable_file`` where it is broken or grows like a bomb."""

    def __init__(self, inner: BinaryIO, name: str, packed: int) -> None:
        self._inner, self._name = inner, name
        self._most = min(MOST_BYTES, FREE + RATIO * packed)
        self._count = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            data = self._inner.read(min(len(buffer), BLOCK))
        except _BROKEN as error:
            raise _cut_off(self._name) from error
        self._count += len(data)
        if self._count > self._most:
            raise _bomb(self._name, self._most)
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self._inner.close()
        super().close()


def _limited(inner: BinaryIO, name: str, packed: int) -> BinaryIO:
    return cast("BinaryIO", _Limited(inner, name, packed))


def _zstd(raw: io.BufferedReader) -> Any:
    return pa.CompressedInputStream(pa.PythonFile(raw, mode="r"), "zstd")


def _packed(head: bytes) -> bool:
    return head.startswith((GZIP, ZSTD, ZIP))


def _litter(name: str) -> bool:
    return any(part.startswith(".") or part == "__MACOSX" for part in PurePosixPath(name).parts)


def _refuse_trick(archive: File, infos: list[zipfile.ZipInfo]) -> None:
    names = [info.filename for info in infos]
    if len(infos) > MOST_MEMBERS:
        raise _refused(archive, f"more than {MOST_MEMBERS:,} members")
    if len(set(names)) < len(names):
        raise _refused(archive, "two members of the same name")
    if any(name.startswith("/") or ".." in PurePosixPath(name).parts for name in names):
        raise _refused(archive, "a member whose name leads out of it")
    if any(info.flag_bits & 1 for info in infos):
        raise _refused(archive, "an encrypted member")
    if any(info.compress_type not in _METHODS for info in infos):
        raise _refused(archive, "a member packed by another method than deflate")
    placed = sorted(infos, key=lambda info: info.header_offset)
    if any(a.header_offset + a.compress_size >= b.header_offset for a, b in pairwise(placed)):
        raise _refused(archive, "members that overlap")
    most = min(MOST_BYTES, FREE + RATIO * archive.size)
    if sum(info.file_size for info in infos) > most:
        raise _bomb(archive.name, most)


def _refused(archive: File, what: str) -> UnreadableFileError:
    return UnreadableFileError(
        f"The archive {archive.name[:128]!r} has {what}.",
        hint="Pack it again with deflate and without a password, or ingest the files themselves.",
    )


def _bomb(name: str, most: int) -> UnreadableFileError:
    return UnreadableFileError(
        f"{name[:128]!r} unpacks to more than {most:,} bytes.",
        hint=f"That is {RATIO} times its size or more than {MOST_BYTES >> 30} GB: unpack it "
        "yourself and look at it.",
        most_bytes=most,
    )


def _nested(name: str) -> UnreadableFileError:
    return UnreadableFileError(
        f"{name[:128]!r} is an archive inside an archive.",
        hint="Pack once: unpack the outer one and ingest what is in it.",
    )


def _cut_off(name: str) -> UnreadableFileError:
    return UnreadableFileError(
        f"The archive {name[:128]!r} is cut off or broken.", hint="Copy or download it again."
    )
