"""Tables of signals and universes in the lake of the test home, written as a run would."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from lakehouse.write import Receipt, append_arrow
from runtimes.context import Workshop
from tests.kit.market import SPEC_SHA, START
from topology.ids import new_id

TIME = pa.timestamp("us", tz="UTC")
Row = tuple[str, int, int, float | None]
"""Symbol, day of the row, day on which it was known (0 is 2001-01-01, at 21:00 UTC), value."""


def day(number: int) -> dt.datetime:
    return START + dt.timedelta(days=number)


def put_signals(
    workshop: Workshop, table: str, rows: Sequence[Row], *, column: str = "score"
) -> Receipt:
    """Append rows to a table of signals."""
    symbols, about, known, values = zip(*rows, strict=True)
    run_id = new_id(START)
    data = {
        "vt_symbol": pa.array(symbols),
        "timestamp": pa.array([day(n) for n in about], TIME),
        "available_at": pa.array([day(n) for n in known], TIME),
        column: pa.array(values, pa.float64()),
        "run_id": pa.array([run_id] * len(rows)),
    }
    return _append(workshop, "gold", table, data, run_id)


def put_universe(
    workshop: Workshop, table: str, name: str, stays: dict[str, tuple[int, int | None]]
) -> Receipt:
    """Append a universe: from which day to which day (None: still) each symbol belongs."""
    run_id, count = new_id(START), len(stays)
    ends = [None if until is None else day(until).date() for _, until in stays.values()]
    data = {
        "universe": pa.array([name] * count),
        "vt_symbol": pa.array(list(stays)),
        "date_from": pa.array([day(since).date() for since, _ in stays.values()], pa.date32()),
        "date_to": pa.array(ends, pa.date32()),
        "known_at": pa.array([START] * count, TIME),
        "source": pa.array(["test"] * count),
        "run_id": pa.array([run_id] * count),
    }
    return _append(workshop, "silver", table, data, run_id)


def _append(
    workshop: Workshop, layer: Any, table: str, data: dict[str, pa.Array], run_id: str
) -> Receipt:
    return append_arrow(
        layer,
        table,
        pa.table(data),
        key=f"{run_id}:{table}",
        run_id=run_id,
        spec_sha256=SPEC_SHA,
        log=workshop.log,
        lake=workshop.lake,
    )
