"""``runs open``, ``compare``, ``diff``, and a spec of many trials, against a suite that runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.kit.client import Demonstrated

SPEC = """
kind: backtest
name: shown-by-cli
universe: {symbols: [IBM.NYSE]}
data: {start: 2005-01-03, end: 2010-12-31}
strategy: {name: sma_cross, params: {fast: 10, slow: 50}}
"""
SWEEP = "sweep: {params: {strategy.params.fast: [5, 10], strategy.params.slow: [30, 60]}}\n"


def ran(alphaswarm: Demonstrated, folder: Path, text: str, *more: str) -> dict[str, Any]:
    spec = folder / "spec.yaml"
    spec.write_text(text)
    return alphaswarm.json("run", str(spec), *more)


@pytest.fixture(scope="module")
def pair(alphaswarm: Demonstrated, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Return two runs that differ in one parameter."""
    folder = tmp_path_factory.mktemp("specs")
    slower = ("--set", "strategy.params.slow=100")
    found = [ran(alphaswarm, folder, SPEC), ran(alphaswarm, folder, SPEC, *slower)]
    assert [run["status"] for run in found] == ["succeeded", "succeeded"]
    return [str(run["run_id"]) for run in found]


def test_open_writes_a_page_that_stands_alone(alphaswarm: Demonstrated) -> None:
    run_id = alphaswarm.demo["run_id"]
    found = alphaswarm.json("runs", "open", run_id, "--no-browser")
    path = Path(found["path"])
    assert path.is_relative_to(alphaswarm.home.artifacts)
    assert path.stat().st_mode & 0o077 == 0
    assert run_id in path.read_text(encoding="utf-8")
    assert alphaswarm("runs", "open", run_id, "--no-browser").strip() == str(path)
    missing = alphaswarm.json("runs", "open", "0" * 26, "--no-browser", code=2)
    assert missing["code"] == "not_found"


def test_compare_draws_and_says_what_differs(alphaswarm: Demonstrated, pair: list[str]) -> None:
    text = alphaswarm("runs", "compare", *pair)
    assert f"A = {pair[0]}" in text
    assert "strategy.params.slow: 50 -> 100" in text
    assert "sharpe" in text
    assert any("\u2801" <= character <= "\u28ff" for character in text)
    found = alphaswarm.json("runs", "compare", *pair)
    assert [run["run_id"] for run in found["runs"]] == pair
    assert alphaswarm.json("runs", "compare", pair[0], code=2)["code"] == "invalid_arguments"


def test_diff_tells_spec_data_engine_and_result_apart(
    alphaswarm: Demonstrated, pair: list[str]
) -> None:
    found = alphaswarm.json("runs", "diff", *pair)
    assert [change["path"] for change in found["changes"]] == ["strategy.params.slow"]
    assert found["same"]["snapshot_ids"]
    assert found["same"]["engine"]
    assert not found["same"]["result_sha"]
    assert "The specs are the same." in alphaswarm("runs", "diff", pair[0], pair[0])


def test_the_list_draws_the_curves_of_backtests(alphaswarm: Demonstrated, pair: list[str]) -> None:
    text = alphaswarm("runs", "list", "--kind", "backtest", "--name", "shown-by-cli")
    [row] = [line for line in text.splitlines() if line.startswith(pair[0])]
    assert sum(character in "▁▂▃▄▅▆▇█" for character in row) == 24


def test_a_spec_with_a_sweep_runs_and_says_what_it_is_worth(
    alphaswarm: Demonstrated, tmp_path: Path
) -> None:
    run = ran(alphaswarm, tmp_path, SPEC.replace("shown-by-cli", "swept-by-cli") + SWEEP)
    assert run["status"] == "succeeded", run["error"]
    assert run["statistics"]["trials"] == 4
    shown = alphaswarm("runs", "show", run["run_id"])
    assert f"verdict        {run['statistics']['verdict']['grade']}".split() in [
        line.split() for line in shown.splitlines()
    ]
    assert "best_params" in shown
    logged = alphaswarm("runs", "logs", run["run_id"], "--json")
    frames = [json.loads(line) for line in logged.splitlines()]
    assert {frame["stage"] for frame in frames} >= {"start", "trial.done", "done"}
    sheet = Path(alphaswarm.json("runs", "open", run["run_id"], "--no-browser")["path"])
    assert "strategy.params.fast" in sheet.read_text(encoding="utf-8")
