"""Names of tables say their layer."""

from __future__ import annotations

import pytest

from lakehouse import layers
from lakehouse.errors import LayerMismatchError
from lakehouse.layers import TableName


def test_a_name_is_layer_domain_and_table() -> None:
    name = TableName.parse("alphaswarm_silver_market.bars_1d")
    assert (name.layer, name.domain, name.name) == ("silver", "market", "bars_1d")
    assert name.namespace == "alphaswarm_silver_market"
    assert str(name) == "alphaswarm_silver_market.bars_1d"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("bars_1d", id="no namespace"),
        pytest.param("alphaswarm_platinum_market.bars_1d", id="no such layer"),
        pytest.param("alphaswarm_silver_market", id="no table"),
        pytest.param("alphaswarm_silver_market.bars.1d", id="too many parts"),
        pytest.param("alphaswarm_silver_market.Bars", id="capitals"),
        pytest.param('alphaswarm_silver_market.x" --', id="a quote"),
        pytest.param("alphaswarm_silver_market.bars_1d\n", id="a line break"),
        pytest.param("", id="nothing"),
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(LayerMismatchError) as caught:
        TableName.parse(text)
    assert caught.value.wire_code == "layer_mismatch"
    assert "alphaswarm_silver_market.bars_1d" in caught.value.hint


def test_a_table_is_written_as_the_layer_it_lies_in() -> None:
    assert layers.check("gold", "alphaswarm_gold_backtests.fills").layer == "gold"
    with pytest.raises(LayerMismatchError, match="is a silver table, not a gold one"):
        layers.check("gold", "alphaswarm_silver_market.bars_1d")
