"""The tools of ``backtest``, called as a server calls them, over bars of the test's own."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from ledger import audit, runs
from ledger.pool import transaction
from runtimes.backtest.runtime import BacktestRuntime
from runtimes.base import perform
from runtimes.context import Workshop
from tests.kit.market import put, walks
from tests.kit.office import ANNA
from tools import backtest, backtest_results
from tools.registry import Office, served
from topology.errors import AlphaSwarmError, InvalidSpecError, MissingError, UnknownNameError
from topology.frames import KINDS

TABLE = "alphaswarm_silver_tools.bars_1d"
SYMBOLS = ["AAA.TEST", "BBB.TEST"]


@pytest.fixture(scope="module", autouse=True)
def bars(workshop: Workshop) -> None:
    """Put 300 days of two symbols into the lake, once."""
    put(workshop, TABLE, walks(SYMBOLS, bars=300))


def spec(**changes: Any) -> dict[str, Any]:
    return {
        "kind": "backtest",
        "name": "tooled",
        "universe": {"symbols": SYMBOLS},
        "data": {"table": TABLE, "start": "2001-01-01", "end": "2001-12-31", "adjust": "none"},
        "strategy": {"name": "equal_weight"},
    } | changes


async def silent(value: float, total: float | None, message: str) -> None:
    """Take a progress report and do nothing with it."""


async def finished(office: Office, workshop: Workshop, **changes: Any) -> runs.Run:
    """Submit a spec through the tool and perform it in this thread."""
    handle = await backtest.submit_backtest(spec(**changes), office=office, caller=ANNA)
    perform(workshop, "backtest", handle.run_id, BacktestRuntime)
    run = runs.get(workshop.pool, handle.run_id)
    assert run.status == "succeeded", run.error
    return run


def counts(office: Office) -> dict[str, int]:
    """Return how many rows the tables of record hold that a refusal must not touch."""
    tables = ["outbox", "run_events", *(f"{k}_{t}" for k in KINDS for t in ("runs",))]
    tables += [f"{kind}_spec_versions" for kind in KINDS]
    with transaction(office.pool) as connection:
        return {
            table: connection.execute(f"SELECT count(*) AS n FROM {table}").fetchall()[0]["n"]
            for table in tables
        }


def test_the_server_offers_exactly_the_tools_of_the_contract() -> None:
    assert set(served("backtest").tools) == {
        "list_strategies",
        "validate_spec",
        "submit_backtest",
        "submit_sweep",
        "submit_walk_forward",
        "get_run",
        "list_runs",
        "cancel_run",
        "compare_runs",
        "get_trades",
        "tear_sheet",
    }


def test_only_submit_and_cancel_need_more_than_reading() -> None:
    needs = {name: tool.auth.scopes for name, tool in served("backtest").tools.items()}

    work = {"submit_backtest", "submit_sweep", "submit_walk_forward", "cancel_run"}
    assert {n for n, s in needs.items() if s == ("backtest:run",)} == work
    assert {s for n, s in needs.items() if n not in work} == {("backtest:read",)}


def test_strategies_are_listed_with_their_parameters(office: Office) -> None:
    answer = backtest.list_strategies(office=office, caller=ANNA)
    listed = {row.name: row for row in answer.strategies}

    assert {"buy_and_hold", "equal_weight", "momentum", "sma_cross"} <= set(listed)
    assert listed["momentum"].params["lookback"]["default"] == 126


async def test_validating_returns_the_hash_that_submitting_will_lock(office: Office) -> None:
    before = counts(office)
    checked = await backtest.validate_spec(spec(), office=office, caller=ANNA)
    assert counts(office) == before

    handle = await backtest.submit_backtest(spec(), office=office, caller=ANNA)

    assert checked.valid
    assert checked.spec_hash == handle.spec_hash
    assert checked.spec["portfolio"]["cash"] == 100_000


@pytest.mark.parametrize("write", [json.dumps, yaml.safe_dump], ids=["JSON", "YAML"])
async def test_text_and_object_are_one_spec(office: Office, write: Any) -> None:
    plain = await backtest.validate_spec(spec(), office=office, caller=ANNA)
    text = await backtest.validate_spec(write(spec()), office=office, caller=ANNA)

    assert text == plain


@pytest.mark.parametrize(
    ("changes", "error", "path"),
    [
        pytest.param({"portfolo": {}}, InvalidSpecError, "portfolo", id="a misspelt key"),
        pytest.param(
            {"strategy": {"name": "momentm"}}, UnknownNameError, "strategy.name", id="a strategy"
        ),
        pytest.param(
            {"strategy": {"name": "momentum", "params": {"lokback": 3}}},
            InvalidSpecError,
            "strategy.params.lokback",
            id="a parameter",
        ),
        pytest.param(
            {"universe": {"symbols": ["AAA.TEST", "BBC.TEST"]}},
            UnknownNameError,
            "universe.symbols[1]",
            id="a symbol that the lake does not know",
        ),
        pytest.param(
            {"universe": {"symbols": []}}, InvalidSpecError, "universe.symbols", id="empty universe"
        ),
        pytest.param(
            {"portfolio": {"cash": -5}}, InvalidSpecError, "portfolio.cash", id="negative cash"
        ),
        pytest.param(
            {"portfolio": {"cash": float("nan")}}, InvalidSpecError, "portfolio.cash", id="NaN"
        ),
        pytest.param(
            {"data": {"table": TABLE, "start": "2002-01-01", "end": "2001-01-01"}},
            InvalidSpecError,
            "data.end",
            id="start after end",
        ),
        pytest.param(
            {"data": {"table": TABLE, "start": "1950-01-01", "end": "1951-01-01"}},
            AlphaSwarmError,
            "data.start",
            id="dates outside the data",
        ),
    ],
)
async def test_bad_specs_are_refused_with_the_path_and_nothing_is_written(
    office: Office, changes: dict[str, Any], error: type[AlphaSwarmError], path: str
) -> None:
    before = counts(office)

    with pytest.raises(error) as refused:
        await backtest.submit_backtest(spec(**changes), office=office, caller=ANNA)

    assert path in [line["path"] for line in refused.value.facts["errors"]]
    assert refused.value.hint
    assert counts(office) == before


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("x" * 1_000_000, id="a megabyte"),
        pytest.param("[" * 10_000, id="nested ten thousand deep"),
        pytest.param('{"a":' * 10_000, id="the same as JSON"),
        pytest.param("!!python/object/apply:os.system [id]", id="a tag that would run code"),
        pytest.param("- just\n- a list", id="a list"),
        pytest.param("", id="nothing"),
    ],
)
async def test_hostile_text_is_refused(office: Office, text: str) -> None:
    with pytest.raises(InvalidSpecError):
        await backtest.validate_spec(text, office=office, caller=ANNA)


async def test_a_submit_is_audited_with_the_hash_of_its_arguments(office: Office) -> None:
    await backtest.submit_backtest(spec(name="audited"), office=office, caller=ANNA)

    done, intended = audit.tail(office.pool, limit=2, newest_first=True)
    assert [row.decision for row in (intended, done)] == ["intended", "done"]
    assert (done.action, done.target) == ("submit_backtest", "spec:backtest/audited")
    assert len(done.args_sha256) == 64


async def test_a_run_shows_its_result_and_links_to_it(office: Office, workshop: Workshop) -> None:
    run = await finished(office, workshop)

    view = await backtest.get_run(run.run_id, office=office, caller=ANNA, report=silent)

    assert (view.status, view.result_sha) == ("succeeded", run.result_sha)
    assert {link.uri for link in view.links()} == {
        f"run://{run.run_id}",
        f"backtest://runs/{run.run_id}/equity",
        f"backtest://runs/{run.run_id}/fills",
        f"backtest://runs/{run.run_id}/trades",
        f"backtest://runs/{run.run_id}/tearsheet",
    }


async def test_the_resources_of_a_run(office: Office, workshop: Workshop) -> None:
    run = await finished(office, workshop)
    assert run.statistics is not None

    curve = backtest_results.equity(run.run_id, office=office, caller=ANNA)
    fills = backtest_results.fills(run.run_id, office=office, caller=ANNA)
    page = backtest_results.page(run.run_id, office=office, caller=ANNA)
    record = backtest_results.run(run.run_id, office=office, caller=ANNA)

    assert (curve.bars, curve.curve.row_count) == (300, 300)
    assert curve.curve.columns[:2] == ["timestamp", "equity"]
    assert curve.curve.rows[-1][1] == pytest.approx(run.statistics["end_equity"])
    assert fills.row_count > 0
    assert page.startswith("<!doctype html>")
    assert record.run_id == run.run_id


async def test_a_long_curve_is_thinned_and_keeps_its_last_bar(
    office: Office, workshop: Workshop
) -> None:
    table = "alphaswarm_silver_long.bars_1d"
    put(workshop, table, walks(["AAA.TEST"], bars=4_500))
    data = {"table": table, "start": "2001-01-01", "end": "2020-12-31", "adjust": "none"}
    run = await finished(
        office, workshop, name="long", universe={"symbols": ["AAA.TEST"]}, data=data
    )
    assert run.statistics is not None

    view = backtest_results.equity(run.run_id, office=office, caller=ANNA)

    assert (view.bars, view.curve.row_count) == (4_500, 2_000)
    assert not view.curve.truncated
    assert view.curve.rows[-1][1] == pytest.approx(run.statistics["end_equity"])


async def test_a_run_that_has_not_ended_has_no_curve(office: Office) -> None:
    handle = await backtest.submit_backtest(spec(), office=office, caller=ANNA)

    with pytest.raises(MissingError, match="queued"):
        backtest_results.equity(handle.run_id, office=office, caller=ANNA)


async def test_a_queued_run_is_cancelled_at_once_and_stays_so(office: Office) -> None:
    handle = await backtest.submit_backtest(spec(), office=office, caller=ANNA)

    first = backtest.cancel_run(handle.run_id, office=office, caller=ANNA)
    second = backtest.cancel_run(handle.run_id, office=office, caller=ANNA)

    assert (first.status, second.status) == ("cancelled", "cancelled")


async def test_a_run_of_another_kind_is_not_found_here(office: Office, desk: Any) -> None:
    other = desk.submit("data", "elsewhere")

    with pytest.raises(MissingError) as refused:
        await backtest.get_run(other.run_id, office=office, caller=ANNA, report=silent)

    assert "list_runs" in refused.value.hint
    with pytest.raises(MissingError):
        backtest.cancel_run(other.run_id, office=office, caller=ANNA)


def test_completions_begin_with_what_was_typed(office: Office) -> None:
    assert backtest_results.strategies("mo", office=office) == ["momentum", "momentum_12_1"]
    assert backtest_results.strategies("zzz", office=office) == []
