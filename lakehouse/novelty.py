"""Which rows of a batch are new to a table; runs inside the table's lock."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc
from pyiceberg.table import Table

from lakehouse import catalog, scan
from lakehouse.lake import Lake
from lakehouse.layers import TableName
from lakehouse.scan import Plan, Where
from lakehouse.schemas import LINE, VALUES, Shape

REVISIONS = "_revisions"
_ROW = "_place"
LINE_KEY = ("_payload_sha256", LINE)
_SAYING = ("known_at", "source", "run_id")
"""Columns of a set that say who said it and when, not what."""


def fresh(
    lake: Lake, name: TableName, shape: Shape, rows: pa.Table, table: Table | None
) -> pa.Table:
    """Return the rows of the batch that ``shape.novelty`` calls new, in their order."""
    if shape.novelty == "value":
        return _changed_values(lake, name, shape, rows, table)
    if table is None or shape.novelty == "all":
        return rows
    if shape.novelty == "payload":
        return _new_payloads(rows, table)
    if shape.novelty == "set":
        return _changed_sets(rows, shape, table)
    return _new_keys(rows, shape.key if shape.novelty == "key" else LINE_KEY, table)


def overlay(first: str, revisions: str, values: Sequence[str] = VALUES) -> str:
    """Return the SQL of bars with the latest revision of each laid over its first value."""
    chosen = ", ".join(
        f"CASE WHEN r.vt_symbol IS NULL THEN f.{name} ELSE r.{name} END AS {name}"
        for name in map(scan.identifier, values)
    )
    return (
        f"SELECT f.* REPLACE ({chosen}) FROM {first} f LEFT JOIN "  # noqa: S608
        f"(SELECT * FROM {revisions} QUALIFY row_number() OVER "
        f'(PARTITION BY vt_symbol, "timestamp" ORDER BY known_at DESC, run_id DESC) = 1) r '
        f'ON r.vt_symbol = f.vt_symbol AND r."timestamp" = f."timestamp"'
    )


def _new_keys(rows: pa.Table, key: Sequence[str], table: Table) -> pa.Table:
    same = " AND ".join(f"h.{scan.identifier(k)} = b.{scan.identifier(k)}" for k in key)
    return _chosen(
        rows,
        f"SELECT {_ROW} FROM batch b ANTI JOIN held h ON {same} ORDER BY {_ROW}",  # noqa: S608
        held=scan.plan(table, where=_touched(rows)),
    )


def _changed_values(
    lake: Lake, name: TableName, shape: Shape, rows: pa.Table, table: Table | None
) -> pa.Table:
    base = catalog.load(lake, str(name).removesuffix(REVISIONS))
    where = _touched(rows)
    held: Plan | pa.Table = scan.plan(base, where=where)
    later: Plan | pa.Table = (
        rows.schema.empty_table() if table is None else scan.plan(table, where=where)
    )
    values = [scan.identifier(value) for value in shape.values]
    differs = " OR ".join(f"b.{v} IS DISTINCT FROM h.{v}" for v in values)
    said = " AND ".join(f"l.{scan.identifier(k)} = b.{scan.identifier(k)}" for k in shape.key)
    sql = (
        f"SELECT {_ROW} FROM batch b JOIN ({overlay('held', 'later', shape.values)}) h "  # noqa: S608
        f'ON b.vt_symbol = h.vt_symbol AND b."timestamp" = h."timestamp" '
        f"WHERE ({differs}) AND NOT EXISTS (FROM later l WHERE {said}) ORDER BY {_ROW}"
    )
    return _chosen(rows, sql, held=held, later=later)


def _changed_sets(rows: pa.Table, shape: Shape, table: Table) -> pa.Table:
    owner = shape.owner
    said = [name for name in shape.columns.names if name not in _SAYING]
    facts = ", ".join(said)
    sql = (
        "WITH latest AS (SELECT * FROM held QUALIFY known_at = max(known_at) "  # noqa: S608
        f"OVER (PARTITION BY {owner})), "
        f"changed AS ((SELECT {facts} FROM batch EXCEPT SELECT {facts} FROM latest) UNION ALL "
        f"(SELECT {facts} FROM latest WHERE {owner} IN (SELECT {owner} FROM batch) "
        f"EXCEPT SELECT {facts} FROM batch)) "
        f"SELECT {_ROW} FROM batch WHERE {owner} IN (SELECT {owner} FROM changed) "
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
    among = {
        name: tuple(pc.unique(rows[name]).to_pylist())
        for name in ("vt_symbol", "universe", "payload_sha256", "_payload_sha256")
        if name in names
    }
    if LINE in names:
        lines = pc.min_max(rows[LINE])
        return Where(among=among, lines=(lines["min"].as_py(), lines["max"].as_py()))
    if "timestamp" not in names:
        return Where(among=among)
    times = pc.min_max(rows["timestamp"])
    last = times["max"].cast(pa.int64()).as_py() + 1
    return Where(
        among=among,
        start=times["min"].as_py(),
        end=pa.scalar(last, pa.timestamp("us", tz="UTC")).as_py(),
    )
