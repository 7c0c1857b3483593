"""Claims of writers that died between commit and settling, settled before their evidence expires.

The evidence is the key in a snapshot's summary. Were it gone, a retry would append the rows again.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol

from pyiceberg.table import Table

from lakehouse import catalog
from lakehouse.lake import Lake
from lakehouse.write import KEY


class ClaimLog(Protocol):
    """What upkeep needs of the log of appends."""

    def lock(self, table: str) -> AbstractContextManager[None]:
        """Hold the table alone; the end of the process frees it."""

    def unsettled(self, table: str) -> list[str]:
        """Return the keys of claims that are not settled."""

    def settle(self, table: str, key: str, snapshot_id: str) -> None:
        """Record that the rows are there."""


def settle(lake: Lake, log: ClaimLog, name: str) -> int:
    """Settle every claim whose rows are in the table, and return how many there were."""
    if not log.unsettled(name):
        return 0
    with log.lock(name):
        return settle_held(lake, log, name)


def settle_held(lake: Lake, log: ClaimLog, name: str) -> int:
    """Settle as `settle` does; the table's lock is in the caller's hand.

    So no writer is between claim and settling: a claim without a snapshot is of a dead one whose
    rows never arrived, and stays for its retry.
    """
    table = catalog.find(lake, name)
    there = {} if table is None else snapshots_by_key(table)
    found = [key for key in log.unsettled(name) if key in there]
    for key in found:
        log.settle(name, key, str(there[key]))
    return len(found)


def snapshots_by_key(table: Table) -> dict[str, int]:
    """Return the snapshot of every append whose snapshot is kept."""
    found = {}
    for snapshot in table.snapshots():
        key = snapshot.summary.additional_properties.get(KEY) if snapshot.summary else None
        if key is not None:
            found[key] = snapshot.snapshot_id
    return found
