"""Progress as a person sees it, drawn from frames and from nothing else."""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from clients.cli import output

if TYPE_CHECKING:
    from clients.session.calls import Report

Frame = dict[str, Any]
UNITS = {"bar.processed": "bars", "rows.processed": "rows", "trial.done": "trials"}
"""Stages that come often, with what they count: a bar shows them, a plain log leaves them out."""


class Gauge:
    """A progress bar with rate and time left on a terminal; one line per stage elsewhere."""

    def __init__(self, title: str, unit: str = "") -> None:
        self._title = title
        self._unit = unit
        self._bar: Any = None
        self._task: Any = None
        self._tally = Tally()

    def __enter__(self) -> Gauge:
        if output.interactive():
            self._bar = _bar()
            self._bar.start()
            self._task = self._bar.add_task(self._title, total=None, rate="")
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()
        if said := self._tally.text():
            output.note(f"{self._title}: {said}")

    def show(self, frame: Frame) -> None:
        """Show one frame."""
        stage, message = str(frame["stage"]), str(frame["message"])
        self._tally.read(frame)
        if self._bar is None:
            if stage not in UNITS:
                output.note(f"{self._title}: {stage}: {message}")
            return
        if stage == "warning":
            self._bar.console.print(f"warning: {message}", style="yellow", markup=False)
            return
        if stage == "layer.done":
            self._bar.console.print(f"  {message}", style="dim", markup=False, highlight=False)
        self._unit = UNITS.get(stage, self._unit)
        self.move(frame.get("current"), frame.get("total"), str(frame.get("table") or stage))

    def move(self, current: float | None, total: float | None, label: str) -> None:
        """Set the bar; without a total it runs to and fro, without a count its label changes."""
        if self._bar is None:
            return
        self._bar.update(self._task, description=f"{self._title}: {label}")
        if current is not None:
            self._bar.update(self._task, completed=current, total=total or None)
            self._bar.update(self._task, rate=self._rate())

    def _rate(self) -> str:
        speed = self._bar.tasks[0].speed
        return f"{speed:,.0f} {self._unit}/s" if speed and self._unit else ""


class Tally:
    """How many rows a run has done in which time, by the frames' own clock."""

    def __init__(self) -> None:
        self._began: dt.datetime | None = None
        self._ended: dt.datetime | None = None
        self._count = 0
        self._unit = ""

    def read(self, frame: Frame) -> None:
        """Take in one frame."""
        stage, count = str(frame.get("stage")), frame.get("current")
        if stage == "start" or self._began is None:  # another attempt begins anew
            self._began, self._count = _moment(frame), 0
        if stage in UNITS and isinstance(count, int | float):
            self._count, self._unit = max(self._count, int(count)), UNITS[stage]
        self._ended = _moment(frame)

    def text(self) -> str:
        """Return ``12,154 rows in 1.2 s, 10,128 rows/s``; empty where nothing was counted."""
        if self._began is None or self._ended is None or not self._count:
            return ""
        seconds = (self._ended - self._began).total_seconds()
        rate = f", {self._count / seconds:,.0f} {self._unit}/s" if seconds > 0 else ""
        return f"{self._count:,} {self._unit} in {seconds:.1f} s{rate}"


@contextlib.contextmanager
def reporting(title: str) -> Iterator[Report]:
    """Give a progress callback of MCP, drawn as a bar."""
    with Gauge(title) as gauge:

        async def report(current: float, total: float | None, message: str | None) -> None:
            gauge.move(current, total, message or "")

        yield report


def _bar() -> Any:
    from rich.progress import (
        BarColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TextColumn("{task.fields[rate]}", markup=False),
        TimeElapsedColumn(),
        TimeRemainingColumn(compact=True),
        console=output.errors(),
        transient=True,
    )


def _moment(frame: Frame) -> dt.datetime | None:
    try:
        return dt.datetime.fromisoformat(str(frame.get("timestamp")))
    except ValueError:
        return None
