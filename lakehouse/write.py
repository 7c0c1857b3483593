"""The only write path into the lake: exactly once by key, whoever dies or races.

A PostgreSQL claim says what is being written, an advisory lock lets one writer at a time into a
table, and the key in the snapshot's summary proves a commit whose writer died before settling.
None of the three is enough alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import pyarrow as pa
from pyiceberg.table import Table

from lakehouse import batch, catalog, layers, novelty, schemas
from lakehouse.change import Change
from lakehouse.errors import IdempotencyConflictError, SchemaMismatchError
from lakehouse.lake import Lake
from lakehouse.layers import TableName
from lakehouse.schemas import Shape
from topology.errors import BadInputError, FaultError

LONGEST_KEY = 200
KEY, DIGEST = "alphaswarm.key", "alphaswarm.sha256"
RUN, SPEC = "alphaswarm.run_id", "alphaswarm.spec_sha256"
NO_SNAPSHOT = "0"
"""What is settled when a batch held nothing new for a table that does not exist."""

How = Literal["new", "replay", "recovered"]


class Entry(Protocol):
    """A claimed append; ``snapshot_id`` is None until it is settled."""

    @property
    def digest(self) -> str:
        """Return the digest of the rows."""

    @property
    def snapshot_id(self) -> str | None:
        """Return the snapshot that holds the rows."""


class AppendLog(Protocol):
    """Where claims are kept and locks are held; the ledger has one."""

    def find(self, table: str, key: str) -> Entry | None:
        """Return the append of this key, or None."""

    def lock(self, table: str) -> AbstractContextManager[None]:
        """Hold the table alone; the end of the process frees it."""

    def claim(self, table: str, key: str, digest: str, rows: int, run_id: str) -> Entry:
        """Record what is about to be written; return what stands, ours or an earlier claim."""

    def settle(self, table: str, key: str, snapshot_id: str) -> None:
        """Record that the rows are there."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """What an append did. ``rows`` counts those that this key put into the table, ever.

    ``snapshot_id`` is the snapshot with the rows; where nothing was new, the one that was current
    (``"0"`` for a table that does not exist).
    """

    table: str
    snapshot_id: str
    rows: int
    how: How


def append_arrow(
    layer: str,
    table: str,
    data: pa.Table,
    *,
    key: str,
    run_id: str,
    spec_sha256: str,
    log: AppendLog,
    lake: Lake,
    summary: Mapping[str, str] | None = None,
) -> Receipt:
    """Append ``data`` to ``table`` exactly once for this ``key`` and return the receipt.

    The same key with the same rows, in any layout, returns the first receipt (``replay``, or
    ``recovered`` when the first writer died between commit and settling); with other rows it
    raises ``idempotency_conflict``. Silver and bronze take only what is new to them, see
    `lakehouse.schemas.Novelty`. ``summary`` adds properties to the snapshot.

    Raises the errors of `lakehouse.batch.fit`, ``layer_mismatch``, ``table_not_found`` for an
    unregistered table, ``table_busy`` after a minute of waiting, ``store_unreachable``.
    """
    name = layers.check(layer, table)
    _refuse_reader(data)
    _refuse_key(key, run_id, spec_sha256)
    shape = schemas.of(name, data.schema)
    _refuse_other_run(name, run_id)
    rows = batch.fit(data, shape)
    append = _Append(
        name, shape, rows, batch.digest(rows), key, run_id, spec_sha256, log, lake, summary or {}
    )
    return append.receipt()


@dataclass(frozen=True, slots=True)
class _Append:
    name: TableName
    shape: Shape
    rows: pa.Table
    digest: str
    key: str
    run_id: str
    spec_sha256: str
    log: AppendLog
    lake: Lake
    summary: Mapping[str, str]

    def receipt(self) -> Receipt:
        table = str(self.name)
        if (snapshot_id := self._settled(self.log.find(table, self.key))) is not None:
            return self._replay(snapshot_id)
        with self.log.lock(table):
            entry = self.log.claim(table, self.key, self.digest, self.rows.num_rows, self.run_id)
            if (snapshot_id := self._settled(entry)) is not None:
                return self._replay(snapshot_id)
            return self._write()

    def _settled(self, entry: Entry | None) -> str | None:
        if entry is not None and entry.digest != self.digest:
            raise IdempotencyConflictError(
                f"The key {self.key!r} of {str(self.name)!r} already stands for other rows.",
                hint="A key names one content: use a new key, or find out why the rows differ.",
                key=self.key,
                table=str(self.name),
                stored_sha256=entry.digest,
                given_sha256=self.digest,
            )
        return None if entry is None else entry.snapshot_id

    def _write(self) -> Receipt:
        """Commit what is new, unless a dead writer already has; the table's lock is held."""
        found = catalog.find(self.lake, str(self.name))
        if found is not None:
            catalog.grow(found, self.shape)
            catalog.refuse_unlike(found, self.name, self.shape)
            if (snapshot := _snapshot_of(found, self.key)) is not None:
                return self._settle(str(snapshot.snapshot_id), _rows_of(snapshot), "recovered")
        fresh = novelty.fresh(self.lake, self.name, self.shape, self.rows, found)
        if not fresh.num_rows:
            current = found.current_snapshot() if found is not None else None
            return self._settle(str(current.snapshot_id) if current else NO_SNAPSHOT, 0, "new")
        target = catalog.create(self.lake, self.name, self.shape) if found is None else found
        return self._settle(self._commit(target, fresh), fresh.num_rows, "new")

    def _commit(self, table: Table, rows: pa.Table) -> str:
        properties = {
            **self.summary,
            KEY: self.key,
            DIGEST: self.digest,
            RUN: self.run_id,
            SPEC: self.spec_sha256,
        }
        with catalog.reaching(), Change(table) as change:
            change.append(rows, snapshot_properties=properties)
        snapshot = table.current_snapshot()
        if snapshot is None:
            raise FaultError(f"{str(self.name)!r} has no snapshot after a commit.")
        return str(snapshot.snapshot_id)

    def _settle(self, snapshot_id: str, rows: int, how: How) -> Receipt:
        self.log.settle(str(self.name), self.key, snapshot_id)
        return Receipt(str(self.name), snapshot_id, rows, how)

    def _replay(self, snapshot_id: str) -> Receipt:
        """Return the first receipt; an expired snapshot leaves the batch's own count."""
        rows = 0
        if snapshot_id != NO_SNAPSHOT:
            snapshot = catalog.load(self.lake, str(self.name)).snapshot_by_id(int(snapshot_id))
            rows = self.rows.num_rows if snapshot is None else _rows_of(snapshot, self.key)
        return Receipt(str(self.name), snapshot_id, rows, "replay")


