"""Old snapshots go; those that a run names are tagged first, so that they stay for ever.

Kept besides: the newest, whatever was current a moment ago (readers lag), and everything that a
run which has not ended wrote, so that its later steps and its retry find it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Collection
from dataclasses import dataclass

from pyiceberg.table import Table
from pyiceberg.table.snapshots import Snapshot

from lakehouse import catalog
from lakehouse.lake import Lake
from lakehouse.maintain.claims import ClaimLog
from lakehouse.maintain.policy import Policy, tagged
from lakehouse.write import RUN
from topology.frames import Progress

PIN = "pin-"
"""How the tag of a snapshot that a run names begins; the snapshot's id follows."""
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


@dataclass(frozen=True, slots=True)
class Needs:
    """Who still needs a table's past, asked for at the last moment.

    ``named`` gives the snapshots that runs name, ``unfinished`` the runs that have not ended.
    """

    named: Callable[[], Collection[str]]
    unfinished: Callable[[], Collection[str]]


@dataclass(frozen=True, slots=True)
class Expired:
    """How many snapshots got a tag, and how many went."""

    tagged: int
    expired: int


def expire(
    lake: Lake,
    log: ClaimLog,
    name: str,
    *,
    policy: Policy,
    needs: Needs,
    now: dt.datetime,
    progress: Progress,
) -> Expired:
    """Tag what runs name, then let go of what is older than all that must stay."""
    with log.lock(name):
        table = catalog.load(lake, name)
        pinned = _tag(table, needs.named())
        progress.checkpoint()
        before = cutoff(table.snapshots(), policy, now, needs.unfinished())
        going = _going(table, before)
        if going and before is not None:
            with catalog.reaching():
                table.maintenance.expire_snapshots().older_than(before).commit()
    return Expired(pinned, going)


def _tag(table: Table, ids: Collection[str]) -> int:
    kept = {snapshot.snapshot_id for snapshot in table.snapshots()}
    wanted = sorted({int(text) for text in ids if text.isdecimal()} & kept - tagged(table))
    if wanted:
        with catalog.reaching(), table.manage_snapshots() as update:
            for number in wanted:
                update.create_tag(number, f"{PIN}{number}")
    return len(wanted)


def cutoff(
    snapshots: Collection[Snapshot], policy: Policy, now: dt.datetime, unfinished: Collection[str]
) -> dt.datetime | None:
    """Return the time before which snapshots may go, or None where all must stay.

    A snapshot is needed until ``grace`` after the next one replaced it, not after its own time: in
    a quiet table the one that was just replaced may be days old, and readers still hold it.
    """
    times = sorted((snapshot.timestamp_ms for snapshot in snapshots), reverse=True)
    lately = _milliseconds(now - policy.grace)
    quiet = [moment for moment in times if moment <= lately]
    if len(times) <= policy.keep or not quiet:
        return None
    working = _working(snapshots, set(unfinished))
    oldest = min([times[policy.keep - 1], quiet[0], *working])
    return _EPOCH + dt.timedelta(milliseconds=oldest)


def _working(snapshots: Collection[Snapshot], unfinished: set[str]) -> list[int]:
    """Return the times of unfinished runs' snapshots and of those they were built on."""
    found = {snapshot.snapshot_id: snapshot for snapshot in snapshots}
    times = []
    for snapshot in snapshots:
        facts = snapshot.summary.additional_properties if snapshot.summary else {}
        if facts.get(RUN) in unfinished:
            times.append(snapshot.timestamp_ms)
            if (parent := found.get(snapshot.parent_snapshot_id or 0)) is not None:
                times.append(parent.timestamp_ms)
    return times


def _going(table: Table, before: dt.datetime | None) -> int:
    if before is None:
        return 0
    safe = {ref.snapshot_id for ref in table.metadata.refs.values()}
    limit = _milliseconds(before)
    return sum(s.timestamp_ms < limit and s.snapshot_id not in safe for s in table.snapshots())


def _milliseconds(moment: dt.datetime) -> int:
    return (moment - _EPOCH) // dt.timedelta(milliseconds=1)
