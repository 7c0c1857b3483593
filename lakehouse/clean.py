"""Rows as they came become typed bars, or rejects with a reason: nothing disappears."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from lakehouse import scan
from lakehouse.errors import SchemaMismatchError
from lakehouse.providers.base import Reading
from lakehouse.scan import identifier
from topology.errors import BadInputError, did_you_mean, nearest
from topology.symbols import Symbol

PRICES = ("open", "high", "low", "close")
REASONS = {
    "bad_symbol": "vt_symbol is not TICKER.EXCHANGE in capitals",
    "bad_time": "timestamp is not a time that exists, written like 2024-01-31 or "
    "2024-01-31T16:00:00Z",
    "future_time": "the bar ends after it was ingested",
    "missing_value": "a price is empty",
    "not_a_number": "a price or the volume is not a finite number",
    "not_positive": "a price is not above 0, or the volume is below 0",
    "inconsistent": "high is not the highest or low not the lowest price",
    "bad_currency": "currency is not three capitals",
    "duplicate_key": "the same symbol and timestamp as",
    "wrong_columns": "the line is no row",
}
"""Why a row is rejected; the first that applies is the one that is kept."""

FIRST_YEAR = 1900
SLACK_S = 86_400
"""How far in the future a bar may end: clocks and calendars of the world differ by a day."""
_ISO = (
    r"\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}([.]\d{1,9})?)?( ?(Z|z|[+-]\d{2}(:?\d{2})?))?)?|\d{8}"
)
_ZONED = r".*:\d{2}([.]\d+)? ?(Z|z|[+-]\d{2}(:?\d{2})?)"
_ALIASES = {"timestamp": ("datetime", "date", "time")}
_OURS = ("vt_symbol", "timestamp", *PRICES, "volume", "currency")


@dataclass(frozen=True, slots=True)
class Cleaned:
    """``bars`` typed, one per key, sorted; ``rejects`` with ``row, reason, detail, content``.

    Rows count from 1 in the order of the payload, lines that are no rows included.
    """

    bars: pa.Table
    rejects: pa.Table


def clean(
    rows: pa.Table,
    reading: Reading,
    *,
    daily: bool,
    now: dt.datetime,
    numbers: pa.Array | None = None,
) -> Cleaned:
    """Return the bars and the rejects of ``rows``; a missing column raises ``schema_mismatch``.

    Of rows with the same symbol and timestamp the first is kept. In a table of ``daily`` bars
    midnight without a zone means the day, as where there is no time. ``now`` is the time of the
    ingest; ``numbers`` are the rows' own numbers where some lines of the payload are no rows.
    """
    named = _named(rows.schema, reading)
    if numbers is None:
        numbers = pa.array(range(1, rows.num_rows + 1), pa.int64())
    numbered = rows.append_column("_row", numbers)
    known, unknown = _symbols(rows, named, reading)
    select = f'SELECT *, {_time(daily=daily)} AS "timestamp" FROM ({_typed(rows.schema, named)}) t'  # noqa: S608
    given = {
        "zone": reading.timezone,
        "close": f"{reading.close}:00",
        "symbol": reading.vt_symbol,
        "currency": reading.currency,
    }
    used = {name: value for name, value in given.items() if f"${name}" in select}
    typed = scan.select(select, {"raw": numbered}, used)
    judged = scan.select(
        _JUDGED,
        {"typed": typed, "unknown": pa.table({"name": pa.array(unknown, pa.string())})},
        {"last": (now + dt.timedelta(seconds=SLACK_S)).isoformat()},
    )
    return Cleaned(_bars(judged, known), _rejects(judged, numbered))


def _named(schema: pa.Schema, reading: Reading) -> dict[str, str]:
    """Return our column names with the payload's; a column that is not there is left out."""
    plain = {_plain(name): name for name in schema.names}
    for ours, theirs in reading.columns.items():
        if theirs and theirs not in schema.names:
            raise _missing(ours, theirs, schema)
    optional = {
        "volume": reading.columns.get("volume") == "",
        "vt_symbol": reading.vt_symbol is not None,
        "currency": True,
    }
    named = {}
    for ours in _OURS:
        found = reading.columns.get(ours)
        if found is None:
            likely = (_plain(name) for name in (ours, *_ALIASES.get(ours, ())))
            found = next((plain[name] for name in likely if name in plain), "")
        if found:
            named[ours] = found
        elif not optional.get(ours, False):
            raise _missing(ours, ours, schema)
    return named


def _missing(ours: str, theirs: str, schema: pa.Schema) -> SchemaMismatchError:
    extra = {
        "vt_symbol": " Or give reading.vt_symbol for a file of one symbol.",
        "volume": ' Or map it to "" if there is none.',
    }
    return SchemaMismatchError(
        f"The column {theirs[:64]!r} ({ours}) is missing.",
        hint=f"{did_you_mean(theirs[:64], schema.names)} Map it in reading.columns: "
        f"{{{ours}: <name in the file>}}.{extra.get(ours, '')}",
        column=ours,
        nearest=nearest(theirs[:64], schema.names),
        given=schema.names[:50],
    )


def _plain(name: str) -> str:
    return name.casefold().replace(" ", "").replace("_", "")


