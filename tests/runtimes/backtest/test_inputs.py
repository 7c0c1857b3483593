"""What a strategy reads beside the bars: at a snapshot, and not before it was known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lakehouse import query
from lakehouse.errors import SnapshotExpiredError, TableNotFoundError
from lakehouse.scan import Where
from ledger import runs
from runtimes.backtest import bars, inputs
from runtimes.backtest.runtime import BacktestRuntime
from runtimes.base import perform
from runtimes.context import Workshop
from runtimes.dispatch import submit
from runtimes.engine.errors import EmptyWindowError
from runtimes.specs.backtest import BacktestSpec
from runtimes.strategies.base import Reading, Told
from tests.kit.market import put, walks
from tests.kit.signals import day, put_signals
from topology.errors import AlphaSwarmError, BadInputError, UnknownNameError
from topology.principal import Principal

TABLE = "alphaswarm_silver_told.bars_1d"
SCORES = "alphaswarm_gold_signals.told_scores"
BOOK = "alphaswarm_gold_signals.told_book"
NAMES = ("AAA.TEST", "BBB.TEST", "CCC.TEST")
NAN = float("nan")


@pytest.fixture(scope="module", autouse=True)
def lake(workshop: Workshop) -> dict[str, str]:
    """Put 60 days of three symbols, scores that were known late, and a book into the lake."""
    put(workshop, TABLE, walks(NAMES, bars=60))
    scores = put_signals(
        workshop,
        SCORES,
        [
            ("AAA.TEST", 20, 20, 1.0),
            ("AAA.TEST", 22, 24, 2.0),
            ("AAA.TEST", 23, 23, 3.0),
            ("AAA.TEST", 23, 26, 4.0),
            ("BBB.TEST", 21, 21, 5.0),
            ("BBB.TEST", 25, 25, None),
        ],
    )
    book = put_signals(
        workshop,
        BOOK,
        [
            ("AAA.TEST", 10, 10, 0.6),
            ("BBB.TEST", 10, 10, 0.4),
            ("BBB.TEST", 40, 40, -0.5),
            ("CCC.TEST", 40, 40, 0.5),
        ],
        column="weight",
    )
    assert scores.snapshot_id is not None
    assert book.snapshot_id is not None
    return {"scores": scores.snapshot_id, "book": book.snapshot_id}


def spec(strategy: str, params: dict[str, Any], **more: Any) -> BacktestSpec:
    """Return a spec over days 19 to 50."""
    return BacktestSpec.model_validate(
        {
            "name": "told",
            "universe": {"symbols": list(NAMES)},
            "data": {"table": TABLE, "start": "2001-01-20", "end": "2001-02-20", "adjust": "none"},
            "strategy": {"name": strategy, "params": params},
            **more,
        }
    )


def ranked(**more: Any) -> BacktestSpec:
    asked = {"table": SCORES, "column": "score", "rank": {"method": "top", "n": 1}}
    return spec("signal_table", asked | more)


def read(workshop: Workshop, reading: Reading, days: range) -> Told:
    times = np.array([int(day(n).timestamp()) * 10**9 for n in days])
    pinned = inputs.pins(workshop.lake, [reading])
    return inputs.read(workshop.lake, reading, pinned, symbols=NAMES, times=times)


def test_a_value_counts_from_when_it_was_known_until_a_later_one_is(workshop: Workshop) -> None:
    """Day 22's value is known on 24, when 23's is known already; 23 is said anew on 26."""
    told = read(workshop, Reading(SCORES, "score"), range(19, 28))

    assert told.values[:, 0].tolist() == pytest.approx([NAN, 1, 1, 1, 3, 3, 3, 4, 4], nan_ok=True)
    assert told.values[:, 1].tolist() == pytest.approx(
        [NAN, NAN, 5, 5, 5, 5, NAN, NAN, NAN], nan_ok=True
    )
    of_row = [int(day(n).timestamp()) * 10**9 if n else 0 for n in (0, 20, 20, 20, 23, 23)]
    assert told.rows[:6, 0].tolist() == of_row
    assert told.rows[-1, 1] > 0, "a row without a value is a row"
    assert np.isnan(told.values[:, 2]).all()
    assert not told.rows[:, 2].any(), "nobody ever spoke of CCC"


def test_bars_that_end_before_the_first_row_know_nothing(workshop: Workshop) -> None:
    assert not read(workshop, Reading(SCORES, "score"), range(5)).rows.any()


def test_the_snapshot_of_the_table_belongs_to_the_runs_inputs(
    workshop: Workshop, lake: dict[str, str]
) -> None:
    pinned = bars.pins(workshop.lake, ranked(snapshot_id=lake["scores"]))
    assert pinned == bars.pins(workshop.lake, ranked())
    assert pinned[SCORES] == lake["scores"]
    window = bars.window(workshop.lake, ranked(), snapshot_ids=pinned)
    (told,) = window.panels.values()
    assert told.values.shape == window.market.close.shape


def test_a_later_row_does_not_change_what_an_older_snapshot_tells(workshop: Workshop) -> None:
    table = "alphaswarm_gold_signals.told_twice"
    first = put_signals(workshop, table, [("AAA.TEST", 1, 1, 1.0)])
    put_signals(workshop, table, [("AAA.TEST", 2, 2, 2.0)])
    old = read(workshop, Reading(table, "score", first.snapshot_id), range(1, 4))
    new = read(workshop, Reading(table, "score"), range(1, 4))
    assert (old.values[:, 0].tolist(), new.values[:, 0].tolist()) == ([1, 1, 1], [1, 2, 2])


@pytest.mark.parametrize(
    ("changes", "error", "path"),
    [
        ({"table": "alphaswarm_gold_signals.told_scors"}, TableNotFoundError, None),
        ({"snapshot_id": "12345"}, SnapshotExpiredError, None),
        ({"column": "scor"}, UnknownNameError, "column"),
        ({"column": "available_at"}, BadInputError, "column"),
        ({"where": {"seed": 3}}, UnknownNameError, "where"),
        ({"where": {"run_id": "nobody"}}, EmptyWindowError, "table"),
        ({"table": "alphaswarm_silver_market.universes_x"}, TableNotFoundError, None),
    ],
    ids=["table", "snapshot", "column", "no number", "where", "no row", "no such table"],
)
def test_what_cannot_be_read_is_refused_before_the_run(
    workshop: Workshop, changes: dict[str, Any], error: type[AlphaSwarmError], path: str | None
) -> None:
    with pytest.raises(error) as caught:
        bars.check(workshop.lake, ranked(**changes))
    if path is not None:
        assert caught.value.facts["errors"][0]["path"] == f"strategy.params.{path}"


def test_two_rows_of_one_time_must_be_told_apart(workshop: Workshop) -> None:
    """A table of fills has a row for each fill: nothing says which of a bar's is meant."""
    fills = "alphaswarm_gold_backtests.fills"
    done(workshop, spec("equal_weight", {"rebalance": "daily"}))
    done(workshop, spec("equal_weight", {"rebalance": "weekly"}))
    with pytest.raises(BadInputError, match="several rows of AAA") as caught:
        read(workshop, Reading(fills, "price"), range(60))
    assert caught.value.facts["errors"][0]["path"] == "strategy.params.where"


