"""Passes in processes of their own, to be killed: at a named step, or whenever it pleases."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from lakehouse.lake import open_lake
from ledger.appends import Appends
from ledger.pool import open_pool
from tests.kit.faults import FILE_STEPS, after_file, die
from tests.kit.lake import Silent
from tests.kit.upkeep import KEEP_FEW, keep_up
from topology.frames import Progress

MOMENTS = (
    "step 3",  # one row group written, in no snapshot
    "data file",  # the joined file is there
    "metadata",  # exchanged, but for the swap
    "swap 1",  # compacted
    "swap 2",  # tagged
    "swap 3",  # expired, and every file still there
    "unlink",  # swept, but for all files after the first
)
"""When a pass dies: at its n-th checkpoint, behind a file or the n-th commit, while sweeping."""

LAGGING = dataclasses.replace(KEEP_FEW, grace=dt.timedelta(seconds=3))
"""Leaves readers of the last seconds their files."""


def tidy(uri: str, warehouse: str, dsn: str, table: str, spill: str) -> None:
    """Do passes without end."""
    lake = open_lake(uri, warehouse)
    with closing(open_pool(dsn, name="tidy", max_size=2)) as pool:
        while True:
            keep_up(lake, Appends(pool, dsn), table, Path(spill), policy=LAGGING)


def tidy_and_die(
    uri: str, warehouse: str, dsn: str, table: str, spill: str, named: str, moment: str
) -> None:
    """Do one pass and die in it."""
    lake = open_lake(uri, warehouse)
    kind, _, number = moment.rpartition(" ") if moment[-1].isdigit() else (moment, "", "1")
    countdown = Countdown(int(number))
    with (
        closing(open_pool(dsn, name="doomed", max_size=2)) as pool,
        contextlib.ExitStack() as stack,
    ):
        progress: Progress = countdown if kind == "step" else Silent()
        if kind == "unlink":
            stack.enter_context(_second_unlink())
        elif kind in FILE_STEPS:
            stack.enter_context(after_file(kind, countdown.checkpoint))
        keep_up(lake, Appends(pool, dsn), table, Path(spill), named=[named], progress=progress)


class Countdown:
    """Dies when it is asked the n-th time."""

    def __init__(self, times: int) -> None:
        self._left = times

    def emit(self, stage: str, message: str, **extras: Any) -> None:
        """Say nothing."""

    def checkpoint(self) -> None:
        """Count down."""
        self._left -= 1
        if self._left == 0:
            die()


@contextlib.contextmanager
def _second_unlink() -> Iterator[None]:
    countdown, unlink = Countdown(2), Path.unlink

    def counting(self: Path, *, missing_ok: bool = False) -> None:
        if self.suffix in {".parquet", ".avro", ".json"}:
            countdown.checkpoint()
        unlink(self, missing_ok=missing_ok)

    Path.unlink = counting  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        Path.unlink = unlink  # type: ignore[method-assign]