def _symbols(
    rows: pa.Table, named: Mapping[str, str], reading: Reading
) -> tuple[list[str], list[str]]:
    """Return the symbols that parse, and those that do not."""
    column = named.get("vt_symbol")
    texts = [reading.vt_symbol] if column is None else pc.unique(rows.column(column)).to_pylist()
    known: list[str] = []
    unknown: list[str] = []
    for text in {str(text).strip() for text in texts if text is not None}:
        try:
            known.append(str(Symbol.parse(text)))
        except BadInputError:
            unknown.append(text)
    return known, unknown


def _typed(schema: pa.Schema, named: Mapping[str, str]) -> str:
    """Return the SELECT that turns columns into numbers and texts; what does not parse is null."""
    parts = ["_row"]
    for name in (*PRICES, "volume"):
        column = identifier(named[name]) if name in named else "NULL"
        text = f"nullif(trim({column}::VARCHAR), '')"
        plain = name in named and _numeric(schema.field(named[name]).type)
        number = f"{column}::DOUBLE" if plain else f"TRY_CAST({text} AS DOUBLE)"
        parts += [f"{number} AS {name}", f"{text} IS NULL AS {name}_empty"]
    for name, constant in (("vt_symbol", "$symbol"), ("currency", "$currency")):
        column = f"{identifier(named[name])}::VARCHAR" if name in named else f"{constant}::VARCHAR"
        parts.append(f"trim({column}) AS {name}")
    parts.append(f"trim({identifier(named['timestamp'])}::VARCHAR) AS t")
    return f"SELECT {', '.join(parts)} FROM raw"  # noqa: S608


def _numeric(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    )


def _time(*, daily: bool) -> str:
    """Return the expression for the bar's end from its text ``t``; null where there is none."""
    day = "coalesce(TRY_CAST(t AS DATE), try_strptime(t, '%Y%m%d')::DATE)"
    clock = "TRY_CAST(t AS TIMESTAMP)"
    timed = f"contains(t, ':') AND {clock}::TIME > '00:00:00'::TIME"
    whole = timed if daily else "contains(t, ':')"
    local = f"CASE WHEN {whole} THEN {clock} ELSE {day} + $close::TIME END"
    instant = f"(({local}) AT TIME ZONE $zone::VARCHAR)"
    # A clock time that daylight saving skips does not survive the way there and back.
    exists = f"({instant} AT TIME ZONE $zone::VARCHAR) = ({local})"
    return (
        f"CASE WHEN NOT regexp_full_match(t, '{_ISO}') THEN NULL "
        f"WHEN regexp_full_match(t, '{_ZONED}') THEN TRY_CAST(t AS TIMESTAMPTZ) "
        f"WHEN {exists} THEN {instant} END"
    )


_JUDGED = f"""
WITH judged AS (
    SELECT *, CASE
        WHEN vt_symbol IS NULL OR vt_symbol IN (SELECT name FROM unknown) THEN 'bad_symbol'
        WHEN "timestamp" IS NULL OR year("timestamp") < {FIRST_YEAR} THEN 'bad_time'
        WHEN "timestamp" > $last::TIMESTAMPTZ THEN 'future_time'
        WHEN open_empty OR high_empty OR low_empty OR close_empty THEN 'missing_value'
        WHEN open IS NULL OR high IS NULL OR low IS NULL OR close IS NULL
            OR (volume IS NULL AND NOT volume_empty)
            OR NOT isfinite(open + high + low + close + coalesce(volume, 0)) THEN 'not_a_number'
        WHEN least(open, high, low, close) <= 0 OR volume < 0 THEN 'not_positive'
        WHEN high < greatest(open, low, close) OR low > least(open, high, close)
            THEN 'inconsistent'
        WHEN NOT regexp_full_match(currency, '[A-Z]{{3}}') OR currency IS NULL THEN 'bad_currency'
    END AS reason FROM typed
), ranked AS (
    SELECT *, first_value(_row) OVER same AS kept FROM judged
    WINDOW same AS (PARTITION BY vt_symbol, "timestamp", reason IS NULL ORDER BY _row)
)
SELECT vt_symbol, "timestamp", open, high, low, close, volume, currency, _row, kept,
    coalesce(reason, CASE WHEN kept <> _row THEN 'duplicate_key' END) AS reason
FROM ranked ORDER BY vt_symbol, "timestamp", _row
"""  # noqa: S608


def _bars(judged: pa.Table, known: list[str]) -> pa.Table:
    good = judged.filter(pc.is_null(judged.column("reason")))
    return good.select([name for name in judged.schema.names if name in _OURS])


def _rejects(judged: pa.Table, numbered: pa.Table) -> pa.Table:
    return scan.select(
        "SELECT j._row AS \"row\", j.reason, CASE WHEN j.reason = 'duplicate_key' "
        "THEN r.text || ' row ' || j.kept ELSE r.text END AS detail, "
        "to_json(raw)::VARCHAR AS content FROM judged j JOIN raw ON raw._row = j._row "
        "JOIN reasons r ON r.reason = j.reason ORDER BY j._row",
        {
            "judged": judged.filter(pc.is_valid(judged.column("reason"))),
            "raw": numbered,
            "reasons": pa.table({"reason": list(REASONS), "text": list(REASONS.values())}),
        },
    )
