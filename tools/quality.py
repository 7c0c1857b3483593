"""Quality reports as a caller sees them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict

from tools import runs as seen
from tools.bars import day, refuse_reversed
from tools.registry import Office
from tools.tables import coverage
from topology.errors import BadInputError


class QualityView(BaseModel):
    """What rules found, worst first; what ``not_checked`` says is not clean, nobody judged it."""

    model_config = ConfigDict(frozen=True)

    table: str
    snapshot_id: str | None
    run_id: str | None
    rows: int | None
    symbols: int | None
    first: str | None
    last: str | None
    found: int
    by_severity: dict[str, int]
    rules: list[dict[str, Any]]
    worst_symbols: list[dict[str, Any]]
    examples: list[dict[str, Any]]
    clean: list[str]
    not_checked: list[str]


def look(
    office: Office,
    table: str,
    *,
    symbols: Sequence[str] | None,
    start: str | None,
    end: str | None,
    as_of: str | None,
    run_id: str | None,
    examples: int,
) -> QualityView:
    """Return the report on a table's bars, or what the ingest ``run_id`` stored of its own.

    An unknown symbol or run is refused: nothing found of what is not there would look clean.
    """
    from lakehouse import identity
    from lakehouse.quality.report import report

    if run_id is not None and (symbols or start or end or as_of):
        raise BadInputError(
            "A run's findings are stored as they were: they cannot be narrowed.",
            hint="Give run_id alone with the table, or leave it out.",
            errors=[{"path": "run_id", "value": run_id[:64]}],
        )
    if run_id is not None:
        seen.read(office, run_id, kind="data")
    first = None if start is None else day(start, "start")
    last = None if end is None else day(end, "end")
    if first is not None and last is not None:
        refuse_reversed(first, last)
    if symbols is not None:
        known = [row.vt_symbol for row in coverage(office, table, as_of)]
        days = (first or dt.date.min, last or dt.date.max)
        symbols = identity.resolved(office.lake, table, symbols, known, *days, as_of=as_of)
    found = report(
        office.lake,
        table,
        now=office.clock.now(),
        symbols=symbols,
        start=first,
        end=last,
        as_of=as_of,
        run_id=run_id,
        examples=examples,
    )
    return QualityView(**found.body())
