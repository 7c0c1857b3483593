"""Files that no kept snapshot names: deleted once they are old, and only where that is certain.

Expiry deletes no file, and a killed writer leaves some behind. What is swept lies in the table's
own ``data`` and ``metadata`` folders, is of a kind that we write, is no link, and is older than any
reader or writer could be at work. One doubt, such as a named file that is not there, stops it all.
"""

from __future__ import annotations

import datetime as dt
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pyiceberg.manifest import ManifestFile
from pyiceberg.table import Table

from lakehouse import catalog
from lakehouse.lake import Lake
from lakehouse.maintain.claims import ClaimLog
from topology.errors import FaultError
from topology.frames import Progress

SCHEME = "file://"
OURS = {"data": (".parquet",), "metadata": (".avro", ".metadata.json")}
"""The folders of a table, and how the files that we write there end."""
PRIVATE, SHARED = dt.timedelta(hours=1), dt.timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Swept:
    """How many orphans were deleted, and their bytes."""

    files: int = 0
    bytes: int = 0


@dataclass(frozen=True, slots=True)
class _File:
    path: str
    size: int
    modified: float


def sweep(
    lake: Lake,
    log: ClaimLog,
    name: str,
    *,
    now: dt.datetime,
    orphan: dt.timedelta | None,
    progress: Progress,
) -> Swept:
    """Delete the table's orphans as old as ``orphan`` and return what that freed.

    The table's lock is held: no writer of ours is between its files and its commit. A folder that
    is not below the warehouse or reached over a link, and a table that lacks a file, raise
    ``warehouse_unsafe`` and nothing is deleted.
    """
    root = Path(lake.warehouse.removeprefix(SCHEME))
    limit = (now - (_patience(root) if orphan is None else orphan)).timestamp()
    with log.lock(name):
        table = catalog.load(lake, name)
        folder = _folder(root, table, name)
        with catalog.reaching():
            there = {file.path: file for file in _files(folder)}
            named = reachable(table)
        _refuse_holes(name, named, there)
        progress.checkpoint()
        kept = named | {_local(entry.metadata_file) for entry in table.metadata.metadata_log}
        going = [f for f in there.values() if f.path not in kept and f.modified < limit]
        with catalog.reaching():
            for file in going:
                Path(file.path).unlink(missing_ok=True)
    return Swept(len(going), sum(file.size for file in going))


def reachable(table: Table) -> set[str]:
    """Return the path of every file that a kept snapshot or the catalog needs."""
    found = {table.metadata_location}
    manifests: dict[str, ManifestFile] = {}
    for snapshot in table.snapshots():
        found.add(snapshot.manifest_list)
        manifests |= {m.manifest_path: m for m in snapshot.manifests(table.io)}
    found |= manifests.keys()
    for manifest in manifests.values():
        entries = manifest.fetch_manifest_entry(table.io, discard_deleted=True)
        found |= {entry.data_file.file_path for entry in entries}
    return {_local(place) for place in found}


def _refuse_holes(name: str, named: set[str], there: dict[str, _File]) -> None:
    missing = sum(path not in there for path in named)
    if missing:
        raise _unsafe(
            name, f"{missing} files that its snapshots name are not there", missing=missing
        )


def _folder(root: Path, table: Table, name: str) -> Path:
    """Return the table's folder, below the warehouse by its name and by its links' absence."""
    folder = Path(_local(table.location()))
    if not table.location().startswith(SCHEME) or root not in folder.parents:
        raise _unsafe(name, "its folder is not below the warehouse")
    for place in (folder, *folder.parents):
        if place == root:
            return folder
        if place.is_symlink():
            break
    raise _unsafe(name, "its folder is reached over a link")


def _files(folder: Path) -> Iterator[_File]:
    for kind, endings in OURS.items():
        start = folder / kind
        if start.is_dir() and not start.is_symlink():
            yield from _below(start, endings)


def _below(folder: Path, endings: tuple[str, ...]) -> Iterator[_File]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _below(Path(entry.path), endings)
            elif entry.is_file(follow_symlinks=False) and entry.name.endswith(endings):
                facts = entry.stat(follow_symlinks=False)
                yield _File(entry.path, facts.st_size, facts.st_mtime)


def _local(place: str) -> str:
    return os.path.normpath(place.removeprefix(SCHEME))


def _patience(root: Path) -> dt.timedelta:
    """Return how long readers may lag: nobody else reads in a folder that is ours alone."""
    with catalog.reaching():
        alone = not stat.S_IMODE(root.stat().st_mode) & 0o077
    return PRIVATE if alone else SHARED


def _unsafe(name: str, what: str, **facts: int) -> FaultError:
    return FaultError(
        f"The files of {name!r} are not swept: {what}.",
        hint="Nothing was deleted. Run `alphaswarm doctor`; restore the warehouse from a backup.",
        code="warehouse_unsafe",
        table=name,
        **facts,
    )
