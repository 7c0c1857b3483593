"""Let the rules judge bars that fit into memory, and keep the worst of what they find."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from lakehouse import scan
from lakehouse.quality import rules, view
from lakehouse.quality.rule import Rule, Scope
from lakehouse.scan import Plan
from lakehouse.schemas import TIME

MEMORY_MB = 1_024
KEPT = 20
"""Findings kept of each rule and symbol, the worst; all are counted."""
KEPT_OF_RULE = 2_000
"""And of a rule over all symbols; the worst of each symbol is always among them."""

FOUND = pa.schema(
    [
        ("rule", pa.string()),
        ("severity", pa.string()),
        ("vt_symbol", pa.string()),
        ("timestamp", TIME),
        ("since", TIME),
        ("value", pa.float64()),
        ("detail", pa.string()),
        ("found", pa.int64()),
    ]
)
_WORST = 'abs(value) DESC NULLS LAST, "timestamp"'


@dataclass(frozen=True, slots=True)
class Limits:
    """Which findings are told; None does not restrict.

    Those that concern a bar from ``start`` to ``end``, both inclusive, and whose ``timestamp``
    lies after ``after`` and not after ``until``: neighbouring pieces tell none twice.
    """

    start: dt.datetime | None = None
    end: dt.datetime | None = None
    after: dt.datetime | None = None
    until: dt.datetime | None = None

    def parameters(self) -> dict[str, str]:
        """Return the limits as SQL has them."""
        return {
            "start": _text(self.start, "-infinity"),
            "end": _text(self.end, "infinity"),
            "after": _text(self.after, "-infinity"),
            "until": _text(self.until, "infinity"),
        }


@dataclass(frozen=True, slots=True)
class Case:
    """Bars as a SELECT over ``sources``, and what is known beside them, as `view` wants it."""

    scope: Scope
    sql: str
    sources: Mapping[str, pa.Table | Plan]
    parameters: Mapping[str, object]
    factors: pa.Table
    calendars: pa.Table
    sessions: pa.Table
    lives: pa.Table
    now: dt.datetime


def judge(case: Case, limits: Limits) -> pa.Table:
    """Return what the rules find within ``limits``, as `FOUND`: the worst of each, all counted."""
    beside = {name: getattr(case, name) for name in ("factors", "calendars", "sessions", "lives")}
    with scan.connected(memory_mb=MEMORY_MB) as connection:
        for name, rows in {**case.sources, **beside}.items():
            scan.offer(connection, name, rows)
        base = f"CREATE TABLE base AS {view.base(case.scope, case.sql)}"
        connection.execute(base, dict(case.parameters))
        view.prepare(connection, case.scope, case.now)
        found = [
            connection.sql(_ranked(rule, case.scope), params=limits.parameters()).to_arrow_table()
            for rule in rules.of(case.scope)
        ]
    return pa.concat_tables(found).cast(FOUND)


def kept(parts: Sequence[pa.Table]) -> pa.Table:
    """Return the worst findings of all pieces, with how many there are of each rule and symbol."""
    if not parts:
        return FOUND.empty_table()
    numbered = [
        part.append_column("piece", pa.repeat(pa.scalar(number), part.num_rows))
        for number, part in enumerate(parts)
    ]
    return scan.select(_KEPT, {"parts": pa.concat_tables(numbered)}).cast(FOUND)


def _ranked(rule: Rule, scope: Scope) -> str:
    """Return the SELECT of a rule's worst findings within the limits, all counted."""
    return f"""
    SELECT '{rule.name}' AS rule, '{rule.severity}' AS severity, vt_symbol, "timestamp",
        coalesce(since, "timestamp") AS since, value, detail,
        count(*) OVER (PARTITION BY vt_symbol) AS found
    FROM ({rule.sql(scope)})
    WHERE coalesce(since, "timestamp") <= $end::TIMESTAMPTZ AND "timestamp" >= $start::TIMESTAMPTZ
        AND "timestamp" > $after::TIMESTAMPTZ AND "timestamp" <= $until::TIMESTAMPTZ
    QUALIFY row_number() OVER (PARTITION BY vt_symbol ORDER BY {_WORST}) <= {KEPT}
    """  # noqa: S608


_KEPT = f"""
WITH counted AS (
    SELECT *, row_number() OVER (PARTITION BY piece, rule, vt_symbol ORDER BY {_WORST}) AS nth
    FROM parts
), placed AS (
    SELECT * REPLACE (sum(CASE WHEN nth = 1 THEN found ELSE 0 END)
        OVER (PARTITION BY rule, vt_symbol) AS found),
        row_number() OVER (PARTITION BY rule, vt_symbol ORDER BY {_WORST}) AS place
    FROM counted
), ranked AS (
    SELECT *, row_number() OVER (PARTITION BY rule ORDER BY place, {_WORST}) AS rank
    FROM placed WHERE place <= {KEPT}
)
SELECT rule, severity, vt_symbol, "timestamp", since, value, detail, found::BIGINT AS found
FROM ranked WHERE place = 1 OR rank <= {KEPT_OF_RULE}
ORDER BY rule, vt_symbol, {_WORST}
"""  # noqa: S608


def _text(moment: dt.datetime | None, otherwise: str) -> str:
    return otherwise if moment is None else moment.astimezone(dt.UTC).isoformat()
