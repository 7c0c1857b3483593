"""Files of what is known beside bars: splits and dividends, tickers, members of universes."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from lakehouse import scan
from lakehouse.clean import REASONS, named, parses
from lakehouse.providers.base import Fact, Reading
from lakehouse.scan import identifier, quoted
from lakehouse.schemas import ADJUSTMENTS, SYMBOL_MAP, UNIVERSES, Shape

SHAPES: dict[Fact, Shape] = {
    "adjustments": ADJUSTMENTS,
    "symbol_map": SYMBOL_MAP,
    "universes": UNIVERSES,
}
_SAID = ("known_at", "source", "run_id")
_PERIODS: dict[Fact, tuple[str, str]] = {
    "symbol_map": ("valid_from", "valid_to"),
    "universes": ("date_from", "date_to"),
}


@dataclass(frozen=True, slots=True)
class Told:
    """``facts`` typed, one per key; ``rejects`` with ``_no, _row, reason, detail, content``."""

    facts: pa.Table
    rejects: pa.Table


def told(rows: pa.Table, reading: Reading, fact: Fact) -> Told:
    """Return what ``rows``, numbered by ``_no`` and ``_row``, say; a missing column raises.

    Days are written YYYY-MM-DD or YYYYMMDD; an empty end means that it lasts. Of rows with the
    same key the first is kept.
    """
    columns = [field for field in SHAPES[fact].columns if field.name not in _SAID]
    optional = {"vt_symbol"} if reading.vt_symbol is not None else set()
    names = named(rows.schema, reading, [f.name for f in columns], optional | _open(columns))
    parts = [_column(field, names.get(field.name), reading) for field in columns]
    theirs = [name for name in rows.schema.names if not name.startswith("_")]
    struct = ", ".join(f"{quoted(name)}: raw.{identifier(name)}" for name in theirs)
    typed = (
        f"SELECT _no, _row, {', '.join(parts)}, to_json({{{struct}}})::VARCHAR AS content FROM raw"  # noqa: S608
    )
    ours = ", ".join(identifier(field.name) for field in columns)
    key = ", ".join(identifier(name) for name in SHAPES[fact].key if name != "known_at")
    judged = scan.select(
        f"WITH typed AS ({typed}), judged AS (SELECT *, {_reason(fact, columns)} AS reason "  # noqa: S608
        "FROM typed), ranked AS (SELECT *, first_value(_row) OVER same AS kept, row_number() OVER "
        f"same AS place FROM judged WINDOW same AS (PARTITION BY reason IS NULL, {key} "
        f"ORDER BY _no, _row)) SELECT _no, _row, {ours}, kept, content, coalesce(reason, "
        "CASE WHEN place > 1 THEN 'duplicate_key' END) AS reason FROM ranked ORDER BY _no, _row",
        {"raw": rows, "unknown": _unparsed(rows, names, reading, fact)},
    )
    good = judged.filter(pc.is_null(judged.column("reason")))
    return Told(good.select([field.name for field in columns]), _rejects(judged))


def _open(columns: list[pa.Field]) -> set[str]:
    return {field.name for field in columns if field.nullable}


def _column(field: pa.Field, theirs: str | None, reading: Reading) -> str:
    name = identifier(field.name)
    if theirs is None:
        if pa.types.is_date(field.type):
            return f"NULL::DATE AS {name}, true AS {field.name}_empty"
        value = quoted(reading.vt_symbol or "") if field.name == "vt_symbol" else "NULL"
        return f"{value}::VARCHAR AS {name}"
    text = f"nullif(trim(raw.{identifier(theirs)}::VARCHAR), '')"
    if pa.types.is_date(field.type):
        day = f"coalesce(TRY_CAST({text} AS DATE), try_strptime({text}, '%Y%m%d')::DATE)"
        return f"{day} AS {name}, {text} IS NULL AS {field.name}_empty"
    if pa.types.is_floating(field.type):
        return f"TRY_CAST({text} AS DOUBLE) AS {name}, {text} IS NULL AS {field.name}_empty"
    return f"{text} AS {name}"


def _reason(fact: Fact, columns: list[pa.Field]) -> str:
    """Return the CASE of the first reason against a row; null where it is good."""
    days = [field for field in columns if pa.types.is_date(field.type)]
    whens = ["WHEN vt_symbol IS NULL OR vt_symbol IN (FROM unknown) THEN 'bad_symbol'"]
    if fact == "symbol_map":
        name = "ticker || '.' || exchange"
        whens.append(f"WHEN {name} IS NULL OR {name} IN (FROM unknown) THEN 'bad_symbol'")
    whens += [
        f"WHEN {field.name} IS NULL AND NOT ({field.name}_empty AND {field.nullable}) "
        "THEN 'bad_time'"
        for field in days
    ]
    for field in columns:
        if pa.types.is_floating(field.type):
            whens += [
                f"WHEN {field.name}_empty THEN 'missing_value'",
                f"WHEN {field.name} IS NULL OR NOT isfinite({field.name}) THEN 'not_a_number'",
                f"WHEN {field.name} <= 0 THEN 'not_positive'",
            ]
    if fact == "universes":
        whens.append("WHEN universe IS NULL THEN 'missing_value'")
    if fact in _PERIODS:
        first, last = _PERIODS[fact]
        whens.append(f"WHEN {last} < {first} THEN 'reversed_period'")
    return f"CASE {' '.join(whens)} END"


def _unparsed(rows: pa.Table, names: dict[str, str], reading: Reading, fact: Fact) -> pa.Table:
    """Return the names of symbols that do not parse."""
    texts = {reading.vt_symbol}
    if "vt_symbol" in names:
        texts = set(pc.unique(rows.column(names["vt_symbol"])).to_pylist())
    if fact == "symbol_map":
        pairs = rows.select([names["ticker"], names["exchange"]]).to_pylist()
        texts |= {f"{str(t).strip()}.{str(x).strip()}" for t, x in (p.values() for p in pairs)}
    plain = {str(text).strip() for text in texts if text is not None}
    return pa.table({"name": pa.array(sorted(t for t in plain if not parses(t)), pa.string())})


def _rejects(judged: pa.Table) -> pa.Table:
    return scan.select(
        "SELECT j._no, j._row, j.reason, CASE WHEN j.reason = 'duplicate_key' THEN 'the same key "
        "as row ' || j.kept ELSE r.text END AS detail, j.content FROM judged j "
        "JOIN reasons r ON r.reason = j.reason",
        {
            "judged": judged.filter(pc.is_valid(judged.column("reason"))),
            "reasons": pa.table({"reason": [*REASONS], "text": [*REASONS.values()]}),
        },
    )
