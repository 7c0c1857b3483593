"""The main job end to end, as a new user runs it: real stores, real tokens, real prices."""

from __future__ import annotations

import re
from pathlib import Path

from tests.kit.client import Demonstrated


def test_the_demo_proves_what_it_prints(alphaswarm: Demonstrated) -> None:
    facts = alphaswarm.demo
    assert facts["status"] == "succeeded"
    assert facts["statistics"]["sharpe"] is not None
    assert facts["bars"] == 3017
    assert facts["halted"] is False
    assert alphaswarm.said.count("ok  ") == 4


def test_the_demo_leaves_its_run_in_the_ledger(alphaswarm: Demonstrated) -> None:
    run = alphaswarm.json("runs", "show", alphaswarm.demo["run_id"])
    assert run["run_sha"] == alphaswarm.demo["run_sha"]
    assert run["statistics"] == alphaswarm.demo["statistics"]
    assert run["snapshot_ids"]


LOOKED = (
    *("deflated_sharpe", "deflated_threshold", "deflated_rule"),
    *("trials_counted", "trials_variance", "verdict"),
)


def test_the_same_spec_on_the_same_data_gives_the_same_bits(alphaswarm: Demonstrated) -> None:
    again = alphaswarm.json("demo")
    assert again["run_id"] != alphaswarm.demo["run_id"]
    for name in ("spec_hash", "run_sha", "result_sha", "final_equity"):
        assert again[name] == alphaswarm.demo[name], name
    said, before = (dict(one["statistics"]) for one in (again, alphaswarm.demo))
    for name in LOOKED:  # what else was looked at in the meantime counts against it
        assert (said.pop(name, None) is None) == (before.pop(name, None) is None)
    assert said == before


def test_a_demo_on_a_running_suite_does_not_stop_it(alphaswarm: Demonstrated) -> None:
    alphaswarm.json("demo")
    assert alphaswarm.json("status")["ready"] is True


def test_the_tear_sheet_stands_alone(alphaswarm: Demonstrated) -> None:
    path = Path(alphaswarm.demo["tear_sheet"])
    page = path.read_text()
    assert path.is_relative_to(alphaswarm.home.artifacts)
    assert len(page) < 300_000
    assert alphaswarm.demo["run_id"] in page
    assert not re.search(r"(src|href)\s*=\s*[\"']?https?:|@import|url\(\s*[\"']?http", page)
