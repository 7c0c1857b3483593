"""Whoever has the gold tables can compute every statistic again, to the last bit."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from lakehouse import query
from lakehouse.scan import Where
from ledger import runs
from runtimes import dispatch
from runtimes.backtest.recompute import differences, recompute, stored
from runtimes.backtest.runtime import BacktestRuntime
from runtimes.base import perform
from runtimes.context import Workshop
from runtimes.engine.lean.statistics import PRINTED
from runtimes.specs.backtest import BacktestSpec
from runtimes.specs.base import parse
from tests.kit.market import put, walks
from topology.canonical import sha256
from topology.errors import MissingError
from topology.principal import Principal

TABLE = "alphaswarm_silver_recompute.bars_1d"
SYMBOLS = ["AAA.TEST", "BBB.TEST", "CCC.TEST"]
RENATE = Principal(subject="renate", client_id="tests")


@pytest.fixture(scope="module", autouse=True)
def bars(workshop: Workshop) -> None:
    put(workshop, TABLE, walks([*SYMBOLS, "MKT.TEST"], bars=420, seed=3))


@pytest.fixture(scope="module")
def plain(workshop: Workshop, bars: None) -> tuple[runs.Run, BacktestSpec]:
    """Return a finished run that the tests only read."""
    return finished(workshop)


def finished(workshop: Workshop, **changes: Any) -> tuple[runs.Run, BacktestSpec]:
    """Run a backtest to its end and return its row with its spec."""
    body = {
        "kind": "backtest",
        "name": "recomputed",
        "universe": {"symbols": SYMBOLS},
        "data": {"table": TABLE, "start": "2001-03-01", "end": "2002-02-01", "adjust": "none"},
        "strategy": {"name": "momentum", "params": {"lookback": 20, "top": 2}},
        "benchmark": "MKT.TEST",
        "seed": 11,
        "audit": {"cuts": 0, "noise": 0},
    } | changes
    spec = parse("backtest", body)
    assert isinstance(spec, BacktestSpec)
    handle = dispatch.submit(
        workshop.pool, spec, principal=RENATE, queue="interactive", clock=workshop.clock
    )
    perform(workshop, "backtest", handle.run_id, BacktestRuntime)
    return runs.get(workshop.pool, handle.run_id), spec


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({}, id="long only, whole shares, fees"),
        pytest.param(
            {
                "strategy": {"name": "pairs", "params": {"lookback": 20, "enter": 1.0}},
                "portfolio": {"cash": 50_000, "leverage": 2, "fractional": True},
                "execution": {"fill": "next_close", "max_participation": 0.0005},
            },
            id="long and short, filled in slices",
        ),
        pytest.param(
            {
                "strategy": {
                    "name": "expression",
                    "params": {
                        "signal": "Ref($close, 5)/$close",
                        "rank": {"method": "top", "n": 1},
                    },
                },
                "factors": {"symbols": ["MKT.TEST", "AAA.TEST"]},
            },
            id="a signal, explained by factors",
        ),
        pytest.param(
            {
                "execution": {"rules": "lean_2026", "fill": "lean_2026"},
                "benchmark": None,
                "factors": {"symbols": ["MKT.TEST"]},
            },
            id="by the rules of Lean",
            marks=pytest.mark.soak,  # a process of its own, and compilers in it
        ),
        pytest.param(
            {"strategy": {"name": "momentum", "params": {"lookback": 400}}, "benchmark": None},
            id="an account that never traded",
        ),
    ],
)
def test_every_number_of_both_profiles_follows_from_the_tables(
    workshop: Workshop, changes: dict[str, Any]
) -> None:
    run, spec = finished(workshop, **changes)
    assert run.status == "succeeded", run.error
    assert run.statistics is not None
    again = recompute(workshop.lake, run, spec)
    assert differences(run.statistics, again) == {}
    assert set(again["lean"]) == set(PRINTED)
    assert sha256(stored(workshop.lake, run).digests()) == run.result_sha


def test_the_table_of_statistics_holds_every_defined_number(
    workshop: Workshop, plain: tuple[runs.Run, BacktestSpec]
) -> None:
    run, spec = plain
    again = recompute(workshop.lake, run, spec)
    tables = run.result_tables or {}
    rows = query.read(workshop.lake, tables["statistics"], where=Where(run_id=run.run_id))
    found = {(row["profile"], row["name"]): row["value"] for row in rows.to_pylist()}
    lean = again.pop("lean")
    wanted = {("lean", name): value for name, value in lean.items() if value is not None}
    for name, value in again.items():
        if isinstance(value, int | float):
            wanted["standard", name] = float(value)
    assert found == wanted


def test_a_number_that_does_not_follow_is_named(
    workshop: Workshop, plain: tuple[runs.Run, BacktestSpec]
) -> None:
    run, spec = plain
    statistics = dict(run.statistics or {}) | {"sharpe": 9.0}
    statistics["lean"] = statistics["lean"] | {"Total Fees": 0.0}
    assert set(differences(statistics, recompute(workshop.lake, run, spec))) == {
        "sharpe",
        "lean.Total Fees",
    }


def test_trades_are_the_fills_matched_first_in_first_out(
    workshop: Workshop, plain: tuple[runs.Run, BacktestSpec]
) -> None:
    """Lots by hand, from the stored fills alone: same profits, same fees, same order of exits."""
    run, _ = plain
    result = stored(workshop.lake, run)
    lots: dict[str, list[list[float]]] = {symbol: [] for symbol in SYMBOLS}
    pnl = []
    fills = result.fills
    for k in range(fills["price"].size):
        quantity, price, fee = (float(fills[name][k]) for name in ("quantity", "price", "fee"))
        queue, share = lots[str(fills["vt_symbol"][k])], fee / quantity
        if fills["side"][k] == "buy":
            queue.append([quantity, price, share])
            continue
        while quantity > 0:
            held, paid, cost = queue[0]
            size = min(held, quantity)
            pnl.append(size * (price - paid) - size * (share + cost))
            quantity, queue[0][0] = quantity - size, held - size
            if queue[0][0] == 0:
                queue.pop(0)
    assert len(pnl) > 5
    assert np.sort(result.trades["pnl"]) == pytest.approx(np.sort(pnl), rel=1e-9, abs=1e-9)


def test_a_run_without_a_whole_result_is_refused(workshop: Workshop) -> None:
    run, spec = finished(workshop, universe={"symbols": ["ABSENT.TEST"]})
    assert run.status == "failed"
    with pytest.raises(MissingError, match="no whole result"):
        recompute(workshop.lake, run, spec)
    halted = dataclasses.replace(run, status="halted", statistics={"partial": True})
    with pytest.raises(MissingError):
        recompute(workshop.lake, halted, spec)
