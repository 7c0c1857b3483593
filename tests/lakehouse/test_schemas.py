"""Registered tables have exactly the columns that the public contract names."""

from __future__ import annotations

import pyarrow as pa
import pytest

from lakehouse import schemas
from lakehouse.layers import TableName

RUN = "01jz7k2m8n4p6q9r0s1t2v3w4x"
BAR = "vt_symbol timestamp open high low close volume currency source ingested_at run_id"


@pytest.mark.parametrize(
    ("name", "columns", "key"),
    [
        ("alphaswarm_silver_market.bars_1d", BAR, "vt_symbol timestamp"),
        ("alphaswarm_silver_market.bars_1h", BAR, "vt_symbol timestamp"),
        ("alphaswarm_silver_market.bars_1m", BAR, "vt_symbol timestamp"),
        (
            "alphaswarm_silver_market.bars_1d_revisions",
            f"{BAR} known_at",
            "vt_symbol timestamp known_at",
        ),
        (
            "alphaswarm_silver_market.adjustments",
            "vt_symbol date price_factor split_factor known_at source run_id",
            "vt_symbol known_at date",
        ),
        (
            f"alphaswarm_gold_backtests.run_{RUN}",
            "timestamp equity drawdown cash gross_exposure net_exposure turnover fees",
            "timestamp",
        ),
        (
            "alphaswarm_gold_backtests.fills",
            "run_id timestamp vt_symbol side quantity price fee order_id tag",
            "",
        ),
    ],
)
def test_columns_and_keys_are_those_of_the_contract(name: str, columns: str, key: str) -> None:
    shape = schemas.of(TableName.parse(name), pa.schema([]))
    assert shape.columns.names == columns.split()
    assert shape.key == tuple(key.split())
    assert shape.order[: len(shape.key)] == shape.key


@pytest.mark.parametrize("example", sorted(schemas._REGISTERED))
def test_every_shape_can_become_a_table(example: str) -> None:
    from lakehouse.catalog import _partitions, _schema, _sorting

    shape = schemas._REGISTERED[example][1]
    made = _schema(shape)
    assert {made.find_column_name(i) for i in made.identifier_field_ids} == set(shape.key)
    assert len(_sorting(shape, made).fields) == len(shape.order)
    assert len(_partitions(shape, made).fields) == (shape.partition is not None)


def test_bronze_takes_any_columns_and_requires_its_own() -> None:
    given = pa.schema([pa.field("Adj Close", pa.string(), nullable=False)])
    for field in schemas.MANDATORY_BRONZE:
        given = given.append(field.with_nullable(True))
    shape = schemas.of(TableName.parse("alphaswarm_bronze_x.y"), given)
    required = [field.name for field in shape.columns if not field.nullable]
    assert required == schemas.MANDATORY_BRONZE.names
    assert shape.novelty == "payload"