def test_weights_of_a_table_are_held_from_the_bar_that_knew_them(workshop: Workshop) -> None:
    """The book of day 10 lasts to day 40, whose book lacks AAA: it is sold."""
    wanted = spec("weight_table", {"table": BOOK, "column": "weight"})
    run = done(workshop, wanted)
    assert run.status == "succeeded", run.error
    assert run.snapshot_ids is not None
    assert set(run.snapshot_ids) == {TABLE, BOOK}
    filled = query.read(
        workshop.lake, "alphaswarm_gold_backtests.fills", where=Where(run_id=run.run_id)
    )
    told = zip(
        *(filled[name].to_pylist() for name in ("timestamp", "vt_symbol", "side")), strict=True
    )
    assert list(told) == [
        (day(20), "AAA.TEST", "buy"),
        (day(20), "BBB.TEST", "buy"),
        (day(41), "AAA.TEST", "sell"),
        (day(41), "BBB.TEST", "sell"),
        (day(41), "CCC.TEST", "buy"),
    ]


def test_a_weight_that_no_account_can_hold_fails_with_bar_and_symbol(workshop: Workshop) -> None:
    table = "alphaswarm_gold_signals.told_heavy"
    put_signals(workshop, table, [("AAA.TEST", 20, 20, 0.5), ("AAA.TEST", 30, 30, 1.5)])
    run = done(workshop, spec("weight_table", {"table": table, "column": "score"}))
    assert run.status == "failed"
    assert run.error is not None
    assert run.error["code"] == "invalid_weights"
    assert run.error["facts"]["symbol"] == "AAA.TEST"
    assert run.error["facts"]["timestamp"] == "2001-01-31T21:00:00Z"
    assert run.statistics is not None
    assert run.statistics["partial"] is True
    assert run.result_tables is not None
    curve = query.read(workshop.lake, run.result_tables["equity"])
    assert 0 < curve.num_rows == run.statistics["bars"]
    assert max(curve["timestamp"].to_pylist()) < day(30)
    after = done(workshop, ranked())
    assert after.status == "succeeded", "the worker went down with the run"


def test_symbols_of_whom_the_table_says_nothing_are_named(workshop: Workshop) -> None:
    run = done(workshop, ranked())
    assert run.status == "succeeded", run.error
    assert run.statistics is not None
    named = {warning["code"]: warning for warning in run.statistics["warnings"]}
    assert named["no_rows"]["symbols"] == ["CCC.TEST"]


def done(workshop: Workshop, wanted: BacktestSpec) -> runs.Run:
    """Return the run of ``wanted`` at its end."""
    handle = submit(
        workshop.pool,
        wanted,
        principal=Principal(subject="told", client_id="tests"),
        queue="interactive",
        clock=workshop.clock,
    )
    perform(workshop, "backtest", handle.run_id, BacktestRuntime)
    return runs.get(workshop.pool, handle.run_id)
