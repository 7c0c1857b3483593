"""What a run says against itself, end to end: looks, audit, sensitivity and verdict."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lakehouse import query
from ledger import runs
from ledger.pool import transaction
from runtimes import dispatch
from runtimes.backtest.runtime import BacktestRuntime
from runtimes.base import perform
from runtimes.context import Workshop
from runtimes.specs.base import parse
from runtimes.strategies import STRATEGIES
from tests.kit.edges import trending
from tests.kit.market import put
from topology.principal import Principal

NOISE, EDGE = "alphaswarm_silver_noise.bars_1d", "alphaswarm_silver_edge.bars_1d"
SYMBOLS = ["AAA.TEST", "BBB.TEST", "CCC.TEST"]
SWEEP = {
    "params": {"strategy.params.fast": [2, 3, 5, 8], "strategy.params.slow": [10, 15, 20, 30, 40]}
}
Perform = Callable[..., runs.Run]


@pytest.fixture(scope="module", autouse=True)
def bars(workshop: Workshop) -> None:
    """Put four years without anything to find and four with a planted trend into the lake."""
    put(workshop, NOISE, trending(SYMBOLS, bars=1_100, drift=0.0))
    put(workshop, EDGE, trending(SYMBOLS, bars=1_100, drift=0.006))


@pytest.fixture
def done(workshop: Workshop, request: pytest.FixtureRequest) -> Perform:
    """Return a function that submits a spec, performs it here and returns the run's row.

    Each test is a person of its own: nobody's trials are another's.
    """
    subject = f"person-{request.node.name}"

    def submit(table: str = EDGE, *, by: str = subject, **changes: Any) -> runs.Run:
        body = {
            "kind": "backtest",
            "name": f"examined-{abs(hash(by)) % 10**6}",
            "universe": {"symbols": SYMBOLS},
            "data": {"table": table, "start": "2001-03-01", "end": "2003-12-31", "adjust": "none"},
            "strategy": {"name": "sma_cross", "params": {"fast": 3, "slow": 10}},
            "seed": 7,
        }
        handle = dispatch.submit(
            workshop.pool,
            parse("backtest", body | changes),
            principal=Principal(subject=by, client_id="tests"),
            queue="interactive",
            clock=workshop.clock,
        )
        perform(workshop, "backtest", handle.run_id, BacktestRuntime)
        return runs.get(workshop.pool, handle.run_id)

    return submit


def said(run: runs.Run) -> dict[str, Any]:
    assert run.statistics is not None, run.error
    return run.statistics


def test_a_run_tells_what_speaks_against_it(done: Perform) -> None:
    found = said(done())

    assert found["audit"]["passed"] is True
    assert (len(found["audit"]["cuts"]), len(found["audit"]["noise"])) == (8, 2)
    rows = found["sensitivity"]
    assert rows["cost"][1]["total_return"] == pytest.approx(found["total_return"], rel=1e-12)
    assert rows["delay"][0]["total_return"] == pytest.approx(found["total_return"], rel=1e-12)
    assert rows["cost"][0]["total_return"] > rows["cost"][3]["total_return"]
    assert rows["break_even_bps"] > rows["cost_bps"] > 0
    assert set(found["concentration"]) == {"trade", "symbol", "year"}
    assert found["trials_counted"] == 1


def test_a_planted_edge_is_plausible(done: Perform) -> None:
    found = said(done())
    assert found["deflated_sharpe"] > 0.95
    assert found["verdict"]["grade"] == "plausible", found["verdict"]
    assert "All of it is in sample" in " ".join(found["verdict"]["sentences"])


def test_a_sweep_over_a_planted_edge_is_plausible_still(done: Perform) -> None:
    found = said(done(sweep=SWEEP))
    assert found["trials"] == found["trials_counted"] == 20
    assert found["verdict"]["grade"] == "plausible", found["verdict"]


def test_the_best_of_a_sweep_over_noise_is_not_believed(done: Perform) -> None:
    found = said(done(NOISE, sweep=SWEEP))
    assert found["verdict"]["grade"] in ("refuted", "unproven")
    assert 0.05 < found["deflated_sharpe"] < 0.95
    assert not found["verdict"]["facts"]["deflated_sharpe"]["kept"]


@pytest.mark.parametrize(
    ("trials", "believed"), [pytest.param(9, False, id="nine"), pytest.param(10, True, id="ten")]
)
def test_the_spread_of_few_trials_is_not_believed(
    done: Perform, trials: int, believed: bool
) -> None:
    slow = list(range(20, 20 + trials))
    told = said(done(NOISE, sweep={"params": {"strategy.params.slow": slow}}))
    assert told["trials_counted"] == told["trial_sharpes"]["count"] == trials
    own = told["trial_sharpes"]["variance"]
    assert told["trials_variance"] == (pytest.approx(own) if believed else None)


def test_every_look_lowers_what_the_next_one_is_worth(done: Perform) -> None:
    """Four names, four parameters, one person: the name hides nothing."""
    found = [
        said(
            done(
                NOISE,
                name=f"look-{fast}",
                strategy={"name": "sma_cross", "params": {"fast": fast, "slow": 40}},
            )
        )
        for fast in (3, 5, 8, 13)
    ]
    assert [statistics["trials_counted"] for statistics in found] == [1, 2, 3, 4]
    assert done(NOISE, by="somebody-else").statistics["trials_counted"] == 1  # type: ignore[index]


def test_the_same_work_again_says_the_same(done: Perform) -> None:
    first, second = done(), done()
    assert first.run_sha == second.run_sha
    assert first.statistics == second.statistics


def test_the_audit_of_a_spec_that_asks_for_none_is_skipped_and_said(done: Perform) -> None:
    found = said(done(audit={"cuts": 0, "noise": 0}))
    assert found["audit"]["skipped"] == "The spec asks for no audit."
    assert "No look-ahead audit" in " ".join(found["verdict"]["sentences"])


PLUGIN = '''
import numpy as np
from runtimes.strategies.base import Strategy, StrategyParams, targets


def decide(view, params):
    """Hold what rises tomorrow."""
    rows = np.arange(view.first, len(view.close))
    ahead = np.vstack([view.close[1:], view.close[-1:]])
    return targets(rows, np.where(ahead > view.close, 1 / 3, 0.0)[rows])


STRATEGY = Strategy("Knows tomorrow", StrategyParams, lambda params: 1, decide)
'''


SCRIPT = """
from runtimes.engine.script import Script
from runtimes.strategies.base import StrategyParams
from runtimes.strategies.scripted import ScriptStrategy


