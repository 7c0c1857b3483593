"""When a table needs upkeep, and how much of its past it keeps."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Hashable
from dataclasses import dataclass

from pyiceberg.manifest import DataFile
from pyiceberg.table import Table
from pyiceberg.table.refs import SnapshotRefType

from lakehouse import catalog

MB = 1 << 20


@dataclass(frozen=True, slots=True)
class Policy:
    """The bounds of a pass; sizes in bytes as the files lie on the disk.

    A file below ``small`` is joined with others of its partition, up to ``group``, where at least
    ``least`` of them lie there (Iceberg's ``rewrite_data_files`` takes five, too). The newest
    ``keep`` snapshots stay, and whatever was current within ``grace``. A file that no snapshot
    names goes once it is as old as ``orphan``; None means 1 h in a folder that is ours alone, and
    24 h elsewhere.

    A table is ``due`` at ``crowd`` small files in one partition or ``history`` snapshots without
    a tag.
    """

    small: int = 32 * MB
    group: int = 512 * MB
    least: int = 5
    keep: int = 100
    grace: dt.timedelta = dt.timedelta(minutes=15)
    orphan: dt.timedelta | None = None
    crowd: int = 50
    history: int = 200
    memory_mb: int = 512


@dataclass(frozen=True, slots=True)
class Condition:
    """How a table is: live files, their bytes and rows, snapshots kept and those without a tag.

    ``crowd`` counts the small files of the partition that has most of them.
    """

    files: int
    bytes: int
    rows: int
    snapshots: int
    untagged: int
    crowd: int

    def due(self, policy: Policy) -> bool:
        """Tell whether the table needs a pass now."""
        return self.crowd >= policy.crowd or self.untagged >= policy.history

    def body(self) -> dict[str, int]:
        """Return what reports show."""
        return {"files": self.files, "bytes": self.bytes, "snapshots": self.snapshots}


def measure(table: Table, policy: Policy) -> Condition:
    """Return the condition of a loaded table."""
    files = live(table)
    small = Counter(place(file) for file in files if file.file_size_in_bytes < policy.small)
    kept = {snapshot.snapshot_id for snapshot in table.snapshots()}
    return Condition(
        files=len(files),
        bytes=sum(file.file_size_in_bytes for file in files),
        rows=sum(file.record_count for file in files),
        snapshots=len(kept),
        untagged=len(kept - tagged(table)),
        crowd=max(small.values(), default=0),
    )


def live(table: Table) -> list[DataFile]:
    """Return the data files of the current snapshot, by path; those with deleted rows left out."""
    with catalog.reaching():
        tasks = list(table.scan().plan_files())
    found = [task.file for task in tasks if not task.delete_files]
    return sorted(found, key=lambda file: file.file_path)


def place(file: DataFile) -> Hashable:
    """Return the partition of a file, as a key."""
    return (file.spec_id, *(file.partition[n] for n in range(len(file.partition))))


def tagged(table: Table) -> set[int]:
    """Return the snapshots that have a tag."""
    refs = table.metadata.refs.values()
    return {ref.snapshot_id for ref in refs if ref.snapshot_ref_type == SnapshotRefType.TAG}
