"""Faults on purpose: raise, delay or die at a named step of an append."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from pyiceberg.catalog import MetastoreCatalog
from pyiceberg.catalog.sql import SqlCatalog

from lakehouse.sealed import SealedIO
from lakehouse.write import Entry
from ledger.appends import Appends

Action = Callable[[], None]
LOG_STEPS = ("find", "lock", "claim", "settle")
FILE_STEPS = ("data file", "manifest", "metadata", "swap")
"""What an Iceberg commit leaves behind one after the other; the swap is the commit."""


def die() -> None:
    """End this process as ``kill -9`` does."""
    os.kill(os.getpid(), signal.SIGKILL)


def failing(error: Exception) -> Action:
    """Return an action that raises ``error``."""

    def act() -> None:
        raise error

    return act


def delayed(seconds: float) -> Action:
    """Return an action that takes a while."""
    return lambda: time.sleep(seconds)


@dataclass
class FaultyLog:
    """An append log that acts ``before STEP`` or ``after STEP`` as its plan says.

    An action is used up: the second time the step just works. ``steps`` keeps what was called.
    """

    log: Appends
    plan: dict[str, Action]
    steps: list[str] = field(default_factory=list)

    def find(self, table: str, key: str) -> Entry | None:
        """Look up the claim."""
        with self._around("find"):
            return self.log.find(table, key)

    @contextmanager
    def lock(self, table: str) -> Iterator[None]:
        """Hold the table."""
        with self._around("lock"):
            held = self.log.lock(table)
            held.__enter__()
        try:
            yield
        finally:
            held.__exit__(None, None, None)

    def claim(self, table: str, key: str, digest: str, rows: int, run_id: str) -> Entry:
        """Record the claim."""
        with self._around("claim"):
            return self.log.claim(table, key, digest, rows, run_id)

    def settle(self, table: str, key: str, snapshot_id: str) -> None:
        """Record the snapshot."""
        with self._around("settle"):
            self.log.settle(table, key, snapshot_id)

    def unsettled(self, table: str) -> list[str]:
        """Return the claims that are not settled."""
        return self.log.unsettled(table)

    def keys(self, table: str, prefix: str) -> list[tuple[str, bool]]:
        """Return the keys with a prefix."""
        return self.log.keys(table, prefix)

    @contextmanager
    def _around(self, step: str) -> Iterator[None]:
        self.steps.append(step)
        self._act(f"before {step}")
        yield
        self._act(f"after {step}")

    def _act(self, moment: str) -> None:
        action = self.plan.pop(moment, None)
        if action is not None:
            action()


@contextmanager
def after_file(step: str, action: Action) -> Iterator[None]:
    """Act once after the data file, the manifest, the metadata file or the swap of a commit.

    What Iceberg calls to write and commit is patched: an output that is opened says that the
    one before it is complete.
    """
    opened, wrote, committed = (
        SealedIO.new_output,
        MetastoreCatalog._write_metadata,
        SqlCatalog.commit_table,
    )
    trigger: Mapping[str, str] = {"data file": "-m0.avro", "manifest": "/snap-"}

    def new_output(self: SealedIO, location: str) -> Any:
        if step in trigger and trigger[step] in location:
            action()
        return opened(self, location)

    def write_metadata(*given: Any, **named: Any) -> None:
        wrote(*given, **named)
        if step == "metadata":
            action()

    def commit_table(self: SqlCatalog, *given: Any) -> Any:
        done = committed(self, *given)
        if step == "swap":
            action()
        return done

    _put(SealedIO, "new_output", new_output)
    _put(MetastoreCatalog, "_write_metadata", staticmethod(write_metadata))
    _put(SqlCatalog, "commit_table", commit_table)
    try:
        yield
    finally:
        _put(SealedIO, "new_output", opened)
        _put(MetastoreCatalog, "_write_metadata", staticmethod(wrote))
        _put(SqlCatalog, "commit_table", committed)


def _put(owner: type, name: str, value: Any) -> None:
    setattr(owner, name, value)
