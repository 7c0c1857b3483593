"""Look at what an ingest has touched, and keep what was found in ``<namespace>.quality``."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from lakehouse import batch, schemas
from lakehouse.lake import Lake
from lakehouse.layers import TableName
from lakehouse.quality.inspect import Inspected, Window, inspect
from lakehouse.quality.rule import SEVERITIES
from lakehouse.write import AppendLog, append_arrow
from topology.frames import Progress

MOST_ROWS = 10_000_000
"""Bars that an ingest has looked at: half a minute of work. What is left out is named."""


@dataclass(frozen=True, slots=True)
class Checked:
    """What the rules found in what an ingest touched; the rows are in ``quality``.

    ``by_severity`` counts findings of ``error, warning, info``, ``by_rule`` those of each rule that
    found any. ``not_checked`` are sentences on what no rule could judge. ``quality`` is the table
    with the findings and ``snapshot_id`` its snapshot, both None where there is none.
    """

    table: str
    found: int
    by_severity: dict[str, int]
    by_rule: dict[str, int]
    not_checked: tuple[str, ...] = ()
    quality: str | None = None
    snapshot_id: str | None = None

    def body(self) -> dict[str, Any]:
        """Return the result as JSON values."""
        return {**asdict(self), "not_checked": list(self.not_checked)}


def check(
    lake: Lake,
    log: AppendLog,
    table: str,
    *,
    symbols: Sequence[str],
    start: dt.datetime,
    end: dt.datetime,
    run_id: str,
    spec_sha256: str,
    created_at: dt.datetime,
    progress: Progress,
) -> Checked:
    """Run the rules over the bars of ``symbols`` that end from ``start`` to ``end``, inclusive.

    ``table`` holds bars or quotes; corrections are laid over. Each finding is kept once for this
    run: a second attempt, which may see what other runs have added meanwhile, adds what is new.
    ``created_at`` is the run's, and the "now" of the rules.
    """
    window = Window(symbols, start, end)
    seen = inspect(lake, table, window, now=created_at, most_rows=MOST_ROWS, progress=progress)
    counted = counts(seen.findings)
    if not counted:
        return _checked(seen, counted)
    name = f"{TableName.parse(table).namespace}.quality"
    rows = _stamped(seen, run_id, created_at)
    receipt = append_arrow(
        "silver",
        name,
        rows,
        key=f"{run_id}:quality:{TableName.parse(table).name}:{batch.digest(rows)[:16]}",
        run_id=run_id,
        spec_sha256=spec_sha256,
        log=log,
        lake=lake,
    )
    done = _checked(seen, counted, quality=name, snapshot_id=receipt.snapshot_id)
    progress.emit("quality.done", f"{table}: {done.found} findings.", **done.body())
    return done


def counts(findings: pa.Table) -> list[dict[str, Any]]:
    """Return ``rule, severity, vt_symbol, found`` of each rule and symbol in ``findings``."""
    keys = ["rule", "severity", "vt_symbol"]
    grouped = findings.group_by(keys, use_threads=False).aggregate([("found", "max")])
    rows: list[dict[str, Any]] = grouped.rename_columns([*keys, "found"]).to_pylist()
    return rows


def totals(counted: Sequence[Mapping[str, Any]], word: str) -> dict[str, int]:
    """Return the sum of ``found`` by the value of ``word`` (``rule``, ``severity``, ..)."""
    sums: dict[str, int] = {}
    for row in counted:
        sums[row[word]] = sums.get(row[word], 0) + row["found"]
    return sums


def _checked(seen: Inspected, counted: Sequence[Mapping[str, Any]], **where: str) -> Checked:
    severities = totals(counted, "severity")
    return Checked(
        table=seen.table,
        found=sum(severities.values()),
        by_severity={name: severities.get(name, 0) for name in SEVERITIES},
        by_rule=dict(sorted(totals(counted, "rule").items())),
        not_checked=tuple(seen.not_checked),
        **where,
    )


def _stamped(seen: Inspected, run_id: str, known_at: dt.datetime) -> pa.Table:
    rows = seen.findings
    constants = {
        "run_id": pa.scalar(run_id),
        "table_name": pa.scalar(seen.table),
        "snapshot_id": pa.scalar(seen.snapshot_ids[seen.table]),
        "known_at": pa.scalar(known_at, schemas.TIME),
    }
    for name, value in constants.items():
        rows = rows.append_column(name, pa.repeat(value, rows.num_rows))
    nothing = pc.is_nan(rows.column("value"))
    place = rows.schema.get_field_index("value")
    return rows.set_column(place, "value", pc.if_else(nothing, None, rows.column("value")))
