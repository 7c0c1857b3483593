"""Where rows come from: bronze to silver to runs to results, by what snapshots say."""

from __future__ import annotations

from typing import Any

import pytest

from lakehouse import lineage
from lakehouse.errors import TableNotFoundError
from tests.kit.lake import BARS, FILLS, NOW, Depot, bars, fills
from tests.kit.pictures import read
from tools.apps.lineage import picture
from topology.ids import new_id

RUN = new_id(NOW)
BRONZE = "alphaswarm_bronze_market.vendor"


@pytest.fixture(scope="module")
def traced(market: Depot) -> dict[str, str]:
    """Return the snapshots of a silver table made of a bronze one, and of a run's fills."""
    raw = bars("ZZZ.NYSE").select(["vt_symbol", "close", "ingested_at", "source", "run_id"])
    renamed = raw.rename_columns(["vt_symbol", "close", "_ingested_at", "_source", "_run_id"])
    sha = renamed.append_column("_payload_sha256", renamed.column("_run_id"))
    bronze = market.append(BRONZE, sha)
    read_ = {"alphaswarm.bronze_table": BRONZE, "alphaswarm.to_snapshot": bronze.snapshot_id}
    silver = market.append(BARS, bars("ZZZ.NYSE"), key="silver", summary=read_)
    made = market.append(FILLS, fills(RUN), run_id=RUN)
    return {"bronze": bronze.snapshot_id, "silver": silver.snapshot_id, "fills": made.snapshot_id}


def run(traced: dict[str, str], **changed: Any) -> dict[str, Any]:
    return {
        "run_id": RUN,
        "kind": "backtest",
        "name": "momentum",
        "status": "succeeded",
        "created_at": NOW,
        "snapshot_ids": {BARS: traced["silver"]},
        "result_tables": {"fills": FILLS},
        **changed,
    }


def test_a_run_is_traced_to_bronze_and_to_results(market: Depot, traced: dict[str, str]) -> None:
    found = lineage.trace(market.reader, runs=[run(traced)])
    silver, bronze = f"{BARS}@{traced['silver']}", f"{BRONZE}@{traced['bronze']}"
    result = f"{FILLS}@{traced['fills']}"
    assert found.edges == {(bronze, silver), (silver, f"run {RUN}"), (f"run {RUN}", result)}
    assert found.nodes[bronze].rows == 3
    assert found.nodes[silver].rows == 8  # of which 5 were there before
    assert (found.nodes[result].rows, found.nodes[result].run_id) == (100, RUN)
    assert found.nodes[f"run {RUN}"].state == "succeeded"


def test_a_table_is_traced_back_as_it_is_now(market: Depot, traced: dict[str, str]) -> None:
    found = lineage.trace(market.reader, tables=[BARS])
    assert set(found.nodes) == {f"{BARS}@{traced['silver']}", f"{BRONZE}@{traced['bronze']}"}


def test_a_table_that_was_made_of_two_is_traced_to_both(market: Depot) -> None:
    raw = bars("ZZZ.NYSE").select(["close", "ingested_at", "source", "run_id", "vt_symbol"])
    names = ["close", "_ingested_at", "_source", "_run_id", "_payload_sha256"]
    wanted = [f"alphaswarm_bronze_market.{name}" for name in ("left", "right")]
    pins = [market.append(one, raw.rename_columns(names)).snapshot_id for one in wanted]
    told = {"alphaswarm.bronze_table": ",".join(wanted), "alphaswarm.to_snapshot": ",".join(pins)}
    hours = BARS.replace("1d", "1h")
    market.append(hours, bars("ZZZ.NYSE"), summary=told)
    found = lineage.trace(market.reader, tables=[hours])
    assert {place for place, _ in found.edges} == {
        f"{name}@{pin}" for name, pin in zip(wanted, pins, strict=True)
    }


def test_runs_that_bring_data_in_are_no_boxes(market: Depot, traced: dict[str, str]) -> None:
    found = lineage.trace(market.reader, tables=[BARS], runs=[run(traced, kind="data")])
    assert not [node for node in found.nodes.values() if node.kind == "run"]


def test_what_is_not_kept_any_more_is_still_a_box(market: Depot, traced: dict[str, str]) -> None:
    found = lineage.trace(market.reader, runs=[run(traced, snapshot_ids={BARS: "17"})])
    assert found.nodes[f"{BARS}@17"].state == "expired"


def test_tables_that_are_gone_are_left_out_of_a_run(market: Depot, traced: dict[str, str]) -> None:
    gone = "alphaswarm_gold_backtests.trades"
    found = lineage.trace(
        market.reader, runs=[run(traced, snapshot_ids={gone: "1"}, result_tables={"t": gone})]
    )
    assert (set(found.nodes), found.edges) == ({f"run {RUN}"}, set())


def test_an_unknown_table_is_refused(market: Depot) -> None:
    with pytest.raises(TableNotFoundError):
        lineage.trace(market.reader, tables=["alphaswarm_silver_market.bars_1x"])


def test_the_picture_names_snapshots_rows_and_runs(market: Depot, traced: dict[str, str]) -> None:
    found = lineage.trace(market.reader, tables=[BARS], runs=[run(traced)])
    said = read(picture(found.nodes, found.edges, subject=BARS)).said
    for text in (f"snapshot {traced['silver']}", RUN, "100 rows", "momentum", "vendor"):
        assert text in said
