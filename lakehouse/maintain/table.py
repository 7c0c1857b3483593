"""One pass over one table: settle, compact, expire, sweep."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lakehouse import catalog
from lakehouse.lake import Lake
from lakehouse.maintain.claims import ClaimLog, settle
from lakehouse.maintain.compact import Compacted, compact
from lakehouse.maintain.expiry import Expired, Needs, expire
from lakehouse.maintain.orphans import Swept, sweep
from lakehouse.maintain.policy import Condition, Policy, measure
from topology.frames import Progress

MAINTAINED = Policy()


@dataclass(frozen=True, slots=True)
class Done:
    """What a pass did to a table, which has the same rows before and after."""

    table: str
    before: Condition
    after: Condition
    settled: int
    compacted: Compacted
    expired: Expired
    swept: Swept

    def body(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        return {
            "table": self.table,
            "before": self.before.body(),
            "after": self.after.body(),
            "settled": self.settled,
            "files_joined": self.compacted.before,
            "snapshots_tagged": self.expired.tagged,
            "snapshots_expired": self.expired.expired,
            "orphans": asdict(self.swept),
        }


def maintain(
    lake: Lake,
    log: ClaimLog,
    name: str,
    *,
    needs: Needs,
    now: dt.datetime,
    spill: Path,
    progress: Progress,
    policy: Policy = MAINTAINED,
    summary: Mapping[str, str] | None = None,
    due: bool = False,
) -> Done | None:
    """Do one pass over ``name`` and return the report; None where it was asked only if ``due``.

    Claims are settled first, because expiry takes their evidence away; orphans are swept last,
    because expiry makes them. No read changes, at any snapshot that is kept. Locks are held by the
    step, not by the pass: a writer waits for moments. ``summary`` adds properties to the snapshots
    of the compaction; ``spill`` is an existing folder for what does not fit into memory.
    """
    before = measure(catalog.load(lake, name), policy)
    if due and not before.due(policy):
        return None
    progress.checkpoint()
    settled = settle(lake, log, name)
    compacted = compact(
        lake, log, name, policy=policy, spill=spill, progress=progress, summary=summary or {}
    )
    progress.checkpoint()
    expired = expire(lake, log, name, policy=policy, needs=needs, now=now, progress=progress)
    progress.checkpoint()
    swept = sweep(lake, log, name, now=now, orphan=policy.orphan, progress=progress)
    after = measure(catalog.load(lake, name), policy)
    return Done(name, before, after, settled, compacted, expired, swept)
