"""Trials as rows of two gold tables: what each is worth, and the equity of those that keep it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from lakehouse.write import append_arrow
from runtimes.backtest.record import NAMESPACE, arrow
from runtimes.backtest.scoring import Score
from runtimes.context import RunContext
from runtimes.engine.results import Columns, digest

WHOLE = "all"
"""The split of a sweep's trials: the whole period."""
PATH = -1
"""The trial of a stitched path: it is none of those that were tried."""
ROWS = 1_000_000
"""Rows of equity that are written at once: some 50 MB."""
COLUMNS = ("sharpe", "total_return", "max_drawdown")


class TrialTables:
    """Collects rows in the order in which they are added and appends them to the lake.

    Each append has the key ``<run_id>:<table>:<number>``, and where one ends depends on the rows
    alone: a second attempt of the run gets the receipts of the first.
    """

    def __init__(self, context: RunContext) -> None:
        self._context = context
        self._rows: list[tuple[Score, str, str]] = []
        self._curves: list[tuple[Score, str]] = []
        self._waiting = 0
        self._written = 0
        self.tables: dict[str, str] = {}

    def add(
        self, score: Score, params: Mapping[str, Any], *, split: str = WHOLE, keep: bool = False
    ) -> None:
        """Add a trial's row, and its equity where it is kept; write what has become large."""
        bare = Score(score.trial, score.timestamps[:0], score.equity[:0], score.statistics)
        self._rows.append((bare, split, json.dumps(dict(params), sort_keys=True)))
        if keep and not score.failed:
            self.keep(score, split=split)

    def keep(self, score: Score, *, split: str = WHOLE) -> None:
        """Add the equity of a trial."""
        self._curves.append((score, split))
        self._waiting += score.equity.size
        if self._waiting >= ROWS:
            self._write_equity()

    @property
    def empty(self) -> bool:
        """Tell whether no trial was added."""
        return not self._rows

    @property
    def trials(self) -> int:
        """Return how many trials have a row."""
        return len({score.trial for score, _, _ in self._rows if score.trial != PATH})

    @property
    def failed(self) -> int:
        """Return how many trials failed, on all bars or on some."""
        return len({score.trial for score, _, _ in self._rows if score.failed})

    def digest(self) -> str:
        """Return the SHA-256 over every row; a row holds the digest of its own equity."""
        return digest(self._columns())

    def write(self) -> dict[str, str]:
        """Append what was not yet written and return the tables' names by role."""
        if self._curves:
            self._write_equity()
        if self._rows:
            columns = self._columns()
            run_id = self._context.run.run_id
            data = arrow({n: c for n, c in columns.items() if n not in COLUMNS}, run_id=run_id)
            for place, name in enumerate(COLUMNS):
                numbers = pa.array(columns[name], pa.float64(), from_pandas=True)
                data = data.add_column(4 + place, name, numbers)
            self._append("trials", data, "trials")
        return self.tables

    def _columns(self) -> Columns:
        scores = [score for score, _, _ in self._rows]
        numbers = {
            name: np.array([_number(score.statistics.get(name)) for score in scores])
            for name in COLUMNS
        }
        return {
            "trial": np.array([score.trial for score in scores], dtype=np.int64),
            "split": np.array([split for _, split, _ in self._rows], dtype=object),
            "params": np.array([params for _, _, params in self._rows], dtype=object),
            **numbers,
            "statistics": np.array(
                [json.dumps(dict(score.statistics), sort_keys=True) for score in scores],
                dtype=object,
            ),
        }

    def _write_equity(self) -> None:
        sizes = [score.equity.size for score, _ in self._curves]
        columns: Columns = {
            "trial": np.repeat([score.trial for score, _ in self._curves], sizes),
            "split": np.repeat(np.array([s for _, s in self._curves], dtype=object), sizes),
            "timestamp": np.concatenate([score.timestamps for score, _ in self._curves]),
            "equity": np.concatenate([score.equity for score, _ in self._curves]),
        }
        self._append(
            "trial_equity",
            arrow(columns, run_id=self._context.run.run_id),
            f"trial_equity:{self._written}",
        )
        self._written += 1
        self._curves, self._waiting = [], 0

    def _append(self, role: str, data: pa.Table, key: str) -> None:
        context = self._context
        context.hold()
        name = f"{NAMESPACE}.{role}"
        append_arrow(
            "gold",
            name,
            data,
            key=f"{context.run.run_id}:{key}",
            run_id=context.run.run_id,
            spec_sha256=context.run.spec_sha256,
            log=context.workshop.log,
            lake=context.workshop.lake,
        )
        self.tables[role] = name


def _number(value: Any) -> float:
    return float("nan") if value is None else float(value)
