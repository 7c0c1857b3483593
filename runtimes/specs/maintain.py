"""MaintainSpec: which tables of the lake are tidied, and how much of their past stays."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, Strict

from runtimes.part import Integer
from runtimes.specs.data import DataSpec

TABLE = r"^alphaswarm_(bronze|silver|gold)_[a-z][a-z0-9]*\.[a-z][a-z0-9_]{0,127}$"
Megabytes = Annotated[Integer, Field(ge=1, le=65_536)]


class MaintainSpec(DataSpec):
    """One pass over ``tables``, null meaning all; ``due`` passes over those that need none.

    Files below ``small_mb`` are joined up to ``group_mb`` where at least ``min_files`` lie in a
    partition. ``keep_snapshots`` newest snapshots stay, and whatever was current in the last
    ``keep_minutes``; what a run names stays for ever. A file that no snapshot names is deleted
    after ``orphan_hours``: null means 1 where the warehouse is private to its user, else 24.
    A table is due at ``small_files`` in one partition or ``snapshots`` that no run names.
    """

    task: Literal["maintain"] = "maintain"
    tables: (
        Annotated[
            tuple[Annotated[str, Field(pattern=TABLE)], ...],
            Strict(strict=False),
            Field(min_length=1, max_length=1_000),
        ]
        | None
    ) = None
    due: bool = False
    small_mb: Megabytes = 32
    group_mb: Megabytes = 512
    min_files: Annotated[Integer, Field(ge=2, le=1_000)] = 5
    keep_snapshots: Annotated[Integer, Field(ge=1, le=100_000)] = 100
    keep_minutes: Annotated[Integer, Field(ge=15, le=525_600)] = 15
    orphan_hours: Annotated[Integer, Field(ge=1, le=8_760)] | None = None
    small_files: Annotated[Integer, Field(ge=2, le=100_000)] = 50
    snapshots: Annotated[Integer, Field(ge=1, le=1_000_000)] = 200
    memory_mb: Annotated[Integer, Field(ge=128, le=65_536)] = 512
