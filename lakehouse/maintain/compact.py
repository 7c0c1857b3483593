"""Compaction: files are rewritten beside the table, then exchanged by one snapshot producer.

Rewriting holds no lock, however long it takes; the exchange takes the table's lock for a moment and
only goes through where every old file is still part of the table. One producer means one snapshot
of operation ``overwrite``, which incremental readers pass over: they see no row twice.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pyiceberg.exceptions import CommitFailedException, ValidationException
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table

from lakehouse import catalog
from lakehouse.change import Change
from lakehouse.lake import Lake
from lakehouse.maintain.claims import ClaimLog
from lakehouse.maintain.policy import Policy, live, place
from lakehouse.maintain.rewrite import Group, rewrite
from topology.errors import FaultError
from topology.frames import Progress

OPERATION, COMPACT = "alphaswarm.op", "compact"
"""The property of a snapshot that changed files but no row."""
TRIES = 3
"""Somebody who appends without our lock makes an exchange fail; this often it is tried."""


@dataclass(frozen=True, slots=True)
class Compacted:
    """How many files became how many."""

    before: int = 0
    after: int = 0


@dataclass(frozen=True, slots=True)
class _Rewritten:
    group: Group
    file: DataFile


def compact(
    lake: Lake,
    log: ClaimLog,
    name: str,
    *,
    policy: Policy,
    spill: Path,
    progress: Progress,
    summary: Mapping[str, str],
) -> Compacted:
    """Join the table's small files by partition and return how many became how many.

    What was exchanged when a pass dies stays so; what was not, the next pass does again.
    """
    table = catalog.load(lake, name)
    if len(table.schemas()) != 1:
        return Compacted()  # files of several shapes cannot be joined as they are
    before = after = 0
    for batch in _batches(groups(table, policy), policy.group):
        done = []
        for group in batch:
            progress.checkpoint()
            file = rewrite(table, group, policy=policy, spill=spill, progress=progress)
            done.append(_Rewritten(group, file))
        progress.checkpoint()
        exchanged = _exchange(lake, log, name, done, summary)
        before += sum(len(one.group.files) for one in exchanged)
        after += len(exchanged)
    return Compacted(before, after)


def groups(table: Table, policy: Policy) -> list[Group]:
    """Return what there is to join: small files of a partition, up to a size together."""
    spec = table.spec().spec_id
    by_place: dict[Hashable, list[DataFile]] = defaultdict(list)
    for file in live(table):
        if file.spec_id == spec and file.file_size_in_bytes < policy.small:
            by_place[place(file)].append(file)
    found = (Group(tuple(part)) for files in by_place.values() for part in _packed(files, policy))
    return [group for group in found if len(group.files) >= policy.least]


def _packed(files: list[DataFile], policy: Policy) -> Iterator[list[DataFile]]:
    part: list[DataFile] = []
    size = 0
    for file in files:
        if part and size + file.file_size_in_bytes > policy.group:
            yield part
            part, size = [], 0
        part.append(file)
        size += file.file_size_in_bytes
    yield part


def _batches(found: list[Group], limit: int) -> Iterator[list[Group]]:
    """Yield groups to be exchanged together: few snapshots, and little to lose by a kill."""
    batch: list[Group] = []
    for group in found:
        if batch and sum(g.bytes for g in batch) + group.bytes > limit:
            yield batch
            batch = []
        batch.append(group)
    if batch:
        yield batch


def _exchange(
    lake: Lake, log: ClaimLog, name: str, done: list[_Rewritten], summary: Mapping[str, str]
) -> list[_Rewritten]:
    """Put the new files in the place of the old ones; return what still could be exchanged."""
    for left in reversed(range(TRIES)):
        with log.lock(name):
            table = catalog.load(lake, name)
            there = set(live(table))
            good = [one for one in done if _holds(table, there, one)]
            try:
                if good:
                    _commit(table, good, summary)
            except (CommitFailedException, ValidationException) as error:
                if left:
                    continue
                raise FaultError(
                    f"Somebody else writes {name!r} without its lock: it was not compacted.",
                    hint="Write through append_arrow only; the next pass tries again.",
                    code="table_busy",
                    table=name,
                ) from error
            return good
    return []


def _holds(table: Table, there: set[DataFile], one: _Rewritten) -> bool:
    """Tell whether every old file is still part of the table, and the new one on the disk.

    Another pass may have joined the old ones already, or, where this machine slept for hours
    between writing and exchanging, have swept the new one.
    """
    with catalog.reaching():
        return there.issuperset(one.group.files) and table.io.new_input(one.file.file_path).exists()


def _commit(table: Table, good: list[_Rewritten], summary: Mapping[str, str]) -> None:
    properties = {**summary, OPERATION: COMPACT}
    with (
        catalog.reaching(),
        Change(table) as change,
        change.update_snapshot(snapshot_properties=properties).overwrite() as update,
    ):
        for one in good:
            for old in one.group.files:
                update.delete_data_file(old)
            update.append_data_file(one.file)
