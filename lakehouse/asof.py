"""Which snapshot is meant, and which of its rows: the newest, one by its id, or those of a time.

A snapshot is a state of a table: all of its rows. A time is what could be known then: the rows of
the snapshot that was current, without any that is dated later.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import overload

import pyarrow as pa
from pyiceberg.table import Table
from pyiceberg.table.snapshots import Snapshot

from lakehouse.errors import SnapshotExpiredError
from topology.errors import BadInputError

AsOf = str | dt.datetime | None
"""A snapshot id (decimal text), an RFC 3339 time or an aware datetime; None is now."""

DATED = (
    "timestamp",
    "date",
    "known_at",
    "ingested_at",
    "_ingested_at",
    "valid_from",
    "date_from",
    "entry_time",
    "exit_time",
    "created",
    "closed",
)
"""Columns of a time or a day that date their row."""
OPEN = ("valid_to", "date_to")
"""Days on which something ends, null while it lasts: an end after the time was not known then."""


def rows_at(columns: pa.Schema, as_of: AsOf) -> str:
    """Return the SQL ``SELECT ... FROM %s WHERE ...`` of the rows that ``as_of`` may show.

    ``%s`` stands for the table. Only a time hides rows; with a snapshot or None all are there.
    Text columns date nothing: bronze rows are dated by ``_ingested_at``.
    """
    when = time_of(as_of)
    if when is None:
        return "SELECT * FROM %s"
    instant = f"TIMESTAMPTZ '{when.astimezone(dt.UTC).isoformat()}'"
    day = f"DATE '{when.astimezone(dt.UTC).date()}'"
    kinds = {field.name: field.type for field in columns}
    limits = {name: _limit(kind, instant, day) for name, kind in kinds.items()}
    hidden = [f'("{n}" <= {limits[n]} OR "{n}" IS NULL)' for n in DATED if limits.get(n)]
    ends = [
        f'CASE WHEN "{n}" <= {limits[n]} THEN "{n}" END AS "{n}"' for n in OPEN if limits.get(n)
    ]
    shown = f"* REPLACE ({', '.join(ends)})" if ends else "*"
    return f"SELECT {shown} FROM %s WHERE {' AND '.join(hidden) or 'true'}"  # noqa: S608


def _limit(kind: pa.DataType, instant: str, day: str) -> str | None:
    if pa.types.is_timestamp(kind):
        return instant
    return day if pa.types.is_date(kind) else None


def time_of(as_of: AsOf) -> dt.datetime | None:
    """Return the time that ``as_of`` is; None for a snapshot id and for now."""
    if as_of is None or (isinstance(as_of, str) and as_of.isdecimal()):
        return None
    return moment(as_of)


@overload
def snapshot_at(loaded: Mapping[str, Table], name: str, as_of: AsOf) -> str: ...
@overload
def snapshot_at(
    loaded: Mapping[str, Table], name: str, as_of: AsOf, *, required: bool
) -> str | None: ...
def snapshot_at(
    loaded: Mapping[str, Table], name: str, as_of: AsOf, *, required: bool = True
) -> str | None:
    """Return the snapshot id of ``loaded[name]`` at ``as_of``; see `rows_at` for its rows.

    A snapshot id of another of the loaded tables means that snapshot's time. Nothing there at
    that time raises ``snapshot_expired`` where it is ``required``, else gives None; a snapshot
    that was current then but is not kept raises it always.
    """
    table = loaded[name]
    if as_of is None:
        found = table.current_snapshot()
    elif isinstance(as_of, str) and as_of.isdecimal():
        found = table.snapshot_by_id(int(as_of))
        if found is None:
            found = _current_at(table, name, _time_of(loaded, as_of), as_of)
    else:
        found = _current_at(table, name, _milliseconds(as_of), as_of)
    if found is None and required:
        raise expired(table, name, as_of)
    return None if found is None else str(found.snapshot_id)


def _current_at(table: Table, name: str, at_ms: int, as_of: AsOf) -> Snapshot | None:
    """Return the snapshot that was current at a time; None before the first.

    Expired snapshots leave the log, but a tagged one before them stays: it was not current any
    more when the expired one was. A gap shows as a successor that is not its child.
    """
    log = table.history()
    place = next((i for i in reversed(range(len(log))) if log[i].timestamp_ms <= at_ms), None)
    if place is None:
        first = table.snapshot_by_id(log[0].snapshot_id) if log else None
        if first is not None and first.sequence_number and first.sequence_number > 1:
            raise expired(table, name, as_of)
        return None
    found = table.snapshot_by_id(log[place].snapshot_id)
    behind = table.snapshot_by_id(log[place + 1].snapshot_id) if place + 1 < len(log) else None
    gap = behind is not None and behind.parent_snapshot_id != log[place].snapshot_id
    if found is None or (gap and at_ms > log[place].timestamp_ms):
        raise expired(table, name, as_of)
    return found


def moment(as_of: str | dt.datetime) -> dt.datetime:
    """Return the aware datetime that ``as_of`` writes; without a zone it is refused."""
    try:
        when = as_of if isinstance(as_of, dt.datetime) else dt.datetime.fromisoformat(as_of)
        if when.tzinfo is not None:
            return when
    except ValueError:
        pass
    raise BadInputError(
        f"{str(as_of)[:64]!r} is neither a snapshot id nor a time with a zone.",
        hint="Write a snapshot id from list_snapshots, or a time such as 2024-01-31T00:00:00Z.",
        value=str(as_of)[:64],
    )


def _milliseconds(as_of: str | dt.datetime) -> int:
    return int(moment(as_of).timestamp() * 1000)


def _time_of(loaded: Mapping[str, Table], snapshot_id: str) -> int:
    for table in loaded.values():
        if (snapshot := table.snapshot_by_id(int(snapshot_id))) is not None:
            return snapshot.timestamp_ms
    name, table = next(iter(loaded.items()))
    raise expired(table, name, snapshot_id)


def expired(table: Table, name: str, as_of: AsOf) -> SnapshotExpiredError:
    """Return the error for what ``table`` does not keep, with the oldest that it does."""
    kept = table.snapshots()
    oldest = kept[0] if kept else None
    at = (
        dt.datetime.fromtimestamp(oldest.timestamp_ms / 1000, dt.UTC).isoformat()
        if oldest is not None
        else None
    )
    return SnapshotExpiredError(
        f"{name!r} keeps no snapshot of {'now' if as_of is None else str(as_of)[:64]!r}.",
        hint=f"The oldest kept is of {at}." if at else "Nothing was ever written to it.",
        table=name,
        oldest=None if oldest is None else str(oldest.snapshot_id),
        oldest_at=at,
    )
