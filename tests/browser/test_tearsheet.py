"""The tear sheet in a real browser: in a minimal host, and in the public MCP Inspector."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from runtimes.backtest.runtime import BacktestRuntime
from runtimes.base import perform
from runtimes.context import Workshop
from tests.kit.browser import facts, inspector
from tests.kit.identity import PASSWORD, USERNAME
from tests.kit.live import Live
from tests.kit.market import put, walks
from tests.kit.office import ANNA
from tools import backtest

pytestmark = [pytest.mark.browser, pytest.mark.node]
TABLE = "alphaswarm_silver_browser.bars_1d"
SPEC: dict[str, Any] = {
    "kind": "backtest",
    "name": "in-a-browser",
    "universe": {"symbols": ["AAA.TEST", "BBB.TEST"]},
    "data": {"table": TABLE, "start": "2001-01-01", "end": "2004-12-31", "adjust": "none"},
    "strategy": {"name": "sma_cross", "params": {"fast": 3, "slow": 8}},
}


@pytest.fixture(scope="module")
def run_id(live: Live, workshop: Workshop) -> str:
    """Return a run with more trades than a tear sheet shows at once."""
    put(workshop, TABLE, walks(["AAA.TEST", "BBB.TEST"], bars=1_400))
    handle = backtest._submit(live.office, ANNA, SPEC, None)
    perform(workshop, "backtest", handle.run_id, BacktestRuntime)
    return handle.run_id


def test_the_app_in_a_minimal_host(live: Live, run_id: str, tmp_path: Path) -> None:
    server, token = live.url("backtest"), live.token("backtest")
    said = facts("app.mjs", server, token, run_id, folder=tmp_path)

    assert said["view"]["mime"] == "text/html;profile=mcp-app"
    assert said["view"]["bytes"] < 300_000
    assert said["view"]["meta"]["ui"]["csp"] == {}
    assert said["app"]["name"] == "alphaswarm-tearsheet"

    drawn = said["drawn"]
    assert (drawn["state"], drawn["panels"], drawn["title"]) == ("shown", 3, "in-a-browser v1")
    assert drawn["tiles"] == 6
    assert drawn["months"] >= 48
    assert run_id in drawn["text"]

    light, dark = said["themes"]
    assert light != dark
    assert said["keys"]["first"].startswith("2001-01-0")
    assert "In view" in said["keys"]["zoomed"]
    assert said["keys"]["redrawn"]
    assert "In view" in said["dragged"]

    assert [call["name"] for call in said["calls"]] == ["get_trades"]
    assert said["messy"] == {"points": 40, "rising": True}
    assert said["stranger"] == "shown"
    assert said["error"] == "No such run. Look again."
    assert said["heights"]
    assert (said["teardown"], said["ended"]) == ({}, "ended")
    assert said["outside"] == []
    assert said["errors"] == []


def test_the_app_in_the_public_inspector(live: Live, run_id: str, tmp_path: Path) -> None:
    with inspector(live.url("backtest"), tmp_path) as address:
        said = facts("inspector.mjs", address, USERNAME, PASSWORD, run_id, folder=tmp_path)

    assert said["drawn"] == {
        "panels": 3,
        "title": "in-a-browser v1",
        "tiles": 6,
        "state": "shown",
    }
    # The Inspector itself asks for Google's fonts; nothing else does, our frame least of all.
    assert said["frame"] == "about:srcdoc"
    assert {one["url"].split("/")[2] for one in said["outside"]} <= {"fonts.googleapis.com"}
    assert all(one["frame"].startswith("http://127.0.0.1:") for one in said["outside"])
    assert said["errors"] == []
