"""Which file a source names: below the allowed folders once links are followed, else none."""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Sequence
from pathlib import Path

from topology.errors import BadInputError, MissingError

_BLOCK = 1 << 20


class PathNotAllowedError(BadInputError):
    """The path leads out of the folders that ingest may read."""

    code = "path_not_allowed"


def locate(source: str, allowed: Sequence[Path]) -> Path:
    """Return the real path of the file that ``source`` names.

    A relative path starts at the first allowed folder, the inbox. A path outside every folder is
    refused whether or not something is there; so is a link that leads outside.
    """
    if "\0" in source:
        raise PathNotAllowedError("A path holds no NUL.", hint="Name a file in the inbox.")
    asked = Path(source)
    path = asked if asked.is_absolute() else allowed[0] / asked
    try:
        real = path.resolve()
    except (OSError, RuntimeError) as error:
        raise _refused(source) from error
    if not any(real.is_relative_to(folder.resolve()) for folder in allowed):
        raise _refused(source)
    try:
        mode = real.stat().st_mode
    except (OSError, ValueError) as error:
        raise MissingError(
            f"There is no file {source[:200]!r}.",
            hint="Copy it into the home's inbox/, or use `alphaswarm data ingest PATH`.",
            path=source[:200],
        ) from error
    if not stat.S_ISREG(mode):
        raise BadInputError(
            f"{source[:200]!r} is not a file.",
            hint="Name one CSV or Parquet file.",
            errors=[{"path": "source", "value": source[:200]}],
        )
    return real


def written(path: Path, allowed: Sequence[Path]) -> str:
    """Return how a spec names ``path``: relative to the inbox where it lies there, else whole."""
    inbox = allowed[0].resolve()
    return str(path.relative_to(inbox)) if path.is_relative_to(inbox) else str(path)


def digest(path: Path) -> str:
    """Return the SHA-256 of the file's bytes, as they are."""
    total = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            total.update(block)
    return total.hexdigest()


def _refused(source: str) -> PathNotAllowedError:
    return PathNotAllowedError(
        f"{source[:200]!r} lies outside the folders that ingest may read.",
        hint="Copy the file into the home's inbox/, or list its folder in topology ingest.folders.",
        path=source[:200],
    )
