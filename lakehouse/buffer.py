"""Rows that arrive one by one, all day long, written in few large appends, each exactly once.

A stream belongs to a run and a table. What was given and not yet appended is in memory only and
dies with the process: the table then has the stream up to `Stream.durable`, no row more and none
less, and whoever opens it again gives what came after that.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

import pyarrow as pa

from lakehouse.lake import Lake
from lakehouse.layers import TableName
from lakehouse.maintain.claims import ClaimLog, settle_held
from lakehouse.write import AppendLog, append_arrow
from topology.clock import Clock
from topology.errors import AlphaSwarmError, BadInputError, FaultError, StoreUnreachableError
from topology.frames import Progress

ROWS, AGE_S = 50_000, 5.0
"""An append is made of so many rows, or of what came in so many seconds."""
PATIENCE_S = 60.0
"""How long a writer waits for a store that does not answer before it is told."""
LONGEST_MARK = 100
RETRY_S, LOOK_S = 1.0, 0.1
_NAME = re.compile(r"[a-z][a-z0-9_.-]{0,39}")
_log = logging.getLogger(__name__)


class StreamLog(AppendLog, ClaimLog, Protocol):
    """The log of appends, with what a stream wrote before."""

    def keys(self, table: str, prefix: str) -> list[tuple[str, bool]]:
        """Return the keys that start with ``prefix``, sorted, each with: is it settled."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where a stream goes: a table of the lake, as a run with a spec."""

    lake: Lake
    log: StreamLog
    table: str
    run_id: str
    spec_sha256: str


def open_stream(
    name: str,
    target: Target,
    *,
    progress: Progress,
    clock: Clock,
    rows: int = ROWS,
    age_s: float = AGE_S,
    patience_s: float = PATIENCE_S,
) -> Stream:
    """Open the stream ``name`` of the run, and find up to where the table has it.

    Opening takes the table's lock: an earlier holder of the stream, killed or merely slow, has
    then finished its append or never will. Should that one wake and write on, its next append and
    ours have the same number: one of the two is refused with ``idempotency_conflict``.
    """
    if not _NAME.fullmatch(name):
        raise BadInputError(
            f"{name[:64]!r} is not the name of a stream.",
            hint="Write a lower-case letter, then letters, digits and _.-, 40 at most.",
            value=name[:64],
        )
    prefix = f"{target.run_id}:{name}:"
    with target.log.lock(target.table):
        settle_held(target.lake, target.log, target.table)
        keys = target.log.keys(target.table, prefix)
    settled = [key for key, done in keys if done]
    return Stream(
        target,
        prefix,
        first=_split(keys[-1][0], prefix)[0] + 1 if keys else 1,
        durable=_split(settled[-1], prefix)[1] if settled else None,
        progress=progress,
        clock=clock,
        bounds=(rows, age_s, patience_s),
    )


