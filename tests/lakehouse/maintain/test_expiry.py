"""Expiry: what may go, what stays for ever, and what a reader of the past is told."""

from __future__ import annotations

import dataclasses
import datetime as dt
from pathlib import Path

import pytest
from pyiceberg.table.snapshots import Operation, Snapshot, Summary

from lakehouse import catalog, query
from lakehouse.errors import SnapshotExpiredError
from lakehouse.maintain.expiry import PIN, cutoff
from lakehouse.maintain.policy import Policy
from lakehouse.write import RUN
from tests.kit.faults import FaultyLog
from tests.kit.lake import Depot, bars
from tests.kit.upkeep import KEEP_FEW, Follower, ids, keep_up, now, small
from topology.ids import new_id

START = dt.datetime(2026, 1, 5, tzinfo=dt.UTC)
FOUR = Policy(keep=4, grace=dt.timedelta(minutes=15))
KEEP_FILES = dataclasses.replace(KEEP_FEW, least=1_000)
"""Joins nothing, so that snapshots are those of the appends."""


def snapshots(*minutes: float, runs: dict[int, str] | None = None) -> list[Snapshot]:
    """Return snapshots 1, 2, 3, ... at these minutes, some written by named runs."""
    return [
        Snapshot(
            snapshot_id=number,
            parent_snapshot_id=number - 1 or None,
            manifest_list="",
            timestamp_ms=round((START.timestamp() + minute * 60) * 1000),
            summary=Summary(Operation.APPEND, **{RUN: (runs or {}).get(number, "ended")}),
        )
        for number, minute in enumerate(minutes, start=1)
    ]


@pytest.mark.parametrize(
    ("minutes", "at", "runs", "first_kept"),
    [
        pytest.param((0, 1, 2, 3), 500, {}, None, id="no more than are kept anyway"),
        pytest.param((0, 1, 2, 3, 4), 500, {}, 2, id="the newest four stay"),
        pytest.param((0, 1, 2, 3, 4, 5), 16, {}, 2, id="what was current 15 minutes ago stays"),
        pytest.param((0, 480, 481, 482, 483, 484), 490, {}, 1, id="days old, replaced just now"),
        pytest.param((0, 1, 2, 3, 4, 5), 10, {}, None, id="all of it happened just now"),
        pytest.param(
            (0, 1, 2, 3, 4, 5, 6), 500, {3: "busy"}, 2, id="a run's snapshot and its base"
        ),
        pytest.param((0, 1, 2, 3, 4, 5, 6), 500, {3: "over"}, 4, id="but not those of ended runs"),
    ],
)
def test_what_must_stay(
    minutes: tuple[float, ...], at: float, runs: dict[int, str], first_kept: int | None
) -> None:
    found = cutoff(snapshots(*minutes, runs=runs), FOUR, START + dt.timedelta(minutes=at), {"busy"})
    wanted = None if first_kept is None else minutes[first_kept - 1]
    assert found == (None if wanted is None else START + dt.timedelta(minutes=wanted))


def test_a_snapshot_that_a_run_names_stays_with_its_files_for_ever(
    depot: Depot, name: str, tmp_path: Path
) -> None:
    small(depot, name, 4)
    named = ids(catalog.load(depot.reader, name))[2]
    before = query.read(depot.reader, name, as_of=named)

    for _ in range(2):
        small(depot, name, 3, first=held(depot, name))
        keep_up(depot.writer, depot.log, name, tmp_path, named=[named, "0", "77", "no number"])

    table = catalog.load(depot.reader, name)
    assert table.metadata.refs[f"{PIN}{named}"].snapshot_id == int(named)
    assert len(table.snapshots()) == 3
    assert query.read(depot.reader, name, as_of=named).equals(before)


def held(depot: Depot, name: str) -> int:
    rows: int = query.read(depot.reader, name).num_rows
    return rows