class Peeks(Script):
    def on_bar(self, account):
        desk = account._desk  # whoever digs deep enough finds all the bars
        ahead = desk.market.close[desk.now + 1 : desk.now + 2, 0]
        rises = bool(ahead.size) and bool(ahead[0] > desk.market.close[desk.now, 0])
        account.target(account.symbols[0], 1.0 if rises else 0.0)


STRATEGY = ScriptStrategy("Peeks", StrategyParams, lambda params: 1, lambda params, view: Peeks())
"""


@pytest.fixture
def cheat(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Iterator[str]:
    """Install a package whose strategy looks one bar ahead; yield its name."""
    name = f"knows_tomorrow_{request.param}"
    (tmp_path / f"{name}.py").write_text({"weights": PLUGIN, "script": SCRIPT}[request.param])
    about = tmp_path / f"{name}-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (about / "RECORD").write_text(f"{name}.py,,\n")
    (about / "entry_points.txt").write_text(f"[alphaswarm.strategies]\n{name} = {name}:STRATEGY\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    STRATEGIES.__dict__.pop("offered", None)
    yield name
    STRATEGIES.__dict__.pop("offered", None)


@pytest.mark.parametrize(
    ("cheat", "tests"),
    [("weights", {"cuts": 2, "noise": 0}), ("script", {"cuts": 0, "noise": 2})],
    indirect=["cheat"],
)
def test_a_cheat_fails_and_keeps_what_it_found(
    done: Perform, workshop: Workshop, cheat: str, tests: dict[str, int]
) -> None:
    run = done(strategy={"name": cheat}, audit=tests)

    assert run.status == "failed"
    assert run.error is not None
    assert run.error["code"] == "lookahead_strategy"
    assert run.error["facts"]["test"] == ("cut" if tests["cuts"] else "noise")
    found = said(run)
    assert found["total_return"] > 1  # who knows tomorrow is rich
    assert found["partial"] is True
    assert found["sensitivity"]["skipped"].startswith("The strategy looks ahead")
    assert found["verdict"]["grade"] == "refuted"
    assert "looks ahead" in found["verdict"]["sentences"][1]
    assert run.result_sha is None
    assert run.result_tables is not None
    curve = query.read(workshop.lake, run.result_tables["equity"])
    assert curve.num_rows == found["bars"]


@pytest.mark.soak
def test_a_script_is_played_again_for_its_audit_and_its_costs(done: Perform) -> None:
    found = said(
        done(
            universe={"symbols": SYMBOLS[:1]},
            strategy={"name": "bracket_breakout", "params": {}},
            audit={"cuts": 2, "noise": 1},
        )
    )
    assert found["audit"]["passed"] is True, found["audit"]
    assert found["sensitivity"]["skipped"] is None
    assert found["sensitivity"]["cost"][0]["total_return"] >= found["total_return"]


def test_what_a_run_looks_at_is_recorded_when_it_is_submitted(
    done: Perform, workshop: Workshop
) -> None:
    run = done()
    with transaction(workshop.pool) as connection:
        rows = connection.execute(
            "SELECT l.*, s.symbols AS named FROM looks l JOIN symbol_sets s ON s.sha256 = l.symbols"
            " WHERE run_id = %s",
            (run.run_id,),
        ).fetchall()
    assert [(row["named"], str(row["first"]), str(row["last"]), row["trials"]) for row in rows] == [
        (SYMBOLS, "2001-03-01", "2003-12-31", 1)
    ]
    assert np.all([row["person"] == run.requested_by for row in rows])
