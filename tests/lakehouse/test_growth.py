"""A table of results takes new nullable columns; no other table ever changes its columns."""

from __future__ import annotations

import dataclasses

import pyarrow as pa
import pytest

from lakehouse import catalog, query, schemas
from lakehouse.errors import SchemaMismatchError
from lakehouse.layers import TableName
from lakehouse.schemas import Shape
from tests.kit.lake import BARS, NOW, Depot, bars

ORDERS = "alphaswarm_gold_backtests.orders"
FRESH = ("limit", "stop", "tif")


def orders(run_id: str, **columns: list[object]) -> pa.Table:
    """Return one order with whatever ``columns`` say of it."""
    moment = pa.array([NOW], pa.timestamp("us", tz="UTC"))
    given = {
        "run_id": [run_id],
        "order_id": [1],
        "created": moment,
        "closed": moment,
        "vt_symbol": ["AAA.TEST"],
        "type": ["limit"],
        "weight": pa.array([None], pa.float64()),
        "quantity": [10.0],
        "status": ["filled"],
        "reason": [""],
    }
    return pa.table(given | columns)


def as_it_was() -> Shape:
    """Return the shape of orders before they had a limit, a stop and a time in force."""
    shape = schemas.ORDERS
    kept = [field for field in shape.columns if field.name not in FRESH]
    return dataclasses.replace(shape, columns=pa.schema(kept))


def test_orders_of_an_existing_lake_get_their_new_columns(
    depot: Depot, monkeypatch: pytest.MonkeyPatch
) -> None:
    pattern = schemas._REGISTERED[ORDERS][0]
    with monkeypatch.context() as before:
        before.setitem(schemas._REGISTERED, ORDERS, (pattern, as_it_was()))
        depot.append(ORDERS, orders("a" * 26), key="old")
    assert "tif" not in catalog.load(depot.reader, ORDERS).schema().column_names

    new = orders("b" * 26, limit=[9.5], stop=pa.array([None], pa.float64()), tif=["gtc"])
    for _ in range(2):
        depot.append(ORDERS, new, key="new")

    rows = query.read(depot.reader, ORDERS).to_pylist()
    assert [[row[name] for name in ("run_id", *FRESH)] for row in rows] == [
        ["a" * 26, None, None, None],
        ["b" * 26, 9.5, None, "gtc"],
    ]
    assert catalog.load(depot.reader, ORDERS).schema().column_names == schemas.ORDERS.columns.names


def test_a_table_of_bars_never_grows(depot: Depot) -> None:
    depot.append(BARS, bars())
    table, shape = catalog.load(depot.writer, BARS), schemas.BARS
    longer = dataclasses.replace(shape, columns=shape.columns.append(pa.field("note", pa.string())))
    catalog.grow(table, longer)
    with pytest.raises(SchemaMismatchError, match="other columns"):
        catalog.refuse_unlike(table, TableName.parse(BARS), longer)


def test_a_required_column_is_no_growth(depot: Depot) -> None:
    new = orders("b" * 26, limit=[9.5], stop=[1.0], tif=["gtc"])
    depot.append(ORDERS, new)
    table, shape = catalog.load(depot.writer, ORDERS), schemas.ORDERS
    wanted = shape.columns.append(pa.field("must", pa.string(), nullable=False))
    catalog.grow(table, dataclasses.replace(shape, columns=wanted))
    assert "must" not in catalog.load(depot.reader, ORDERS).schema().column_names