def test_what_an_unfinished_run_wrote_stays_readable_step_by_step(
    depot: Depot, name: str, tmp_path: Path
) -> None:
    """Silver is read from what this very run added to bronze, however long the run takes."""
    mine = new_id(START)
    small(depot, name, 3)
    follower = Follower(depot.reader, name, "close")
    follower.look()
    base = follower.last
    for n in range(2):
        data = bars("MSFT.NASDAQ", (100.0 + n,), start=START + dt.timedelta(days=n))
        depot.append(name, data, key=f"{mine}:{n}", run_id=mine)
    small(depot, name, 5, first=3)

    keep_up(depot.writer, depot.log, name, tmp_path, policy=KEEP_FILES, unfinished=[mine])

    table = catalog.load(depot.reader, name)
    assert ids(table)[0] == str(base)
    follower.look()
    assert set(follower.seen.values()) == {1}
    assert len(follower.seen) == 10
    keep_up(depot.writer, depot.log, name, tmp_path, policy=KEEP_FILES)
    assert len(ids(catalog.load(depot.reader, name))) == 2, "once it has ended they go"


def test_a_reader_whose_place_has_expired_is_told_and_never_skips_rows(
    depot: Depot, name: str, tmp_path: Path
) -> None:
    small(depot, name, 2)
    follower = Follower(depot.reader, name, "close")
    follower.look()
    kept = str(follower.last)
    small(depot, name, 6, first=2)

    keep_up(depot.writer, depot.log, name, tmp_path, policy=KEEP_FILES, named=[kept])

    assert kept in ids(catalog.load(depot.reader, name))
    with pytest.raises(ValueError, match="not a parent ancestor"):
        follower.look()


def test_a_time_between_kept_snapshots_is_not_answered_from_an_older_one(
    depot: Depot, name: str, tmp_path: Path
) -> None:
    """Only the first of the older snapshots is kept: what was current after it is gone."""
    small(depot, name, 2)
    first, second = ids(catalog.load(depot.reader, name))
    small(depot, name, 4, first=2)
    table = catalog.load(depot.reader, name)
    gone = table.snapshot_by_id(int(second))
    assert gone is not None

    keep_up(depot.writer, depot.log, name, tmp_path, policy=KEEP_FILES, named=[first])

    at = dt.datetime.fromtimestamp(gone.timestamp_ms / 1000, dt.UTC)
    with pytest.raises(SnapshotExpiredError):
        query.read(depot.reader, name, as_of=at)
    assert query.read(depot.reader, name, as_of=first).num_rows == 1


def test_a_claim_is_settled_before_its_evidence_expires(
    depot: Depot, name: str, tmp_path: Path
) -> None:
    """Its writer died after the commit. Without this the retry would append the rows again."""

    def die() -> None:
        raise InterruptedError

    data = bars(closes=(1.0,))
    with pytest.raises(InterruptedError):
        depot.append(
            name, data, key="k", run_id="r", log=FaultyLog(depot.log, {"before settle": die})
        )
    small(depot, name, 6, first=10)

    done = keep_up(depot.writer, depot.log, name, tmp_path)

    assert done.settled == 1
    assert done.expired.expired > 0
    receipt = depot.append(name, data, key="k", run_id="r")
    assert (receipt.how, receipt.rows) == ("replay", 1)
    assert query.read(depot.reader, name).num_rows == 7


def test_a_claim_whose_rows_never_came_stays_for_its_retry(
    depot: Depot, name: str, tmp_path: Path
) -> None:
    small(depot, name, 2)
    depot.log.claim(name, "dead", "0" * 64, 1, "r")

    assert keep_up(depot.writer, depot.log, name, tmp_path).settled == 0

    entry = depot.log.find(name, "dead")
    assert entry is not None
    assert entry.snapshot_id is None


def test_a_pass_without_anything_to_do_commits_nothing(
    depot: Depot, name: str, tmp_path: Path
) -> None:
    small(depot, name, 1)
    keep_up(depot.writer, depot.log, name, tmp_path)
    before = catalog.load(depot.reader, name).metadata_location

    done = keep_up(depot.writer, depot.log, name, tmp_path, at=now())

    assert catalog.load(depot.reader, name).metadata_location == before
    assert done.before == done.after
