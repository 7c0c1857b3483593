"""A named universe: members weigh something while they are members, and no longer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lakehouse import query
from lakehouse.scan import Where
from ledger import runs
from runtimes.backtest import bars
from runtimes.backtest.runtime import BacktestRuntime
from runtimes.base import perform
from runtimes.context import Workshop
from runtimes.dispatch import submit
from runtimes.engine.errors import EmptyWindowError
from runtimes.specs.backtest import BacktestSpec
from tests.kit.market import put, walks
from tests.kit.signals import day, put_universe
from topology.errors import UnknownNameError
from topology.principal import Principal

TABLE = "alphaswarm_silver_members.bars_1d"
UNIVERSES = "alphaswarm_silver_members.universes"


@pytest.fixture(scope="module", autouse=True)
def lake(workshop: Workshop) -> None:
    """AAA leaves on day 30, BBB stays, CCC comes on day 40; DDD failed and left no bars."""
    put(workshop, TABLE, walks(["AAA.TEST", "BBB.TEST", "CCC.TEST", "ZZZ.TEST"], bars=60))
    stays = {
        "AAA.TEST": (0, 30),
        "BBB.TEST": (0, None),
        "CCC.TEST": (40, None),
        "DDD.TEST": (0, 25),
    }
    put_universe(workshop, UNIVERSES, "three", stays)


def spec(name: str = "three", **more: Any) -> BacktestSpec:
    """Return a daily equal-weight spec over days 19 to 50."""
    return BacktestSpec.model_validate(
        {
            "name": "members",
            "universe": {"name": name},
            "data": {"table": TABLE, "start": "2001-01-20", "end": "2001-02-20", "adjust": "none"},
            "strategy": {"name": "equal_weight", "params": {"rebalance": "daily"}},
            **more,
        }
    )


def test_members_have_columns_and_belong_on_their_days(workshop: Workshop) -> None:
    window = bars.window(workshop.lake, spec(), snapshot_ids=bars.pins(workshop.lake, spec()))
    assert window.symbols == ("AAA.TEST", "BBB.TEST", "CCC.TEST")
    assert window.without_bars == ("DDD.TEST",)
    assert window.member is not None
    days = [[int(np.flatnonzero(c)[0]), int(np.flatnonzero(c)[-1])] for c in window.member.T]
    begin = 19 - window.first
    assert [[a + begin, b + begin] for a, b in days] == [[18, 30], [18, 50], [40, 50]]


def test_who_leaves_is_sold_and_who_comes_is_bought(workshop: Workshop) -> None:
    handle = submit(
        workshop.pool,
        spec(execution={"fee": {"model": "zero"}}),
        principal=Principal(subject="members", client_id="tests"),
        queue="interactive",
        clock=workshop.clock,
    )
    perform(workshop, "backtest", handle.run_id, BacktestRuntime)
    run = runs.get(workshop.pool, handle.run_id)

    assert run.status == "succeeded", run.error
    assert run.snapshot_ids is not None
    assert set(run.snapshot_ids) == {TABLE, UNIVERSES}
    filled = query.read(
        workshop.lake, "alphaswarm_gold_backtests.fills", where=Where(run_id=run.run_id)
    ).to_pylist()
    last_of_a = [f for f in filled if f["vt_symbol"] == "AAA.TEST"][-1]
    first_of_c = next(f for f in filled if f["vt_symbol"] == "CCC.TEST")
    assert (last_of_a["timestamp"], last_of_a["side"]) == (day(32), "sell"), "decided on day 31"
    assert (first_of_c["timestamp"], first_of_c["side"]) == (day(41), "buy")
    assert run.statistics is not None
    warnings = {warning["code"]: warning for warning in run.statistics["warnings"]}
    assert "survivorship" not in warnings
    assert warnings["members_without_bars"]["symbols"] == ["DDD.TEST"]


def test_a_fixed_list_is_flagged_for_bars_from_before_it_was_written(workshop: Workshop) -> None:
    handle = submit(
        workshop.pool,
        spec(universe={"symbols": ["AAA.TEST", "BBB.TEST"]}),
        principal=Principal(subject="members", client_id="tests"),
        queue="interactive",
        clock=workshop.clock,
    )
    perform(workshop, "backtest", handle.run_id, BacktestRuntime)
    run = runs.get(workshop.pool, handle.run_id)
    assert run.statistics is not None
    said = [w["message"] for w in run.statistics["warnings"] if w["code"] == "survivorship"]
    assert len(said) == 1
    assert "written down on" in said[0]


def test_an_unknown_universe_is_answered_with_the_nearest(workshop: Workshop) -> None:
    with pytest.raises(UnknownNameError) as caught:
        bars.check(workshop.lake, spec("tree"))
    (error,) = caught.value.facts["errors"]
    assert (error["path"], error["nearest"]) == ("universe.name", ["three"])


def test_a_universe_without_members_in_the_period_has_no_window(workshop: Workshop) -> None:
    put_universe(workshop, UNIVERSES, "later", {"AAA.TEST": (55, None)})
    with pytest.raises(EmptyWindowError, match="Nobody belonged"):
        bars.check(workshop.lake, spec("later"))
