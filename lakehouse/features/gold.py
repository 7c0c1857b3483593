"""Feature tables: the values of a set on the bars of a universe, kept exactly once.

A table is named by what decides its values; new bars add rows, and where bars or adjustments
were corrected the values that changed become rows of its ``_revisions``.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
from pyiceberg.table import Table

from lakehouse import batch as batches
from lakehouse import catalog, query, scan
from lakehouse.bronze import appended
from lakehouse.features.evaluate import evaluate
from lakehouse.features.featureset import FeatureSet
from lakehouse.features.frame import Array, Frame
from lakehouse.features.loading import Asked, Loaded, load
from lakehouse.lake import Lake
from lakehouse.novelty import REVISIONS
from lakehouse.schemas import FEATURES, TEXT, TIME
from lakehouse.source import open_source
from lakehouse.write import AppendLog, Receipt, append_arrow
from topology.canonical import sha256

SET, DATA, INPUTS = "alphaswarm.feature_set", "alphaswarm.feature_table", "alphaswarm.inputs"
"""Snapshot properties: the set's hash, the table's identity, and the pins it was computed at."""
UNTIL = "alphaswarm.until"
"""And this one: the last day that was computed at these pins."""
CELLS = 24_000_000
"""Values of one append: about 100 MB."""
_ILLEGAL = re.compile(r"[^a-z0-9_]")


@dataclass(frozen=True)
class Task:
    """A set to be computed on bars; ``name`` begins the table's name."""

    name: str
    features: FeatureSet
    asked: Asked

    def identity(self) -> dict[str, Any]:
        """Return what decides the rows and their values, beside the bars themselves.

        Only the end of the period may move: whatever ran before, the table then holds every row
        up to its last, and what is known to be stale is so for all of its symbols.
        """
        asked = self.asked
        return {
            "set": self.features.sha256,
            "table": asked.table,
            "adjust": asked.adjust,
            "rows": asked.rows,
            "since": str(asked.start),
            "as_of": None if asked.as_of is None else str(asked.as_of),
            "universe": asked.universe,
            "symbols": sorted(asked.symbols) if asked.universe is None else None,
            "groups": {name: dict(labels) for name, labels in asked.groups.items()},
        }

    @property
    def whole(self) -> bool:
        """Tell whether a symbol's values hang on the bars of others."""
        return self.features.reach.across or self.asked.rows == "union"

    @property
    def tables(self) -> list[str]:
        """Return the tables that the task writes: the values, and corrections of them."""
        return [self.table, self.table + REVISIONS]

    def inputs(self) -> dict[str, str]:
        """Return the pins that decide earlier values; feature tables are not among them."""
        pins = self.asked.snapshot_ids
        return {name: pins[name] for name in sorted(pins) if not name.startswith(FEATURES)}

    @property
    def table(self) -> str:
        """Return the table's name: the task's and the first digits of the identity's hash."""
        own = _ILLEGAL.sub("_", self.name)[:48]
        return f"{FEATURES}.{own}_{sha256(self.identity())[:8]}"


@dataclass(frozen=True, slots=True)
class Written:
    """What a task did: rows computed, rows new to the table, corrected rows, symbols without."""

    table: str
    rows: int
    new: int
    corrected: int
    symbols: int
    without_bars: tuple[str, ...]
    unadjusted: tuple[str, ...]
    snapshot_id: str | None
    digest: str


@dataclass(frozen=True)
class Bench:
    """What a task works with: the lake, who asks, and how it checks in."""

    lake: Lake
    log: AppendLog
    run_id: str
    spec_sha256: str
    created_at: dt.datetime
    threads: int
    attend: Callable[[Callable[[], Any]], Any]
    hold: Callable[[], None]
    say: Callable[[int, int], None]


def materialise(task: Task, bench: Bench) -> Written:
    """Append what the table lacks of the task's period, in batches, each exactly once.

    Batches follow from the pins, so a second attempt of the run makes the same ones. NaN is null;
    a label's row is there once all it looks at is, and ``known_at`` says when that was.
    """
    state: _State = bench.attend(lambda: _State(task, bench))
    done, receipts, corrected = 0, [], 0
    made: list[_Batch] = []
    for number, group in enumerate(state.groups):
        batch = bench.attend(partial(state.batch, group))
        if batch.rows.num_rows:
            corrected += state.correct(batch.rows, number) if state.stale else 0
            receipts.append(state.append(batch.rows, number))
        made.append(replace(batch, rows=batch.rows.slice(0, 0)))
        done += len(group)
        bench.say(done, len(task.asked.symbols))
    return Written(
        task.table,
        sum(batch.count for batch in made),
        sum(receipt.rows for receipt in receipts),
        corrected,
        sum(len(batch.symbols) for batch in made),
        tuple(sorted({s for group in state.groups for s in group} - state.known)),
        tuple(sorted({symbol for batch in made for symbol in batch.unadjusted})),
        receipts[-1].snapshot_id if receipts else task.asked.snapshot_ids.get(task.table),
        sha256([batch.digest for batch in made]),
    )


