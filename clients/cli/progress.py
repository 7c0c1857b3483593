"""Progress as a person sees it, drawn from frames and from nothing else."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from clients.cli import output

if TYPE_CHECKING:
    from clients.session import Report

Frame = dict[str, Any]
_COUNTS = frozenset({"bar.processed", "rows.processed", "trial.done"})
"""Stages that come often: a bar shows them, a log without a terminal leaves them out."""


class Gauge:
    """A progress bar on a terminal; one line per stage elsewhere."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._bar: Any = None
        self._task: Any = None

    def __enter__(self) -> Gauge:
        if output.interactive():
            from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

            columns = (
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                TextColumn("{task.percentage:>3.0f}%"),
                TimeElapsedColumn(),
            )
            self._bar = Progress(*columns, console=output.errors(), transient=True)
            self._bar.start()
            self._task = self._bar.add_task(self._title, total=None)
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def show(self, frame: Frame) -> None:
        """Show one frame."""
        stage, message = str(frame["stage"]), str(frame["message"])
        if self._bar is None:
            if stage not in _COUNTS:
                output.note(f"{self._title}: {stage}: {message}")
            return
        if stage == "warning":
            self._bar.console.print(f"warning: {message}", style="yellow", markup=False)
            return
        self.move(frame.get("current"), frame.get("total"), stage)

    def move(self, current: float | None, total: float | None, label: str) -> None:
        """Set the bar; without a count only its label changes."""
        if self._bar is not None:
            self._bar.update(self._task, description=f"{self._title}: {label}")
            if current is not None and total is not None:
                self._bar.update(self._task, completed=current, total=total)


@contextlib.contextmanager
def reporting(title: str) -> Iterator[Report]:
    """Give a progress callback of MCP, drawn as a bar."""
    with Gauge(title) as gauge:

        async def report(current: float, total: float | None, message: str | None) -> None:
            gauge.move(current, total, message or "")

        yield report
