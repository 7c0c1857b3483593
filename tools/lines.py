"""The equity curve that stands for a run: its own, or that of the trial which its row describes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ledger.runs import Run
from tools import curves, kept, trials
from tools.registry import Office


@dataclass(frozen=True, slots=True)
class Line:
    """A stored curve: times int64 ns, equity, and what else each bar has (nan: nothing)."""

    times: curves.Ints
    equity: curves.Floats
    exposure: curves.Floats
    name: str = ""
    behind: Sequence[dict[str, Any]] = ()


def of_run(office: Office, run: Run) -> Line:
    """Return the curve of a run, of one of many trials its own; of one without any an empty one."""
    if kept.has(run, "equity"):
        table, _ = kept.table(office, run, "equity")
        times, equity = kept.nanoseconds(table), kept.numbers(table, "equity")
        return Line(times, equity, kept.numbers(table, "gross_exposure"))
    own, behind = trials.curves(office, run)
    if not own:
        return Line(np.empty(0, dtype=np.int64), np.empty(0), np.empty(0))
    return Line(
        own["times"], own["equity"], np.full(len(own["times"]), np.nan), own["name"], behind
    )
