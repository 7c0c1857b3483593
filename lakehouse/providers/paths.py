"""Which files may be read: regular ones below allowed folders, wherever links lead."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import BinaryIO

from lakehouse.errors import PathNotAllowedError, UnreadableFileError
from topology.errors import MissingError

MOST_FILES = 1_000_000
"""Of one ingest; a larger folder is to be brought in by parts."""
_LONGEST_PATH, _LONGEST_NAME = 3_000, 255
"""Bytes of what may be asked for; Linux takes 4,095 together with the folder's own place."""


@dataclass(frozen=True, slots=True)
class File:
    """A regular file as it was found; ``name`` is its place below what was asked for."""

    name: str
    place: Path
    size: int
    changed_ns: int

    def open(self) -> BinaryIO:
        """Open for reading; a file that changed since it was found raises ``unreadable_file``."""
        handle = _opened(self.place)
        found = os.fstat(handle)
        same = (found.st_size, found.st_mtime_ns) == (self.size, self.changed_ns)
        if not same or os.path.realpath(self.place) != str(self.place):
            os.close(handle)
            raise UnreadableFileError(
                f"{self.name[:128]!r} changed while it was being read.",
                hint="Ingest it again once nobody writes to it.",
            )
        return os.fdopen(handle, "rb")


def resolved(path: str, folders: Sequence[Path]) -> Path:
    """Return where ``path`` leads, which is below one of ``folders``; it need not exist.

    A relative path starts at the first folder. A path that leads out of them, by ``..`` or by a
    link, raises ``path_not_allowed`` and does not tell whether anything is there.
    """
    if not _nameable(path):
        raise _outside()
    place = Path(os.path.realpath(folders[0] / path if folders else path))
    _refuse_outside(place, folders)
    return place


def found(path: str, folders: Sequence[Path]) -> list[File]:
    """Return the files that ``path`` names: one file, all below a folder, or those of a glob.

    Sorted by name. In a folder, names that begin with a dot are left out, a link out of the
    allowed folders raises ``path_not_allowed``, and a link to a folder is refused, not followed.
    Nothing there raises ``not_found``. In a glob ``**`` stands for any folders.
    """
    base, pattern = split(path, folders)
    if pattern:
        return below(resolved(f"{base}/x", folders).parent, pattern, folders)
    place = resolved(base, folders)
    return below(place, "**", folders) if place.is_dir() else [_file(place, place.name, folders)]


def below(place: Path, pattern: str, folders: Sequence[Path]) -> list[File]:
    """Return the files below the folder ``place`` whose names fit ``pattern``, sorted."""
    parts = pattern.split("/")
    wanted = [part for i, part in enumerate(parts) if part != "**" or parts[i - 1 : i] != ["**"]]
    names = sorted(name for name in _walked(place, wanted) if _fits(name.split("/"), wanted))
    if not names:
        raise MissingError(
            f"The folder {place.name[:128]!r} holds no files"
            + (f" that fit {pattern[:128]!r}." if pattern != "**" else "."),
            hint="Look at the names in it; in a glob '**' stands for any folders.",
        )
    return [_file(place / name, f"{place.name}/{name}", folders) for name in names]


def beside(place: Path, names: Sequence[str], folders: Sequence[Path]) -> File | None:
    """Return the first of ``names`` that is a file in the folder ``place``, or None."""
    for name in names:
        if os.path.lexists(place / name):
            return _file(place / name, name, folders)
    return None


def split(path: str, folders: Sequence[Path]) -> tuple[str, str]:
    """Return the folder and the pattern of a glob; of any other path itself and nothing."""
    parts = path.split("/")
    first = next((i for i, part in enumerate(parts) if set(part) & set("*?[")), None)
    if first is None or (folders and _nameable(path) and os.path.lexists(folders[0] / path)):
        return path, ""
    return "/".join(parts[:first]) or ("/" if path.startswith("/") else "."), "/".join(
        parts[first:]
    )


