"""Task ``maintain``: one pass over each table, and whatever else in the home has had its time."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lakehouse import catalog
from lakehouse.errors import LayerMismatchError
from lakehouse.lake import Lake
from lakehouse.layers import TableName
from lakehouse.maintain.expiry import Needs
from lakehouse.maintain.policy import MB, Policy
from lakehouse.maintain.table import Done, maintain
from lakehouse.write import RUN, SPEC
from ledger import upkeep
from runtimes.base import Outcome
from runtimes.context import RunContext
from runtimes.data import artifacts
from runtimes.data.pins import pin
from runtimes.data.spill import spill
from runtimes.specs.maintain import MaintainSpec
from topology.errors import FaultError, LeaseLostError, StoreUnreachableError


def work(context: RunContext, spec: MaintainSpec) -> Outcome:
    """Pass over the tables; one that cannot be tidied does not keep the others from it."""
    workshop = context.workshop
    pin(context, [])
    names = list(spec.tables) if spec.tables else ours(workshop.lake)
    tally = _Tally()
    with spill(context) as folder:
        for name in names:
            context.checkpoint()
            try:
                done = _one(context, spec, name, folder)
            except (StoreUnreachableError, LeaseLostError):
                raise
            except FaultError as error:
                tally.failed[name] = error
                context.emit("warning", f"{name}: {error.message}", code=error.wire_code)
                continue
            if done is not None:
                tally.add(done)
                _tell(context, done)
    artifacts.sweep(
        workshop.home, now=workshop.clock.now(), keep_s=workshop.topology.limits.exports_s
    )
    return tally.outcome()


def ours(lake: Lake) -> list[str]:
    """Return every table of the lake that has a name of ours."""
    found = []
    for name in catalog.names(lake):
        try:
            found.append(str(TableName.parse(name)))
        except LayerMismatchError:
            continue
    return found


def policy(spec: MaintainSpec) -> Policy:
    """Return the bounds that a spec asks for."""
    hours = spec.orphan_hours
    return Policy(
        small=spec.small_mb * MB,
        group=spec.group_mb * MB,
        least=spec.min_files,
        keep=spec.keep_snapshots,
        grace=dt.timedelta(minutes=spec.keep_minutes),
        orphan=None if hours is None else dt.timedelta(hours=hours),
        crowd=spec.small_files,
        history=spec.snapshots,
        memory_mb=spec.memory_mb,
    )


def _one(context: RunContext, spec: MaintainSpec, name: str, folder: Path) -> Done | None:
    workshop, run = context.workshop, context.run
    return maintain(
        workshop.lake,
        workshop.log,
        name,
        policy=policy(spec),
        needs=Needs(
            lambda: upkeep.named(workshop.pool, name), lambda: upkeep.unfinished(workshop.pool)
        ),
        now=workshop.clock.now(),
        spill=folder,
        progress=context,
        summary={RUN: run.run_id, SPEC: run.spec_sha256},
        due=spec.due,
    )


def _tell(context: RunContext, done: Done) -> None:
    facts = done.body()
    before, after = facts["before"], facts["after"]
    context.emit(
        "layer.done",
        f"{done.table}: {before['files']} files to {after['files']}, "
        f"{before['snapshots']} snapshots to {after['snapshots']}.",
        rows=0,
        rejected=0,
        **facts,
    )


@dataclass
class _Tally:
    """What all passes of a run did together."""

    done: list[Done] = field(default_factory=list)
    failed: dict[str, FaultError] = field(default_factory=dict)

    def add(self, done: Done) -> None:
        self.done.append(done)

    def outcome(self) -> Outcome:
        """Return the sums, or raise what the tables have in common that could not be tidied."""
        if self.failed:
            first = next(iter(self.failed.values()))
            raise FaultError(
                f"{len(self.failed)} tables could not be tidied; {len(self.done)} were.",
                hint=first.hint,
                code=first.wire_code,
                tables={name: error.message for name, error in self.failed.items()},
            )
        sums = self._sums()
        return Outcome(
            statistics={**sums, "partial": False},
            result_tables={},
            message=f"{sums['tables']} tables: {sums['files_before']} files to "
            f"{sums['files_after']}, {sums['snapshots_expired']} snapshots expired, "
            f"{sums['orphans']} orphans deleted.",
        )

    def _sums(self) -> dict[str, Any]:
        return {
            "tables": len(self.done),
            "files_before": sum(done.before.files for done in self.done),
            "files_after": sum(done.after.files for done in self.done),
            "bytes_before": sum(done.before.bytes for done in self.done),
            "bytes_after": sum(done.after.bytes for done in self.done),
            "snapshots_tagged": sum(done.expired.tagged for done in self.done),
            "snapshots_expired": sum(done.expired.expired for done in self.done),
            "claims_settled": sum(done.settled for done in self.done),
            "orphans": sum(done.swept.files for done in self.done),
            "orphan_bytes": sum(done.swept.bytes for done in self.done),
        }