def _refuse_reader(data: object) -> None:
    if not isinstance(data, pa.Table):
        raise SchemaMismatchError(
            f"A batch is a pyarrow.Table, not a {type(data).__name__}.",
            hint="Read it whole first, reader.read_all(): a reader is empty at the second try.",
        )


def _refuse_key(key: str, run_id: str, spec_sha256: str) -> None:
    if not 1 <= len(key) <= LONGEST_KEY or not key.isprintable():
        raise BadInputError(
            f"An idempotency key has 1 to {LONGEST_KEY} printable characters.",
            hint="Use <run_id>:<stage>.",
            value=key[:LONGEST_KEY],
        )
    if not run_id or not spec_sha256:
        raise BadInputError(
            "An append names its run and the hash of its spec.",
            hint="Pass run_id and spec_sha256.",
        )


def _refuse_other_run(name: TableName, run_id: str) -> None:
    if name.layer == "gold" and name.name.startswith("run_") and name.name != f"run_{run_id}":
        raise BadInputError(
            f"{str(name)!r} is the table of another run.",
            hint=f"Append to {name.namespace}.run_{run_id}.",
            table=str(name),
            run_id=run_id,
        )


def _snapshot_of(table: Table, key: str) -> Any:
    """Return the newest snapshot whose summary names ``key``, or None."""
    for snapshot in reversed(table.snapshots()):
        if snapshot.summary is not None and snapshot.summary.additional_properties.get(KEY) == key:
            return snapshot
    return None


def _rows_of(snapshot: Any, key: str | None = None) -> int:
    """Return how many rows the snapshot added, 0 where it is not the one of ``key``."""
    properties = snapshot.summary.additional_properties if snapshot.summary else {}
    if key is not None and properties.get(KEY) != key:
        return 0
    return int(properties.get("added-records", 0))
