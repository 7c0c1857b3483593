"""What may be wrong with a table: counted by rule, the worst shown, the unchecked named."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from lakehouse import catalog, query
from lakehouse.asof import AsOf
from lakehouse.lake import Lake
from lakehouse.layers import TableName
from lakehouse.quality import rules
from lakehouse.quality.check import counts, totals
from lakehouse.quality.inspect import Inspected, Window, inspect, scope_of
from lakehouse.quality.judge import FOUND
from lakehouse.quality.rule import SEVERITIES
from lakehouse.scan import Where
from topology.clock import rfc3339

MOST_ROWS = 5_000_000
"""Bars that a report looks at: some ten seconds of work."""
WORST_SYMBOLS = 20
DAY = dt.timedelta(days=1)


@dataclass(frozen=True, slots=True)
class RuleCount:
    """How often a rule found something, in how many symbols, and why that matters."""

    rule: str
    severity: str
    found: int
    symbols: int
    because: str


@dataclass(frozen=True, slots=True)
class SymbolCount:
    """How many findings of each severity a symbol has."""

    vt_symbol: str
    error: int
    warning: int
    info: int


@dataclass(frozen=True, slots=True)
class Example:
    """A finding; times are ends of bars in UTC, what is wrong lies from ``since`` to there."""

    rule: str
    severity: str
    vt_symbol: str
    timestamp: str
    since: str
    value: float | None
    detail: str


@dataclass(frozen=True, slots=True)
class Report:
    """What rules found in a table; ``examples`` and ``worst_symbols`` begin with the worst.

    ``clean`` are the rules that found nothing, ``not_checked`` sentences on what no rule judged.
    ``rows``, ``symbols``, ``first`` and ``last`` say what was looked at; None where what an ingest
    stored was read instead.
    """

    table: str
    snapshot_id: str | None
    run_id: str | None
    rows: int | None
    symbols: int | None
    first: str | None
    last: str | None
    found: int
    by_severity: dict[str, int]
    rules: tuple[RuleCount, ...]
    worst_symbols: tuple[SymbolCount, ...]
    examples: tuple[Example, ...]
    clean: tuple[str, ...]
    not_checked: tuple[str, ...]

    def body(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        lists = ("rules", "worst_symbols", "examples", "clean", "not_checked")
        return {**asdict(self), **{name: list(asdict(self)[name]) for name in lists}}


def report(
    lake: Lake,
    table: str,
    *,
    now: dt.datetime,
    symbols: Sequence[str] | None = None,
    start: dt.date | None = None,
    end: dt.date | None = None,
    as_of: AsOf = None,
    run_id: str | None = None,
    examples: int = 20,
    most_rows: int = MOST_ROWS,
) -> Report:
    """Look at bars that end on the UTC days ``start`` to ``end`` as of a time or snapshot.

    With ``run_id`` it is what that ingest found in what it touched, as it was stored. ``now`` is
    the time of the call: bars after it are of the future. Of more than ``most_rows`` bars the
    first symbols are looked at, the others named in ``not_checked``.
    """
    if run_id is not None:
        return _stored(lake, table, run_id, examples)
    first = None if start is None else _midnight(start) + dt.timedelta(microseconds=1)
    last = None if end is None else _midnight(end) + DAY
    window = Window(symbols, first, last)
    seen = inspect(lake, table, window, now=now, as_of=as_of, most_rows=most_rows)
    return _told(seen, examples)


def _told(seen: Inspected, examples: int) -> Report:
    counted = counts(seen.findings)
    found = {row["rule"] for row in counted}
    judged = seen.rules if seen.rows else ()
    nothing = () if seen.rows else ("There are no bars: nothing was judged.",)
    return Report(
        table=seen.table,
        snapshot_id=seen.snapshot_ids[seen.table],
        run_id=None,
        rows=seen.rows,
        symbols=seen.symbols,
        first=None if seen.first is None else rfc3339(seen.first),
        last=None if seen.last is None else rfc3339(seen.last),
        clean=tuple(rule.name for rule in judged if rule.name not in found),
        not_checked=(*nothing, *seen.not_checked),
        **_summed(counted, seen.findings, examples),
    )


def _stored(lake: Lake, table: str, run_id: str, examples: int) -> Report:
    """Return what an ingest kept of its findings."""
    name = f"{TableName.parse(table).namespace}.quality"
    rows = FOUND.empty_table()
    snapshot = None
    if catalog.find(lake, name) is not None:
        held = query.read(lake, name, where=Where(run_id=run_id))
        mine = held.filter(pc.equal(held.column("table_name"), table))
        rows, snapshot = mine.select(FOUND.names).cast(FOUND), _one(mine.column("snapshot_id"))
    told = "What could not be checked stands in the result of the run."
    if not rows.num_rows:
        told = f"No findings of run {run_id[:64]} are kept: it found nothing, or did not look."
    return Report(
        table=table,
        snapshot_id=snapshot,
        run_id=run_id,
        rows=None,
        symbols=None,
        first=None,
        last=None,
        clean=tuple(
            rule.name
            for rule in (rules.of(scope_of(table)) if rows.num_rows else ())
            if rule.name not in rows.column("rule").to_pylist()
        ),
        not_checked=(told,),
        **_summed(counts(rows), rows, examples),
    )


def _one(column: pa.ChunkedArray) -> str | None:
    return str(column[0]) if len(column) else None


def _summed(
    counted: Sequence[Mapping[str, Any]], findings: pa.Table, examples: int
) -> dict[str, Any]:
    severities = totals(counted, "severity")
    return {
        "found": sum(severities.values()),
        "by_severity": {name: severities.get(name, 0) for name in SEVERITIES},
        "rules": _rules(counted),
        "worst_symbols": _symbols(counted),
        "examples": _examples(findings, examples),
    }


def _rules(counted: Sequence[Mapping[str, Any]]) -> tuple[RuleCount, ...]:
    """Return the rules that found something, in the order of `rules.RULES` by severity."""
    found = totals(counted, "rule")
    ordered = sorted(rules.RULES, key=lambda rule: SEVERITIES.index(rule.severity))
    return tuple(
        RuleCount(
            rule.name,
            rule.severity,
            found[rule.name],
            sum(row["rule"] == rule.name for row in counted),
            rule.because,
        )
        for rule in ordered
        if rule.name in found
    )


def _symbols(counted: Sequence[Mapping[str, Any]]) -> tuple[SymbolCount, ...]:
    sums: dict[str, dict[str, int]] = {}
    for row in counted:
        mine = sums.setdefault(row["vt_symbol"], dict.fromkeys(SEVERITIES, 0))
        mine[row["severity"]] += row["found"]
    worst = sorted(sums.items(), key=lambda item: ([-n for n in item[1].values()], item[0]))
    return tuple(SymbolCount(symbol, **found) for symbol, found in worst[:WORST_SYMBOLS])


def _examples(findings: pa.Table, most: int) -> tuple[Example, ...]:
    """Return findings by severity, of every rule the worst first: none crowds out the others."""
    order = {rule.name: place for place, rule in enumerate(rules.RULES)}
    places: dict[str, int] = {}
    ranked = []
    rows = findings.to_pylist()
    rows.sort(key=lambda row: (-abs(row["value"] or 0.0), row["vt_symbol"], row["timestamp"]))
    for row in rows:
        places[row["rule"]] = nth = places.get(row["rule"], 0) + 1
        ranked.append((SEVERITIES.index(row["severity"]), nth, order[row["rule"]], row))
    ranked.sort(key=lambda item: item[:3])
    return tuple(_example(row) for *_, row in ranked[:most])


def _example(row: Mapping[str, Any]) -> Example:
    times = {name: rfc3339(row[name]) for name in ("timestamp", "since")}
    return Example(**{name: row[name] for name in Example.__slots__} | times)


def _midnight(day: dt.date) -> dt.datetime:
    return dt.datetime.combine(day, dt.time(), dt.UTC)
