"""Which rows of a batch are new to a table; runs inside the table's lock."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc
from pyiceberg.table import Table

from lakehouse import catalog, scan
from lakehouse.lake import Lake
from lakehouse.layers import TableName
from lakehouse.scan import Plan, Where
from lakehouse.schemas import VALUES, Shape

REVISIONS = "_revisions"
_ROW = "_row"


def fresh(
    lake: Lake, name: TableName, shape: Shape, rows: pa.Table, table: Table | None
) -> pa.Table:
    """Return the rows of the batch that ``shape.novelty`` calls new, in their order."""
    if shape.novelty == "value":
        return _changed_values(lake, name, rows, table)
    if table is None or shape.novelty == "all":
        return rows
    if shape.novelty == "payload":
        return _new_payloads(rows, table)
    if shape.novelty == "set":
        return _changed_sets(rows, table)
    return _new_keys(rows, shape, table)


def overlay(first: str, revisions: str) -> str:
    """Return the SQL of bars with the latest revision of each laid over its first value."""
    values = ", ".join(
        f"CASE WHEN r.vt_symbol IS NULL THEN f.{name} ELSE r.{name} END AS {name}"
        for name in VALUES
    )
    return (
        f"SELECT f.* REPLACE ({values}) FROM {first} f LEFT JOIN "  # noqa: S608
        f"(SELECT * FROM {revisions} QUALIFY row_number() OVER "
        f'(PARTITION BY vt_symbol, "timestamp" ORDER BY known_at DESC, run_id DESC) = 1) r '
        f'ON r.vt_symbol = f.vt_symbol AND r."timestamp" = f."timestamp"'
    )


def _new_keys(rows: pa.Table, shape: Shape, table: Table) -> pa.Table:
    same = " AND ".join(f"h.{scan.identifier(k)} = b.{scan.identifier(k)}" for k in shape.key)
    return _chosen(
        rows,
        f"SELECT {_ROW} FROM batch b ANTI JOIN held h ON {same} ORDER BY {_ROW}",  # noqa: S608
        held=scan.plan(table, where=_touched(rows)),
    )


def _changed_values(lake: Lake, name: TableName, rows: pa.Table, table: Table | None) -> pa.Table:
    base = catalog.load(lake, str(name).removesuffix(REVISIONS))
    where = _touched(rows)
    held: Plan | pa.Table = scan.plan(base, where=where)
    later: Plan | pa.Table = (
        rows.schema.empty_table() if table is None else scan.plan(table, where=where)
    )
    differs = " OR ".join(f"b.{v} IS DISTINCT FROM h.{v}" for v in VALUES)
    sql = (
        f"SELECT {_ROW} FROM batch b JOIN ({overlay('held', 'later')}) h "  # noqa: S608
        f'ON b.vt_symbol = h.vt_symbol AND b."timestamp" = h."timestamp" '
        f"WHERE {differs} ORDER BY {_ROW}"
    )
    return _chosen(rows, sql, held=held, later=later)


def _changed_sets(rows: pa.Table, table: Table) -> pa.Table:
    facts = "vt_symbol, date, price_factor, split_factor"
    sql = (
        "WITH latest AS (SELECT * FROM held QUALIFY known_at = max(known_at) "  # noqa: S608
        "OVER (PARTITION BY vt_symbol)), "
        f"changed AS ((SELECT {facts} FROM batch EXCEPT SELECT {facts} FROM latest) UNION ALL "
        f"(SELECT {facts} FROM latest WHERE vt_symbol IN (SELECT vt_symbol FROM batch) "
        f"EXCEPT SELECT {facts} FROM batch)) "
        f"SELECT {_ROW} FROM batch WHERE vt_symbol IN (SELECT vt_symbol FROM changed) "
        f"ORDER BY {_ROW}"
    )
    return _chosen(rows, sql, held=scan.plan(table, where=_touched(rows)))


def _new_payloads(rows: pa.Table, table: Table) -> pa.Table:
    sql = (
        f"SELECT {_ROW} FROM batch WHERE _payload_sha256 NOT IN "  # noqa: S608
        f"(SELECT DISTINCT _payload_sha256 FROM held) ORDER BY {_ROW}"
    )
    return _chosen(rows, sql, held=scan.plan(table))


def _chosen(rows: pa.Table, sql: str, **sources: pa.Table | Plan) -> pa.Table:
    """Return the rows whose numbers ``sql`` selects: Arrow types and order stay as they are."""
    numbered = rows.append_column(_ROW, pa.array(range(rows.num_rows), pa.int64()))
    chosen = scan.select(sql, {"batch": numbered, **sources}).column(_ROW)
    return rows if len(chosen) == rows.num_rows else rows.take(chosen)


def _touched(rows: pa.Table) -> Where:
    """Return the filter that reads no more partitions than the batch touches."""
    names = rows.schema.names
    symbols = pc.unique(rows["vt_symbol"]).to_pylist() if "vt_symbol" in names else None
    payloads = pc.unique(rows["payload_sha256"]).to_pylist() if "payload_sha256" in names else None
    if "timestamp" not in names:
        return Where(symbols=symbols, payloads=payloads)
    times = pc.min_max(rows["timestamp"])
    last = times["max"].cast(pa.int64()).as_py() + 1
    return Where(
        symbols=symbols,
        start=times["min"].as_py(),
        end=pa.scalar(last, pa.timestamp("us", tz="UTC")).as_py(),
    )