class Stream:
    """A buffered writer; `write` returns at once unless twice an append's rows wait.

    Rows of one `write` are never parted, so that every mark is a place to go on from.
    """

    def __init__(
        self,
        target: Target,
        prefix: str,
        *,
        first: int,
        durable: str | None,
        progress: Progress,
        clock: Clock,
        bounds: tuple[int, float, float],
    ) -> None:
        self._target, self._prefix, self._next = target, prefix, first
        self._progress, self._clock = progress, clock
        self._rows, self._age_s, self._patience_s = bounds
        self._waiting: list[pa.Table] = []
        self._count = 0
        self._mark, self._durable = "", durable
        self._since = 0.0
        self._hurry = self._closing = False
        self._trouble: AlphaSwarmError | None = None
        self._failed: BaseException | None = None
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._work, name="stream", daemon=True)
        self._thread.start()

    @property
    def durable(self) -> str | None:
        """Return the mark up to which the table has the stream; None means nothing of it."""
        with self._changed:
            return self._durable

    def write(self, rows: pa.Table, *, upto: str) -> None:
        """Take ``rows``, which bring the stream up to the mark ``upto``: a time, a sequence number.

        Waits while twice an append's rows are not written yet; after the patience is over, raises
        what keeps them. Raises what ended the stream, such as a halt or a refused batch.
        """
        if not 1 <= len(upto) <= LONGEST_MARK or not upto.isprintable():
            raise BadInputError(
                f"A mark has 1 to {LONGEST_MARK} printable characters.",
                hint="Use a time or a number that you can go on from.",
                value=upto[:LONGEST_MARK],
            )
        self._make_room()
        with self._changed:
            if not self._waiting:
                self._since = self._clock.monotonic()
            self._waiting.append(rows)
            self._count += rows.num_rows
            self._mark = upto
            self._changed.notify_all()

    def flush(self) -> None:
        """Return when everything given is in the table; raises as `write` does."""
        with self._changed:
            self._hurry = bool(self._count)
            self._changed.notify_all()
        self._wait(lambda: self._count)

    def close(self) -> None:
        """Write what waits and end the stream."""
        try:
            self.flush()
        finally:
            self._end()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close; where the block raised, what waits is still written, if that is possible."""
        if error is None:
            self.close()
            return
        try:
            self.close()
        except AlphaSwarmError as second:
            _log.warning("a stream ended at %r: %s", self._durable, second)

    def _make_room(self) -> None:
        self._wait(lambda: self._count >= 2 * self._rows)

    def _wait(self, busy: Callable[[], object]) -> None:
        """Return when it is not ``busy`` any more; check in meanwhile, and lose patience."""
        deadline = self._clock.monotonic() + self._patience_s
        while True:
            with self._changed:
                if self._failed is not None:
                    raise self._failed
                if self._closing:
                    raise FaultError("The stream is closed.", hint="Open it again.")
                if not busy():
                    return
                if self._trouble is not None and self._clock.monotonic() > deadline:
                    raise self._trouble
                self._changed.wait(LOOK_S)
            self._progress.checkpoint()

    def _end(self) -> None:
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join()

    def _work(self) -> None:
        """Append, until the stream is closed or cannot go on."""
        try:
            while (batch := self._due()) is not None:
                rows, mark = batch
                if not self._append(rows, mark):
                    return
                with self._changed:
                    self._count -= rows.num_rows
                    self._durable = mark
                    self._hurry = self._hurry and bool(self._waiting)
                    self._changed.notify_all()
        except BaseException as error:  # noqa: BLE001  it is raised where rows are given
            with self._changed:
                self._failed = error
                self._changed.notify_all()

    def _due(self) -> tuple[pa.Table, str] | None:
        """Wait for an append's worth of rows; None when the stream is closed."""
        with self._changed:
            while not self._closing:
                if self._waiting and self._is_due():
                    rows, mark = pa.concat_tables(self._waiting), self._mark
                    self._waiting = []
                    return rows, mark
                self._changed.wait(LOOK_S)
        return None

    def _is_due(self) -> bool:
        old = self._clock.monotonic() - self._since >= self._age_s
        return self._hurry or old or sum(rows.num_rows for rows in self._waiting) >= self._rows

    def _append(self, rows: pa.Table, mark: str) -> bool:
        """Append under the next key, again and again while a store is away; False when closed."""
        target, key = self._target, f"{self._prefix}{self._next:08d}:{mark}"
        while True:
            self._progress.checkpoint()
            try:
                append_arrow(
                    TableName.parse(target.table).layer,
                    target.table,
                    rows,
                    key=key,
                    run_id=target.run_id,
                    spec_sha256=target.spec_sha256,
                    log=target.log,
                    lake=target.lake,
                )
            except FaultError as error:
                if not isinstance(error, StoreUnreachableError) and error.wire_code != "table_busy":
                    raise
                with self._changed:
                    self._trouble = error
                    if self._closing or self._changed.wait_for(lambda: self._closing, RETRY_S):
                        return False
            else:
                self._next += 1
                with self._changed:
                    self._trouble = None
                return True


def _split(key: str, prefix: str) -> tuple[int, str]:
    """Return the number and the mark of one of our keys."""
    number, _, mark = key.removeprefix(prefix).partition(":")
    return int(number), mark
