"""Which snapshot is meant: the newest, one by its id, or the one of a time."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import overload

from pyiceberg.table import Table

from lakehouse.errors import SnapshotExpiredError
from topology.errors import BadInputError

AsOf = str | dt.datetime | None
"""A snapshot id (decimal text), an RFC 3339 time or an aware datetime; None is now."""


@overload
def snapshot_at(loaded: Mapping[str, Table], name: str, as_of: AsOf) -> str: ...
@overload
def snapshot_at(
    loaded: Mapping[str, Table], name: str, as_of: AsOf, *, required: bool
) -> str | None: ...
def snapshot_at(
    loaded: Mapping[str, Table], name: str, as_of: AsOf, *, required: bool = True
) -> str | None:
    """Return the snapshot id of ``loaded[name]`` at ``as_of``.

    A snapshot id of another of the loaded tables means that snapshot's time. Nothing there at
    that time raises ``snapshot_expired`` where it is ``required``, else gives None.
    """
    table = loaded[name]
    if as_of is None:
        found = table.current_snapshot()
    elif isinstance(as_of, str) and as_of.isdecimal():
        found = table.snapshot_by_id(int(as_of))
        if found is None:
            found = table.snapshot_as_of_timestamp(_time_of(loaded, as_of))
    else:
        found = table.snapshot_as_of_timestamp(_milliseconds(as_of))
    if found is None and required:
        raise expired(table, name, as_of)
    return None if found is None else str(found.snapshot_id)


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