@dataclass(frozen=True)
class _Batch:
    rows: pa.Table
    count: int
    symbols: tuple[str, ...]
    unadjusted: tuple[str, ...]
    digest: str


class _State:
    """What the table held at the run's pins, and therefore what is to be computed."""

    def __init__(self, task: Task, bench: Bench) -> None:
        self._task, self._bench = task, bench
        asked = task.asked
        held = query.coverage(bench.lake, asked.table, as_of=asked.snapshot_ids.get(asked.table))
        self._coverage = {row.vt_symbol: row for row in held}
        self.known = set(self._coverage)
        self._last: dict[str, dt.datetime] = {}
        self.stale = False
        if (pin := asked.snapshot_ids.get(task.table)) is not None:
            self._last = self._kept(pin)
            self.stale = self._changed(pin)
        self.groups = self._grouped()

    def _kept(self, pin: str) -> dict[str, dt.datetime]:
        """Return the time of each symbol's last row in the table."""
        table = self._task.table
        rows = open_source(
            self._bench.lake, table, snapshot_ids={table: pin}, revisions="first"
        ).rows('SELECT vt_symbol, max("timestamp") AS last FROM source GROUP BY vt_symbol')
        return {row["vt_symbol"]: row["last"] for row in rows.to_pylist()}

    def _changed(self, pin: str) -> bool:
        """Tell whether anything but later bars came since the table was last computed."""
        told = _told(catalog.load(self._bench.lake, self._task.table), pin)
        if any(str(_day(last)) > told.get(UNTIL, "") for last in self._last.values()):
            return True
        before, now = json.loads(told[INPUTS]), self._task.inputs()
        bars = self._task.asked.table
        if {**before, bars: ""} != {**now, bars: ""}:
            return True
        return before[bars] != now[bars] and self._backfilled(before[bars], now[bars])

    def _backfilled(self, since: str, until: str) -> bool:
        """Tell whether bars that were appended in between shape rows that the table has."""
        table = catalog.load(self._bench.lake, self._task.asked.table)
        if table.snapshot_by_id(int(since)) is None:
            return True
        rows = scan.select(
            'SELECT vt_symbol, min("timestamp") AS first FROM held GROUP BY vt_symbol',
            {"held": appended(table, since, until)},
        )
        ends = dict(self._last)
        if self._task.whole:
            wanted = self._wanted(self._task.asked.symbols)
            ends = dict.fromkeys(wanted, max(self._last.values(), default=_NEVER))
        return any(
            first <= ends.get(symbol, _NEVER)
            for symbol, first in zip(*(column.to_pylist() for column in rows), strict=True)
        )

    def _grouped(self) -> list[tuple[str, ...]]:
        """Cut the symbols into batches of about `CELLS` values; across symbols there is one."""
        features, asked = self._task.features, self._task.asked
        if self._task.whole:
            return [asked.symbols]
        groups: list[tuple[str, ...]] = []
        room = 0
        for symbol in asked.symbols:
            held = self._coverage.get(symbol)
            cells = (held.rows if held else 0) * len(features.names)
            if not groups or room + cells > CELLS:
                groups.append(())
                room = 0
            groups[-1] += (symbol,)
            room += cells
        return groups

    def batch(self, symbols: tuple[str, ...]) -> _Batch:
        """Return the rows to append of these symbols."""
        task, bench = self._task, self._bench
        asked, reach = replace(task.asked, symbols=self._wanted(symbols)), task.features.reach
        if not self.stale and not reach.anchored:
            kept = [self._last.get(symbol) for symbol in symbols]
            days = [asked.start if last is None else last.date() for last in kept]
            asked = replace(asked, start=max(asked.start, min(days)))
        first_bars = {name: row.first for name, row in self._coverage.items()}
        loaded = load(bench.lake, asked, reach, first_bars=first_bars)
        found = evaluate(
            task.features,
            loaded.frame,
            first=loaded.first,
            threads=bench.threads,
            checkpoint=bench.hold,
        )
        shown = self._shown(loaded, symbols)
        kept_rows = loaded.frame.places >= np.repeat(loaded.first, np.diff(loaded.frame.starts))
        rows = _arrow(loaded.frame, found.columns, shown, shown[kept_rows], reach.ahead)
        found_sha = batches.digest(rows)
        rows = rows.append_column("run_id", pa.array([bench.run_id] * rows.num_rows, TEXT))
        return _Batch(rows, rows.num_rows, loaded.frame.symbols, loaded.unadjusted, found_sha)

    def _wanted(self, symbols: tuple[str, ...]) -> tuple[str, ...]:
        """Return the symbols and those that expressions name."""
        return tuple(sorted({*symbols, *self._task.features.symbols}))

    def _shown(self, loaded: Loaded, symbols: tuple[str, ...]) -> Array:
        """Return (R,) the rows to write: of the period, complete, and not kept already."""
        frame, task = loaded.frame, self._task
        named = task.features.symbols - set(symbols)
        shown = loaded.shown & (frame.places_left >= task.features.reach.ahead)
        for i, symbol in enumerate(frame.symbols):
            rows = slice(int(frame.starts[i]), int(frame.starts[i + 1]))
            if symbol in named:
                shown[rows] = False
            elif not self.stale and symbol in self._last:
                shown[rows] &= frame.times[rows] > _nanoseconds(self._last[symbol])
        return shown

    def append(self, rows: pa.Table, number: int) -> Receipt:
        """Append a batch; rows whose key the table has are left out.

        Where there is something to correct, only the last batch says at which pins the table is:
        a run that ends before leaves it as stale as it was.
        """
        inputs = {INPUTS: json.dumps(self._task.inputs()), UNTIL: str(self._task.asked.end)}
        whole = not self.stale or number == len(self.groups) - 1
        stage = f"features-{number}"
        return self._write(self._task.table, rows, stage, inputs if whole else {})

    def correct(self, rows: pa.Table, number: int) -> int:
        """Append what differs from the values kept to the revisions; return how many rows."""
        dated = rows.drop_columns(["known_at"]) if "known_at" in rows.column_names else rows
        known = pa.array([self._bench.created_at] * rows.num_rows, TIME)
        dated = dated.append_column("known_at", known)
        return self._write(self._task.table + REVISIONS, dated, f"corrections-{number}").rows

    def _write(
        self, table: str, rows: pa.Table, stage: str, more: Mapping[str, str] | None = None
    ) -> Receipt:
        bench, task = self._bench, self._task
        bench.hold()
        return append_arrow(
            "gold",
            table,
            rows,
            key=f"{bench.run_id}:{table.rpartition('.')[2]}:{stage}",
            run_id=bench.run_id,
            spec_sha256=bench.spec_sha256,
            log=bench.log,
            lake=bench.lake,
            summary={
                SET: task.features.sha256,
                DATA: sha256(task.identity()),
                **(more or {}),
            },
        )


