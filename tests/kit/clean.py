"""Rows cleaned in one go: what `lakehouse.ingest` does with them on the way to silver."""

from __future__ import annotations

import datetime as dt
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from lakehouse import keys, staging
from lakehouse.clean import cleaning
from lakehouse.providers.base import Kind, Reading, Resolution
from tests.kit.lake import NOW

NOBODY = pa.table({"vt_symbol": pa.array([], pa.string()), "currency": pa.array([], pa.string())})


@dataclass(frozen=True, slots=True)
class Cleaned:
    """``bars`` typed, one per key, sorted; ``rejects`` with ``row, reason, detail, content``."""

    bars: pa.Table
    rejects: pa.Table


def clean(
    rows: pa.Table,
    reading: Reading | None = None,
    *,
    kind: Kind = "bars",
    resolution: Resolution = "1d",
    now: dt.datetime = NOW,
    held: Mapping[str, str] | None = None,
) -> Cleaned:
    """Clean the rows of one payload; ``held`` has the currencies that the table knows."""
    reading = reading or Reading()
    plain = rows.append_column("_row", pa.array(range(1, rows.num_rows + 1), pa.int64()))
    numbered = plain.append_column("_no", pa.array([0] * rows.num_rows, pa.int32()))
    known = (
        NOBODY if held is None else pa.table({"vt_symbol": [*held], "currency": [*held.values()]})
    )
    with (
        tempfile.TemporaryDirectory() as folder,
        staging.opened(kind, memory_mb=256, spill=Path(folder)) as stage,
    ):
        how = cleaning(numbered, reading, kind=kind, resolution=resolution, now=now)
        stage.add(numbered, how)
        stage.judge(known, reading.redenominated)
        parts = list(keys.parts(stage.good(), rows=100_000))
        for part in parts:
            if part.doubles.num_rows:
                stage.doubles(part.doubles)
        none = pa.Table.from_batches([next(stage.good())]).drop_columns("_row")
        bars = pa.concat_tables([none, *(part.first for part in parts)]).drop_columns("_no")
        rejects = pa.Table.from_batches(list(stage.rejects()))
    names = {"_row": "row"}
    rejects = rejects.drop_columns("_no")
    return Cleaned(bars, rejects.rename_columns([names.get(n, n) for n in rejects.column_names]))
