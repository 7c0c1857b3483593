"""When the lake is tidied without being asked: nightly, and after many appends to one table.

Reads the ledger only, never the lake: what was written since the last pass is all there is to know.
"""

from __future__ import annotations

import datetime as dt

from ledger import upkeep
from ledger.pool import Pool
from runtimes import dispatch
from runtimes.dispatch import Handle
from runtimes.specs.base import Spec
from runtimes.specs.maintain import MaintainSpec
from topology.clock import Clock
from topology.errors import AlphaSwarmError, HaltedError
from topology.principal import SYSTEM, Principal
from topology.sections import Maintenance

KIND, TASK, NAME, QUEUE = "data", "maintain", "maintenance", "batch"
_DAY = dt.timedelta(days=1)


def look(pool: Pool, section: Maintenance, clock: Clock) -> Handle | None:
    """Submit a pass if one is due and none is under way; return its handle, or None.

    Due is the nightly one when something was written before the last ``at`` and not tidied since,
    and one over untidy tables when one table had ``small_files`` appends since the last pass.
    """
    last = upkeep.latest(pool, TASK)
    if not section.enabled or (last is not None and not last.ended):
        return None
    since = None if last is None else last.created_at
    written = upkeep.written(pool, since)
    if written.first is None:
        return None
    night = latest(section.at, clock.now())
    if written.first < night:
        due = False
    elif written.most >= min(section.small_files, section.snapshots):
        due = True
    else:
        return None
    spec = MaintainSpec(
        name=NAME, due=due, small_files=section.small_files, snapshots=section.snapshots
    )
    return _submitted(pool, spec, clock, key=f"{NAME}:{last.run_id if last else 'first'}")


def latest(at: str, now: dt.datetime) -> dt.datetime:
    """Return when it was last ``HH:MM`` in UTC."""
    hour, minute = at.split(":")
    today = now.astimezone(dt.UTC).replace(
        hour=int(hour), minute=int(minute), second=0, microsecond=0
    )
    return today if today <= now else today - _DAY


def submit(
    pool: Pool, spec: Spec, clock: Clock, *, by: Principal, key: str | None = None
) -> Handle:
    """Record a pass as a run; the worker of the queue ``batch`` does it."""
    return dispatch.submit(pool, spec, principal=by, queue=QUEUE, clock=clock, dispatch_key=key)


def _submitted(pool: Pool, spec: Spec, clock: Clock, *, key: str) -> Handle | None:
    """Submit unless a halt holds, or another worker that looked at the same moment was first."""
    try:
        return submit(pool, spec, clock, by=SYSTEM, key=key)
    except HaltedError:
        return None
    except AlphaSwarmError as error:
        if error.wire_code == "idempotency_conflict":
            return None
        raise