def _fits(name: Sequence[str], pattern: Sequence[str]) -> bool:
    """Tell whether a path fits; all ways to read each ``**`` are followed at once."""
    reached = _skipping({0}, pattern)
    for part in name:
        fitting = (i for i in reached if i < len(pattern) and fnmatchcase(part, pattern[i]))
        reached = _skipping({i + (pattern[i] != "**") for i in fitting}, pattern)
    return len(pattern) in reached


def _skipping(reached: set[int], pattern: Sequence[str]) -> set[int]:
    """Return these places of a pattern and those behind a ``**`` that stands for no folder."""
    return reached | {i + 1 for i in reached if pattern[i : i + 1] == ["**"]}


def _leads(folder: Sequence[str], pattern: Sequence[str]) -> bool:
    """Tell whether files below ``folder`` may fit the pattern."""
    for part, wanted in zip(folder, pattern, strict=False):
        if wanted == "**":
            return True
        if not fnmatchcase(part, wanted):
            return False
    return len(folder) < len(pattern)


def _walked(place: Path, pattern: Sequence[str]) -> Iterator[str]:
    """Yield the names of files below a folder, leaving out folders that cannot fit."""
    count = 0
    for folder, inner, files in os.walk(place):
        inside = Path(folder).relative_to(place)
        inner[:] = sorted(
            name
            for name in inner
            if not name.startswith(".") and _leads((*inside.parts, name), pattern)
        )
        link = next((name for name in inner if os.path.islink(os.path.join(folder, name))), None)
        if link is not None:
            raise UnreadableFileError(
                f"{link[:128]!r} is a link to a folder; such links are not followed.",
                hint="Name the folder that it leads to, or copy it.",
            )
        names = [name for name in files if not name.startswith(".")]
        count += len(names)
        if count > MOST_FILES:
            raise UnreadableFileError(
                f"There are more than {MOST_FILES:,} files.",
                hint="Bring the folder in by parts: name a folder in it, or a glob.",
            )
        yield from ((inside / name).as_posix() for name in names)


def _file(place: Path, name: str, folders: Sequence[Path]) -> File:
    real = Path(os.path.realpath(place))
    _refuse_outside(real, folders)
    handle = _opened(real)
    try:
        facts = os.fstat(handle)
    finally:
        os.close(handle)
    if not stat.S_ISREG(facts.st_mode):
        kind = "folder" if stat.S_ISDIR(facts.st_mode) else "device or pipe"
        raise UnreadableFileError(
            f"{place.name[:128]!r} is not a file but a {kind}.", hint="Name a file or a folder."
        )
    if os.path.realpath(real) != str(real):  # a folder became a link while we looked
        raise _outside()
    return File(name, real, facts.st_size, facts.st_mtime_ns)


def _refuse_outside(place: Path, folders: Sequence[Path]) -> None:
    roots = [Path(os.path.realpath(folder)) for folder in folders]
    if not any(place.is_relative_to(root) and place != root for root in roots):
        raise _outside()


def _nameable(path: str) -> bool:
    """Tell whether the file system could hold such a name at all."""
    try:
        written = os.fsencode(path)
    except UnicodeEncodeError:
        return False
    longest = max(map(len, written.split(b"/")))
    return b"\0" not in written and len(written) <= _LONGEST_PATH and longest <= _LONGEST_NAME


def _opened(place: Path) -> int:
    """Open without blocking, as a pipe would, and without following a link that is new."""
    try:
        return os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError as error:
        raise MissingError(
            f"There is no file {place.name[:128]!r} there.",
            hint="Copy it to the inbox, or name one of the files below the allowed folders.",
        ) from error
    except OSError as error:
        raise UnreadableFileError(
            f"{place.name[:128]!r} cannot be opened: {error.strerror}.",
            hint="Check that it is a file and that you may read it.",
        ) from error


def _outside() -> PathNotAllowedError:
    return PathNotAllowedError(
        "This path is not below a folder that may be read.",
        hint="Copy the file to the inbox, or list its folder in the topology: ingest.folders.",
    )
