"""Follow a run to its end: frames in, a bar out, and Ctrl-C asks whether the run goes on."""

from __future__ import annotations

import sys
import time
from typing import Any

import typer

from clients.cli import calls, output
from clients.cli.place import Place
from clients.cli.progress import Gauge

SECOND_S = 2.0
"""How long a second Ctrl-C counts as the wish to cancel."""
ENDS = {"succeeded": output.OK, "halted": output.HALTED}
"""Exit code by the status of an ended run; every other status is `output.FAILED`."""


def to_the_end(place: Place, handle: dict[str, Any], *, kind: str, title: str) -> dict[str, Any]:
    """Show the frames of a run until its last one, and return the run's record.

    On Ctrl-C the command asks whether the run goes on, says how to come back and ends (exit 130).
    A second Ctrl-C cancels the run; where nobody can answer, it counts for 2 s.
    """
    try:
        return ended(place, handle, kind=kind, title=title)
    except KeyboardInterrupt:
        _detach(place, str(handle["run_id"]), kind)
        raise typer.Exit(output.DETACHED) from None


def ended(place: Place, handle: dict[str, Any], *, kind: str, title: str) -> dict[str, Any]:
    """Show the frames of a run until its last one, and return its record with ``last_frame``."""
    last = watch(place, str(handle["task_id"]), title=title)
    run = calls.call(place, calls.owner(kind), "get_run", {"run_id": handle["run_id"]})
    return {**run, "last_frame": last}


def watch(place: Place, task_id: str, *, title: str) -> dict[str, Any]:
    """Show frames and return the terminal one."""
    last: dict[str, Any] = {}
    with Gauge(title) as gauge:
        for frame in calls.stream(place, task_id).frames():
            gauge.show(frame)
            last = frame
    return last


def exit_code(status: str) -> int:
    """Return the exit code for the status of an ended run."""
    return ENDS.get(status, output.FAILED)


def _detach(place: Place, run_id: str, kind: str) -> None:
    output.note(f"Detached; the run goes on. Return with: alphaswarm runs logs {run_id} -f")
    output.note("Press Ctrl-C again to cancel the run.")
    try:
        unwanted = _asked()
    except (KeyboardInterrupt, typer.Abort):
        unwanted = True
    if unwanted:
        calls.call(place, calls.owner(kind), "cancel_run", {"run_id": run_id})
        output.note("Asked for the run's cancellation.")


def _asked() -> bool:
    """Tell whether the person wants the run to end; without one it waits for a second Ctrl-C."""
    if not (output.interactive() and sys.stdin.isatty()):
        time.sleep(SECOND_S)
        return False
    return not typer.confirm("Does the run go on?", default=True, err=True)