def _told(table: Table, pin: str) -> Mapping[str, str]:
    """Return what the newest snapshot of ours up to ``pin`` says of itself; nothing without one."""
    snapshot = table.snapshot_by_id(int(pin))
    while snapshot is not None:
        properties = snapshot.summary.additional_properties if snapshot.summary else {}
        if INPUTS in properties:
            return properties
        parent = snapshot.parent_snapshot_id
        snapshot = None if parent is None else table.snapshot_by_id(parent)
    return {}


def _arrow(
    frame: Frame, columns: Mapping[str, Array], shown: Array, chosen: Array, ahead: int
) -> pa.Table:
    """Return the ``shown`` rows of the frame, ``chosen`` of the columns, as an Arrow table."""
    owner = np.repeat(np.arange(len(frame.symbols)), np.diff(frame.starts))[shown]
    data: dict[str, pa.Array] = {
        "vt_symbol": pa.array(frame.symbols, TEXT).take(pa.array(owner)),
        "timestamp": pa.array(frame.times[shown] // 1_000, TIME),
    }
    for name, values in columns.items():
        data[name] = pa.array(values[chosen], from_pandas=True)
    if ahead:
        data["known_at"] = pa.array(frame.times[np.flatnonzero(shown) + ahead] // 1_000, TIME)
    return pa.table(data)


_NEVER = dt.datetime.min.replace(tzinfo=dt.UTC)


def _day(moment: dt.datetime) -> dt.date:
    return moment.astimezone(dt.UTC).date()


def _nanoseconds(moment: dt.datetime) -> int:
    return int(moment.timestamp()) * 1_000_000_000 + moment.microsecond * 1_000
