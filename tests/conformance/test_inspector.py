"""The MCP Inspector against the real suite: strict lists, and a call with a bearer token."""

from __future__ import annotations

import json

import pytest

from tests.kit.live import Live
from tests.kit.node import Finished, node_package, run_node

SCRIPT = "node_modules/@modelcontextprotocol/inspector/clients/launcher/build/index.js"
LIMIT_S = 60
CALLS = {"data": "list_tables", "backtest": "list_strategies", "control": "halt_status"}


def inspect(live: Live, server: str, era: str, *arguments: str) -> Finished:
    return run_node(
        str(node_package("inspector") / SCRIPT),
        "--cli",
        live.url(server),
        "--transport",
        "http",
        "--protocol-era",
        era,
        "--header",
        f"Authorization: Bearer {live.token(server)}",
        "--stored-auth-only",
        "--format",
        "json",
        *arguments,
        timeout_s=LIMIT_S,
    )


@pytest.mark.node
@pytest.mark.parametrize("era", ["legacy", "modern"])
@pytest.mark.parametrize("server", list(CALLS))
def test_the_inspector_finds_nothing_to_complain_about(live: Live, server: str, era: str) -> None:
    finished = inspect(live, server, era, "--method", "tools/list", "--strict")
    assert finished.code == 0, finished.text[-2000:]
    assert CALLS[server] in finished.text


@pytest.mark.node
@pytest.mark.parametrize("era", ["legacy", "modern"])
@pytest.mark.parametrize("server", list(CALLS))
def test_the_inspector_calls_a_tool(live: Live, server: str, era: str) -> None:
    call = ("--method", "tools/call", "--tool-name", CALLS[server], "--tool-args-json", "{}")
    finished = inspect(live, server, era, *call)
    assert finished.code == 0, finished.text[-2000:]
    assert "structuredContent" in finished.text
    json.loads(finished.text[finished.text.index("{") :])
