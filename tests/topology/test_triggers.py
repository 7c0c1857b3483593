"""Rules that press by themselves are refused where they could never fire."""

from __future__ import annotations

from typing import Any

import pytest

from topology.triggers import METERS, Trigger, findings


@pytest.mark.parametrize(
    ("rule", "key", "says"),
    [
        pytest.param({"meter": "drift"}, "meter", "would never fire", id="no such meter"),
        pytest.param({"meter": "order"}, "meter", "'orders'", id="misspelt"),
        pytest.param({"meter": "stale"}, "table", "needs it", id="stale what"),
        pytest.param({"meter": "loss", "table": "t"}, "table", "belongs to", id="a table of money"),
        pytest.param({"meter": "failures"}, "above", "share", id="more than all"),
        pytest.param({"meter": "loss", "scope": "kind:bt"}, "scope", "not a halt", id="a scope"),
    ],
)
def test_a_rule_that_can_never_fire_is_refused(rule: dict[str, Any], key: str, says: str) -> None:
    """K12: what nothing measures is said at the start, not found out in a crash."""
    found = list(findings({"mine": Trigger.model_validate({"above": 1, **rule})}))
    assert [path for path, _ in found] == [("triggers", "mine", key)]
    assert says in found[0][1]


@pytest.mark.parametrize("meter", METERS)
def test_every_meter_has_a_rule_that_is_right(meter: str) -> None:
    table = "alphaswarm_silver_market.bars_1m" if meter == "stale" else None
    rule = Trigger(meter=meter, above=0.5, scope="kind:bot", table=table)
    assert list(findings({"mine": rule})) == []
