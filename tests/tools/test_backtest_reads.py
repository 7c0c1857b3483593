"""What ``backtest`` shows of runs that have ended: tear sheet, trades, comparison, resources."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from ledger import runs
from runtimes.backtest.runtime import BacktestRuntime
from runtimes.base import perform
from runtimes.context import Workshop
from servers.answers import of_model
from tests.kit.market import put, walks
from tests.kit.office import ANNA
from tests.kit.work import with_lease
from tools import backtest, backtest_results, kept
from tools.compare import MANY
from tools.registry import Office
from tools.trades import PARTIAL
from topology.errors import AlphaSwarmError, BadInputError, MissingError
from topology.latch import Latch

TABLE = "alphaswarm_silver_reads.bars_1d"
SYMBOLS = ["AAA.TEST", "BBB.TEST"]
BARS = 4_500
FAST = {"name": "sma_cross", "params": {"fast": 5, "slow": 20}}


@pytest.fixture(scope="module", autouse=True)
def bars(workshop: Workshop) -> None:
    put(workshop, TABLE, walks(SYMBOLS, bars=BARS))


def spec(**changes: Any) -> dict[str, Any]:
    return {
        "kind": "backtest",
        "name": "shown",
        "universe": {"symbols": SYMBOLS},
        "data": {"table": TABLE, "start": "2001-01-01", "end": "2020-12-31", "adjust": "none"},
        "strategy": FAST,
    } | changes


def perform_(office: Office, workshop: Workshop, **changes: Any) -> str:
    handle = backtest._submit(office, ANNA, spec(**changes), None)
    perform(workshop, "backtest", handle.run_id, BacktestRuntime)
    return handle.run_id


@pytest.fixture(scope="module")
def crossed(office: Office, workshop: Workshop) -> str:
    """Return a run with hundreds of trades."""
    return perform_(office, workshop)


@pytest.fixture(scope="module")
def held(office: Office, workshop: Workshop) -> str:
    """Return a run of another strategy on the same data."""
    return perform_(office, workshop, strategy={"name": "equal_weight"})


def trades(office: Office, run_id: str, **asked: Any) -> Any:
    return backtest.get_trades(run_id, office=office, caller=ANNA, **asked)


def column(page: Any, name: str) -> list[Any]:
    place = page.trades.columns.index(name)
    return [row[place] for row in page.trades.rows]


def test_a_tear_sheet_draws_at_most_two_thousand_bars_with_both_ends(
    office: Office, crossed: str
) -> None:
    sheet = backtest.tear_sheet(crossed, points=2_000, office=office, caller=ANNA)
    whole, _ = kept.table(office, kept.read(office, crossed), "equity")
    equity = kept.numbers(whole, "equity")

    assert sheet.curve.bars == BARS
    assert 1_990 <= len(sheet.curve.rows) <= 2_000
    drawn = [row[1] for row in sheet.curve.rows]
    assert [drawn[0], drawn[-1]] == pytest.approx([equity[0], equity[-1]])
    assert sheet.drawdowns[0]["depth"] == pytest.approx(
        sheet.statistics["standard"]["max_drawdown"]
    )
    deepest = max(row[2] or 0 for row in sheet.curve.rows)
    assert deepest == pytest.approx(sheet.drawdowns[0]["depth"])
    years = [1 + (row[-1] or 0) for row in sheet.monthly]
    grown = sheet.statistics["standard"]["total_return"]
    assert np.prod(years) - 1 == pytest.approx(grown, rel=1e-5)


def test_a_model_reads_a_summary_while_the_page_gets_the_numbers(
    office: Office, crossed: str
) -> None:
    answer = of_model(backtest.tear_sheet(crossed, office=office, caller=ANNA))

    text = answer.content[0].text  # type: ignore[union-attr]
    assert "sharpe ratio" in text
    assert "Drawdown" in text
    assert len(text) < 6_000
    assert answer.structured_content is not None
    assert len(json.dumps(answer.structured_content)) < 120_000


def test_the_page_of_a_run_holds_its_sheet(office: Office, crossed: str) -> None:
    page = backtest_results.page(crossed, office=office, caller=ANNA)

    assert page.startswith("<!doctype html>")
    assert len(page.encode()) < 300_000
    assert crossed in page
    assert "http" not in page.replace("http://www.w3.org/2000/svg", "")


def test_trades_page_by_page_are_all_of_them_once(office: Office, crossed: str) -> None:
    first = trades(office, crossed, limit=100, sort="pnl", descending=True)
    seen, page = [*first.trades.rows], first
    while page.next is not None:
        page = trades(office, crossed, limit=100, sort="pnl", descending=True, offset=page.next)
        seen += page.trades.rows

    assert len(seen) == first.matched == first.total > 100
    assert len({json.dumps(row) for row in seen}) == len(seen)
    worth = [row[first.trades.columns.index("pnl")] for row in seen]
    assert worth == sorted(worth, reverse=True)
    assert first.pnl == pytest.approx(sum(worth))
    assert first.wins == sum(value > 0 for value in worth)


def test_trades_are_filtered(office: Office, crossed: str) -> None:
    asked = {"symbols": ["AAA.TEST"], "outcome": "loss", "start": "2003-01-01", "end": "2004-12-31"}
    found = trades(office, crossed, limit=500, **asked)

    assert 0 < found.matched < found.total
    assert set(column(found, "vt_symbol")) == {"AAA.TEST"}
    assert all(value <= 0 for value in column(found, "pnl"))
    assert all("2003" <= exit_time[:4] <= "2004" for exit_time in column(found, "exit_time"))
    with pytest.raises(BadInputError, match="no day"):
        trades(office, crossed, start="yesterday")


def test_runs_side_by_side(office: Office, crossed: str, held: str) -> None:
    found = backtest.compare_runs([crossed, held], office=office, caller=ANNA)

    assert [run["run_id"] for run in found.runs] == [crossed, held]
    assert list(found.statistics)[:3] == ["total_return", "cagr", "sharpe"]
    assert all(len(values) == 2 for values in found.statistics.values())
    assert "strategy.name" in [change.path for change in found.changes[held]]
    assert found.common_bars == BARS
    assert found.correlation[0][0] == pytest.approx(1.0)
    assert found.correlation[0][1] == found.correlation[1][0]
    assert found.curves[0][1:] == [1.0, 1.0]
    assert 100 <= len(found.curves) <= 201
    assert found.caveats == [MANY]


def test_a_comparison_says_what_else_differs(
    office: Office, workshop: Workshop, crossed: str
) -> None:
    shorter = spec()["data"] | {"end": "2001-01-10"}
    other = perform_(
        office, workshop, name="elsewhere", data=shorter, strategy={"name": "equal_weight"}
    )
    queued = backtest._submit(office, ANNA, spec(name="waiting"), None).run_id

    found = backtest.compare_runs([crossed, other, queued], office=office, caller=ANNA)

    text = " ".join(found.caveats)
    assert "differ in data" in text
    assert "too few" in text
    assert "is queued" in text
    assert found.correlation[0] == [None, None, None]
    assert found.curves[0][3] is None


def test_a_run_that_waits_has_no_tear_sheet(office: Office) -> None:
    handle = backtest._submit(office, ANNA, spec(name="waiting"), None)

    with pytest.raises(MissingError, match="queued"):
        backtest.tear_sheet(handle.run_id, office=office, caller=ANNA)
    with pytest.raises(MissingError, match="queued"):
        trades(office, handle.run_id)


def test_a_halted_run_shows_what_it_had_and_says_partial(
    office: Office, workshop: Workshop
) -> None:
    handle = backtest._submit(office, ANNA, spec(name="stopped"), None)

    class Stopped(BacktestRuntime):
        def work(self, context: Any) -> Any:
            emit = context.emit

            def watching(stage: str, message: str, **extras: Any) -> None:
                emit(stage, message, **extras)
                if stage == "bar.processed":
                    with Latch.open(workshop.home.latch) as latch:
                        latch.press(f"run:{handle.run_id}")

            context.emit = watching
            return super().work(context)

    perform(with_lease(workshop, 30), "backtest", handle.run_id, Stopped)

    sheet = backtest.tear_sheet(handle.run_id, office=office, caller=ANNA)
    assert sheet.run["status"] == "halted"
    assert 0 < sheet.curve.bars < BARS
    assert sheet.statistics["standard"]["partial"] is True
    assert sheet.told().splitlines()[0].endswith("halted, partial result")
    assert trades(office, handle.run_id).note == PARTIAL
    compared = backtest.compare_runs([handle.run_id] * 2, office=office, caller=ANNA)
    assert any("partial result" in text for text in compared.caveats)


def test_a_cancelled_run_has_a_sheet_that_says_so(office: Office) -> None:
    handle = backtest._submit(office, ANNA, spec(name="given-up"), None)
    runs.cancel(office.pool, handle.run_id, by="anna", bus=office.bus)

    sheet = backtest.tear_sheet(handle.run_id, office=office, caller=ANNA)
    empty = trades(office, handle.run_id)

    assert (sheet.run["status"], sheet.curve.rows, sheet.monthly) == ("cancelled", [], [])
    assert "cancelled" in sheet.told()
    assert (empty.total, empty.trades.rows) == (0, [])
    assert empty.note != PARTIAL


GRID = {"params": {"strategy.params.fast": [3, 5, 8], "strategy.params.slow": [20, 30]}}


async def swept(office: Office, workshop: Workshop, block: str) -> str:
    """Return a run of many trials, submitted with its blocks beside the spec."""
    base = spec(name=f"shown-{block.replace('_', '-')}")
    if block == "sweep":
        handle = await backtest.submit_sweep(base, GRID, office=office, caller=ANNA)
    else:
        walk = {"mode": "rolling", "train": 1_000, "test": 500}
        handle = await backtest.submit_walk_forward(base, walk, GRID, office=office, caller=ANNA)
    perform(workshop, "backtest", handle.run_id, BacktestRuntime)
    return handle.run_id


async def test_a_sweep_never_shows_its_best_trial_alone(office: Office, workshop: Workshop) -> None:
    run_id = await swept(office, workshop, "sweep")

    sheet = backtest.tear_sheet(run_id, office=office, caller=ANNA)
    assert sheet.trials is not None
    assert (sheet.trials["total"], len(sheet.trials["rows"])) == (6, 6)
    assert [axis[0] for axis in sheet.trials["axes"]] == list(GRID["params"])
    ratios = [row[sheet.trials["columns"].index("sharpe")] for row in sheet.trials["rows"]]
    assert ratios == sorted(ratios, reverse=True)
    assert sheet.curve.name == f"trial {sheet.trials['rows'][0][0]}"
    assert len(sheet.curve.behind) == 5
    points = len(sheet.curve.rows) + sum(len(one["rows"]) for one in sheet.curve.behind)
    assert points <= 1_000
    assert {"deflated_sharpe", "trials_counted", "pbo"} <= set(sheet.trials["luck"])
    assert sheet.verdict is not None
    text = sheet.told()
    assert "6 trials; of many, the best is lucky too" in text
    assert "Verdict" in text
    assert trades(office, run_id).note.startswith("This run tried many")


async def test_a_walk_forward_shows_its_path_out_of_sample(
    office: Office, workshop: Workshop
) -> None:
    run_id = await swept(office, workshop, "walk_forward")

    sheet = backtest.tear_sheet(run_id, office=office, caller=ANNA)
    assert sheet.curve.name == "path-000"
    assert sheet.curve.bars == 3_500
    assert sheet.trials is not None
    assert sheet.trials["rows"][0][:2] == [-1, "path-000"]
    grown = sheet.statistics["standard"]["total_return"]
    assert (sheet.curve.rows[-1][1] or 0) / sheet.curve.start - 1 == pytest.approx(grown, rel=1e-6)


@pytest.mark.parametrize(
    ("changes", "block", "path"),
    [
        pytest.param({}, None, "sweep", id="no block at all"),
        pytest.param({"sweep": GRID}, {"params": {"seed": [1]}}, "sweep", id="twice, differently"),
        pytest.param(
            {"walk_forward": {"mode": "kfold"}}, GRID, "walk_forward", id="another tool's"
        ),
        pytest.param({}, {"params": {"strategy.params.fats": [3]}}, None, id="a misspelt path"),
        pytest.param(
            {}, {"params": {"strategy.params.slow": [*range(10, 9_000)]}}, "sweep", id="too many"
        ),
    ],
)
async def test_a_sweep_that_cannot_be_is_refused_at_once(
    office: Office, changes: dict[str, Any], block: Any, path: str | None
) -> None:
    with pytest.raises(AlphaSwarmError) as refused:
        await backtest.submit_sweep(spec(**changes), block, office=office, caller=ANNA)

    assert refused.value.hint
    paths = [line["path"] for line in refused.value.facts["errors"]]
    assert path in paths if path else paths
