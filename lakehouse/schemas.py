"""The registered shape of every silver and gold table: columns, key, order, partitions.

A column is required unless it says ``nullable``. Times are ``timestamp[us, UTC]``, money float64
in the account's currency. Bronze tables have no registered columns but four mandatory ones.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

import pyarrow as pa

from lakehouse.errors import SchemaMismatchError, TableNotFoundError
from lakehouse.layers import TableName
from lakehouse.lean import without_pandas
from topology.errors import did_you_mean, nearest

without_pandas()  # here, because every module that makes Arrow values imports this one

TIME = pa.timestamp("us", tz="UTC")
TEXT, NUMBER, INTEGER, DATE = pa.string(), pa.float64(), pa.int64(), pa.date32()
FEATURE = pa.float32()

Novelty = Literal["all", "payload", "line", "key", "value", "set"]
"""Which rows of a batch are new to a table.

``all``: the batch was asked for by its idempotency key alone. ``payload``: no row of the same
``_payload_sha256`` is there. ``line``: none of the same payload and ``_row``. ``key``: no row has
the key. ``value``: the latest row of the key, in the table or in the one it revises, has other
values. ``set``: the latest set of the same ``owner`` differs.
"""


@dataclass(frozen=True, slots=True)
class Shape:
    """How a table looks. ``order`` begins with ``key`` where there is one.

    ``partition`` is ``("month", column)``, ``("bucket", column)`` or None. ``values`` are the
    columns that a correction may change. ``owner`` is the column whose rows are said as one whole
    set, of which the latest counts. A table that ``grows`` takes new nullable columns at its end.
    """

    columns: pa.Schema
    order: tuple[str, ...]
    key: tuple[str, ...] = ()
    partition: tuple[Literal["month", "bucket"], str] | None = None
    novelty: Novelty = "all"
    values: tuple[str, ...] = ()
    owner: str | None = None
    grows: bool = False


def _columns(nullable: tuple[str, ...] = (), **types: pa.DataType) -> pa.Schema:
    return pa.schema([pa.field(name, kind, name in nullable) for name, kind in types.items()])


def _of_runs(*order: str, nullable: tuple[str, ...] = (), **types: pa.DataType) -> Shape:
    """Return the shape of a result table that holds many runs."""
    columns = _columns(nullable, run_id=TEXT, **types)
    return Shape(columns, ("run_id", *order), partition=("bucket", "run_id"), grows=True)


_BAR_KEY = ("vt_symbol", "timestamp")
_REVISION_KEY = (*_BAR_KEY, "known_at")
_SIGNAL_KEY = (*_BAR_KEY, "available_at")
_SET_KEY = ("vt_symbol", "known_at", "date")
_MAP_KEY = ("vt_symbol", "known_at", "valid_from")
_MEMBER_KEY = ("universe", "known_at", "vt_symbol", "date_from")
_PAYLOAD_KEY = ("table_name", "source", "payload_sha256", "reading_sha256", "run_id")
_QUALITY_KEY = ("run_id", "table_name", "rule", "vt_symbol", "timestamp")
_REJECT_KEY = ("payload_sha256", "table_name", "row", "reason")

TRADE = ("open", "high", "low", "close", "volume")
QUOTE = tuple(
    f"{side}_{part}" for side in ("bid", "ask") for part in ("open", "high", "low", "close", "size")
)
"""The numbers of a bar of trades and of one of quotes; of quotes, one side may be absent."""

MANDATORY_BRONZE = _columns(_ingested_at=TIME, _source=TEXT, _payload_sha256=TEXT, _run_id=TEXT)
LINE = "_row"
"""The number of a row in its payload, in bronze tables of ingests: they are appended in parts."""


def _bars(numbers: tuple[str, ...], nullable: tuple[str, ...]) -> tuple[Shape, Shape]:
    """Return the shapes of bars with these numbers, and of their revisions."""
    columns = {
        "vt_symbol": TEXT,
        "timestamp": TIME,
        **dict.fromkeys(numbers, NUMBER),
        "currency": TEXT,
        "source": TEXT,
        "ingested_at": TIME,
        "run_id": TEXT,
    }
    month: tuple[Literal["month"], str] = ("month", "timestamp")
    values = (*numbers, "currency")
    return (
        Shape(_columns(nullable, **columns), _BAR_KEY, _BAR_KEY, month, "key", values),
        Shape(
            _columns(nullable, **columns, known_at=TIME),
            _REVISION_KEY,
            _REVISION_KEY,
            month,
            "value",
            values,
        ),
    )


BARS, REVISIONS = _bars(TRADE, ("volume",))
QUOTES, QUOTE_REVISIONS = _bars(QUOTE, QUOTE)
VALUES = BARS.values
ADJUSTMENTS = Shape(
    _columns(
        vt_symbol=TEXT,
        date=DATE,
        price_factor=NUMBER,
        split_factor=NUMBER,
        known_at=TIME,
        source=TEXT,
        run_id=TEXT,
    ),
    _SET_KEY,
    _SET_KEY,
    novelty="set",
    owner="vt_symbol",
)
SYMBOL_MAP = Shape(
    _columns(
        ("valid_to",),
        vt_symbol=TEXT,
        ticker=TEXT,
        exchange=TEXT,
        valid_from=DATE,
        valid_to=DATE,
        known_at=TIME,
        source=TEXT,
        run_id=TEXT,
    ),
    _MAP_KEY,
    _MAP_KEY,
    novelty="set",
    owner="vt_symbol",
)
UNIVERSES = Shape(
    _columns(
        ("date_to",),
        universe=TEXT,
        vt_symbol=TEXT,
        date_from=DATE,
        date_to=DATE,
        known_at=TIME,
        source=TEXT,
        run_id=TEXT,
    ),
    _MEMBER_KEY,
    _MEMBER_KEY,
    novelty="set",
    owner="universe",
)
PAYLOADS = Shape(
    _columns(
        payload_sha256=TEXT,
        table_name=TEXT,
        reading_sha256=TEXT,
        bronze_table=TEXT,
        from_snapshot=TEXT,
        to_snapshot=TEXT,
        read=INTEGER,
        rows=INTEGER,
        rejected=INTEGER,
        reasons=TEXT,
        source=TEXT,
        ingested_at=TIME,
        run_id=TEXT,
    ),
    _PAYLOAD_KEY,
    _PAYLOAD_KEY,
    novelty="key",
)
REJECTS = Shape(
    _columns(
        payload_sha256=TEXT,
        table_name=TEXT,
        row=INTEGER,
        reason=TEXT,
        detail=TEXT,
        content=TEXT,
        source=TEXT,
        ingested_at=TIME,
        run_id=TEXT,
    ),
    _REJECT_KEY,
    _REJECT_KEY,
    novelty="key",
)
QUALITY = Shape(
    _columns(
        ("value",),
        run_id=TEXT,
        table_name=TEXT,
        rule=TEXT,
        vt_symbol=TEXT,
        timestamp=TIME,
        since=TIME,
        severity=TEXT,
        value=NUMBER,
        detail=TEXT,
        found=INTEGER,
        snapshot_id=TEXT,
        known_at=TIME,
    ),
    _QUALITY_KEY,
    _QUALITY_KEY,
    ("bucket", "run_id"),
    "key",
)
EQUITY = Shape(
    _columns(
        timestamp=TIME,
        equity=NUMBER,
        drawdown=NUMBER,
        cash=NUMBER,
        gross_exposure=NUMBER,
        net_exposure=NUMBER,
        turnover=NUMBER,
        fees=NUMBER,
    ),
    ("timestamp",),
    ("timestamp",),
)
FILLS = _of_runs(
    "timestamp",
    "order_id",
    timestamp=TIME,
    vt_symbol=TEXT,
    side=TEXT,
    quantity=NUMBER,
    price=NUMBER,
    fee=NUMBER,
    order_id=INTEGER,
    tag=TEXT,
)
ORDERS = _of_runs(
    "order_id",
    nullable=("weight", "quantity", "limit", "stop", "tif"),
    order_id=INTEGER,
    created=TIME,
    closed=TIME,
    vt_symbol=TEXT,
    type=TEXT,
    weight=NUMBER,
    quantity=NUMBER,
    status=TEXT,
    reason=TEXT,
    limit=NUMBER,
    stop=NUMBER,
    tif=TEXT,
)
TRADES = _of_runs(
    "exit_time",
    "entry_time",
    "vt_symbol",
    vt_symbol=TEXT,
    side=TEXT,
    entry_time=TIME,
    exit_time=TIME,
    entry_price=NUMBER,
    exit_price=NUMBER,
    quantity=NUMBER,
    pnl=NUMBER,
    fees=NUMBER,
    mae=NUMBER,
    mfe=NUMBER,
    bars=INTEGER,
)
POSITIONS = _of_runs(
    "timestamp",
    "vt_symbol",
    nullable=("order_id", "sequence"),
    timestamp=TIME,
    vt_symbol=TEXT,
    quantity=NUMBER,
    average_price=NUMBER,
    order_id=INTEGER,
    sequence=INTEGER,
)
STATISTICS = _of_runs("profile", "name", profile=TEXT, name=TEXT, value=NUMBER)
TRIALS = _of_runs(
    "split",
    "trial",
    nullable=("sharpe", "total_return", "max_drawdown"),
    trial=INTEGER,
    split=TEXT,
    params=TEXT,
    sharpe=NUMBER,
    total_return=NUMBER,
    max_drawdown=NUMBER,
    statistics=TEXT,
)
TRIAL_EQUITY = _of_runs(
    "split",
    "trial",
    "timestamp",
    trial=INTEGER,
    split=TEXT,
    timestamp=TIME,
    equity=NUMBER,
)

FEATURES = "alphaswarm_gold_features"
"""The namespace of feature tables: their columns are the features, float32."""
SIGNALS = "alphaswarm_gold_signals"
"""The namespace of scores and weights that models and agents write: columns of numbers by symbol
and time, each row with the time at which it could be known."""
_MARKET = "alphaswarm_silver_market"
_BACKTESTS = "alphaswarm_gold_backtests"
_SILVER = r"alphaswarm_silver_[a-z][a-z0-9]*"
_BARS, _QUOTES = rf"{_SILVER}\.bars_(1d|1h|1m)", rf"{_SILVER}\.quotes_(1d|1h|1m)"
_REGISTERED: dict[str, tuple[str, Shape]] = {
    f"{_MARKET}.bars_1d": (_BARS, BARS),
    f"{_MARKET}.bars_1d_revisions": (rf"{_BARS}_revisions", REVISIONS),
    f"{_MARKET}.quotes_1m": (_QUOTES, QUOTES),
    f"{_MARKET}.quotes_1m_revisions": (rf"{_QUOTES}_revisions", QUOTE_REVISIONS),
    f"{_MARKET}.adjustments": (rf"{_SILVER}\.adjustments", ADJUSTMENTS),
    f"{_MARKET}.symbol_map": (rf"{_SILVER}\.symbol_map", SYMBOL_MAP),
    f"{_MARKET}.universes": (rf"{_SILVER}\.universes", UNIVERSES),
    f"{_MARKET}.payloads": (rf"{_SILVER}\.payloads", PAYLOADS),
    f"{_MARKET}.rejects": (rf"{_SILVER}\.rejects", REJECTS),
    f"{_MARKET}.quality": (rf"{_SILVER}\.quality", QUALITY),
    f"{_BACKTESTS}.run_RUNID": (rf"{_BACKTESTS}\.run_[a-z0-9]{{26}}", EQUITY),
    f"{_BACKTESTS}.fills": (rf"{_BACKTESTS}\.fills", FILLS),
    f"{_BACKTESTS}.orders": (rf"{_BACKTESTS}\.orders", ORDERS),
    f"{_BACKTESTS}.trades": (rf"{_BACKTESTS}\.trades", TRADES),
    f"{_BACKTESTS}.positions": (rf"{_BACKTESTS}\.positions", POSITIONS),
    f"{_BACKTESTS}.statistics": (rf"{_BACKTESTS}\.statistics", STATISTICS),
    f"{_BACKTESTS}.trials": (rf"{_BACKTESTS}\.trials", TRIALS),
    f"{_BACKTESTS}.trial_equity": (rf"{_BACKTESTS}\.trial_equity", TRIAL_EQUITY),
}
"""An example name, the pattern of all such names, and their shape."""


def of(table: TableName, data: pa.Schema) -> Shape:
    """Return the shape that ``table`` must have; bronze takes the columns of ``data``.

    A silver or gold table that is not registered raises ``table_not_found``; a bronze batch
    without its mandatory columns raises ``schema_mismatch``.
    """
    if table.layer == "bronze":
        return _bronze(data)
    if table.namespace == FEATURES:
        return _features(table, data)
    if table.namespace == SIGNALS:
        return _signals(data)
    for pattern, shape in _REGISTERED.values():
        if re.fullmatch(pattern, str(table)):
            return shape
    raise TableNotFoundError(
        f"No table called {str(table)!r} is registered.",
        hint=did_you_mean(str(table), _REGISTERED),
        table=str(table),
        nearest=nearest(str(table), _REGISTERED),
    )


def _features(table: TableName, data: pa.Schema) -> Shape:
    """Return one nullable column per feature of ``data`` beside what every feature table has."""
    own = {"vt_symbol": TEXT, "timestamp": TIME, "run_id": TEXT, "known_at": TIME}
    names = [name for name in data.names if name not in own]
    revised = table.name.endswith("_revisions")
    dated = {"known_at": TIME} if revised or "known_at" in data.names else {}
    columns = {"vt_symbol": TEXT, "timestamp": TIME, **dict.fromkeys(names, FEATURE)}
    return Shape(
        _columns(tuple(names), **columns, **dated, run_id=TEXT),
        _REVISION_KEY if revised else _BAR_KEY,
        _REVISION_KEY if revised else _BAR_KEY,
        ("month", "timestamp"),
        "value" if revised else "key",
        tuple(names),
    )


def _signals(data: pa.Schema) -> Shape:
    """Return one nullable column of numbers for each of ``data`` beside symbol, times and run."""
    own = {"vt_symbol": TEXT, "timestamp": TIME, "available_at": TIME}
    names = [name for name in data.names if name not in own and name != "run_id"]
    columns = own | dict.fromkeys(names, NUMBER) | {"run_id": TEXT}
    return Shape(
        _columns(tuple(names), **columns), _SIGNAL_KEY, _SIGNAL_KEY, ("month", "timestamp"), "key"
    )


def _bronze(data: pa.Schema) -> Shape:
    """Return ``data`` with the four mandatory columns required and all others as they came."""
    for wanted in MANDATORY_BRONZE:
        if wanted.name not in data.names or data.field(wanted.name).type != wanted.type:
            raise SchemaMismatchError(
                f"A bronze table needs the column {wanted.name!r} of type {wanted.type}.",
                hint=f"Every bronze row says {', '.join(MANDATORY_BRONZE.names)}.",
                column=wanted.name,
                wanted=str(wanted.type),
            )
    fields = [field.with_nullable(field.name not in MANDATORY_BRONZE.names) for field in data]
    if LINE not in data.names:
        return Shape(pa.schema(fields), (), novelty="payload")
    return Shape(pa.schema(fields), (), novelty="line")
