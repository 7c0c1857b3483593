"""Which files may be read: regular ones below allowed folders, wherever links lead."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from lakehouse.errors import PathNotAllowedError
from lakehouse.providers.delimited import MOST_BYTES, UnreadableFileError
from topology.errors import MissingError


def read_allowed(path: str, folders: Sequence[Path]) -> tuple[str, bytes]:
    """Return the name and the bytes of a file below one of ``folders``.

    A relative path starts at the first folder. A path that leads out of them, by ``..`` or by a
    link, raises ``path_not_allowed`` and does not tell whether anything is there.
    """
    if not _nameable(path):
        raise _outside()
    place = Path(os.path.realpath(folders[0] / path if folders else path))
    roots = [Path(os.path.realpath(folder)) for folder in folders]
    if not any(place.is_relative_to(root) and place != root for root in roots):
        raise _outside()
    with _opened(place) as handle:
        mode = os.fstat(handle).st_mode
        if not stat.S_ISREG(mode):
            raise UnreadableFileError(
                f"{place.name[:128]!r} is not a file but a "
                f"{'folder' if stat.S_ISDIR(mode) else 'device or pipe'}.",
                hint="Name one CSV or Parquet file.",
            )
        if os.path.realpath(place) != str(place):  # a folder became a link while we looked
            raise _outside()
        with os.fdopen(handle, "rb", closefd=False) as file:
            return place.name, file.read(MOST_BYTES + 1)


def _nameable(path: str) -> bool:
    """Tell whether the file system could hold such a name at all."""
    try:
        return b"\0" not in os.fsencode(path)
    except UnicodeEncodeError:
        return False


@contextmanager
def _opened(place: Path) -> Iterator[int]:
    """Open without blocking, as a pipe would, and without following a link that is new."""
    try:
        handle = os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
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
    try:
        yield handle
    finally:
        os.close(handle)


def _outside() -> PathNotAllowedError:
    return PathNotAllowedError(
        "This path is not below a folder that may be read.",
        hint="Copy the file to the inbox, or list its folder in the topology: ingest.folders.",
    )
