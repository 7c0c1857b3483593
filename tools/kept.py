"""Reading what a backtest left in the gold tables, and refusing where there is nothing yet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ledger.runs import Run
from tools import runs as seen
from tools.curves import Floats, Ints
from tools.registry import Office
from topology.errors import MissingError

KIND = "backtest"
HINT = "get_run with wait_s waits for the end; a run without fills has no fills table."


def read(office: Office, run_id: str) -> Run:
    """Return a backtest run; another kind's or an unknown one is ``not_found``."""
    return seen.read(office, run_id, kind=KIND)


def has(run: Run, role: str) -> bool:
    """Tell whether the run left a table of that role."""
    return role in (run.result_tables or {})


def table(
    office: Office, run: Run, role: str, *, columns: Sequence[str] | None = None
) -> tuple[Any, dict[str, str]]:
    """Return the run's rows of a result table (Arrow), and the snapshot they were read at."""
    name = (run.result_tables or {}).get(role)
    if name is None:
        raise MissingError(
            f"Run {run.run_id} has no {role}: it is {run.status}.", hint=HINT, status=run.status
        )
    from lakehouse import query
    from lakehouse.scan import Where

    snapshot_ids = query.resolve(office.lake, [name])
    where = Where() if name.endswith(run.run_id) else Where(run_id=run.run_id)
    found = query.read(office.lake, name, columns=columns, where=where, as_of=snapshot_ids[name])
    return found, snapshot_ids


def nanoseconds(found: Any, column: str = "timestamp") -> Ints:
    """Return a column of times as int64 ns UTC."""
    values = found.column(column).to_numpy().astype("datetime64[ns]").astype(np.int64)
    return np.asarray(values, dtype=np.int64)


def numbers(found: Any, column: str) -> Floats:
    """Return a column as float64, null as NaN."""
    return np.asarray(found.column(column).to_numpy(), dtype=np.float64)


def started(run: Run) -> None:
    """Raise ``not_found`` for a run that has neither ended nor left anything."""
    if run.status not in seen.ENDED:
        raise MissingError(
            f"Run {run.run_id} has no result yet: it is {run.status}.", hint=HINT, status=run.status
        )
