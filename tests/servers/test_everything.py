"""All faces in one process over the real stores: the suite as a user has it."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx2
import pytest
from fastmcp import Client
from fastmcp.client.auth import BearerAuth

from auth.policy import durable
from ledger import runs
from servers import checks, everything
from tests.kit.faces import ACCEPT, MODERN, request
from tests.kit.ledger import Desk
from tests.kit.live import Live
from tools.registry import served
from topology import services

SERVERS = ("data", "backtest", "control")
ERAS = pytest.mark.parametrize("era", ["legacy", MODERN])
CHEAPEST = {
    "data": ("search_symbols", {"query": "A"}),
    "backtest": ("list_strategies", {}),
    "control": ("halt_status", {}),
}
TOOLS = {
    "data": "ingest list_tables describe_table get_bars query_sql search_symbols list_snapshots "
    "get_run cancel_run compute_features quality_report export_table",
    "backtest": "list_strategies validate_spec submit_backtest submit_sweep submit_walk_forward "
    "get_run list_runs cancel_run compare_runs get_trades tear_sheet",
    "control": "halt halt_status resume list_specs get_spec audit_log verify_audit "
    "get_run list_runs cancel_run plan_change apply_change",
}


def client(live: Live, server: str, era: str = MODERN) -> Client[Any]:
    return Client(live.url(server), auth=BearerAuth(live.token(server)), mode=era)


@pytest.mark.parametrize("server", SERVERS)
def test_the_tools_of_a_server_are_those_of_the_contract(server: str) -> None:
    assert set(served(server).tools) == set(TOOLS[server].split())


@pytest.mark.parametrize("server", SERVERS)
def test_every_rule_is_within_the_scopes_of_its_server(server: str) -> None:
    scopes = services.load({}).face(server).scopes
    for spec in served(server).tools.values():
        assert set(spec.auth.scopes) <= set(scopes)


@pytest.mark.parametrize("server", SERVERS)
async def test_a_server_is_small_and_described(live: Live, server: str) -> None:
    async with client(live, server) as opened:
        tools = await opened.list_tools()
    assert 0 < len(tools) <= checks.MOST_TOOLS
    size = sum(len(tool.model_dump_json(by_alias=True, exclude_none=True)) for tool in tools)
    assert size / checks.CHARACTERS_PER_TOKEN <= checks.MOST_TOKENS
    for tool in tools:
        assert tool.description
        assert tool.annotations is not None
        assert (tool.output_schema or {}).get("type") == "object"
        assert "required" not in (tool.output_schema or {})


@pytest.mark.parametrize("server", SERVERS)
@ERAS
async def test_each_server_answers_in_both_eras(live: Live, server: str, era: str) -> None:
    name, arguments = CHEAPEST[server]
    async with client(live, server, era) as opened:
        result = await opened.call_tool(name, arguments, raise_on_error=False)
    assert result.structured_content is not None


@pytest.mark.parametrize("holder", SERVERS)
@pytest.mark.parametrize("asked", SERVERS)
def test_the_audience_matrix_of_the_real_suite(live: Live, holder: str, asked: str) -> None:
    token = live.token(holder, *durable(live.topology.face(holder).scopes))
    headers = {
        **ACCEPT,
        "authorization": f"Bearer {token}",
        "mcp-protocol-version": MODERN,
        "mcp-method": "tools/list",
    }
    answer = httpx2.post(live.url(asked), json=request("tools/list"), headers=headers)
    assert answer.status_code == (200 if holder == asked else 401)


async def test_a_write_needs_the_write_scope(live: Live) -> None:
    body = request("tools/call", name="ingest", arguments={"source": "sample"})
    headers = {
        **ACCEPT,
        "authorization": f"Bearer {live.token('data')}",
        "mcp-protocol-version": MODERN,
        "mcp-method": "tools/call",
        "mcp-name": "ingest",
    }
    answer = httpx2.post(live.url("data"), json=body, headers=headers)
    assert answer.status_code == 403
    assert 'scope="data:read data:write"' in answer.headers["www-authenticate"]


async def test_a_run_is_read_by_every_door_that_may(live: Live, desk: Desk) -> None:
    run = desk.submit("backtest")
    for server in ("backtest", "control"):
        async with client(live, server) as opened:
            result = await opened.call_tool("get_run", {"run_id": run.run_id})
            assert (result.structured_content or {})["status"] == "queued"
    async with client(live, "data") as opened:
        result = await opened.call_tool("get_run", {"run_id": run.run_id}, raise_on_error=False)
        assert (result.structured_content or {})["code"] == "not_found"


def test_health_says_up_and_ready(live: Live) -> None:
    base = live.topology.base_url
    assert httpx2.get(f"{base}/healthz").json() == {"status": "up"}
    ready = httpx2.get(f"{base}/readyz")
    assert ready.status_code == 200
    assert ready.json() == {
        "ready": True,
        "checks": {"postgres": "ok", "valkey": "ok", "keys": "ok"},
    }


def test_the_issuer_and_every_face_can_be_named() -> None:
    assert everything.names(services.load({})) == ["issuer", *SERVERS]


async def test_who_listens_to_a_run_hears_of_its_end(live: Live, desk: Desk) -> None:
    claim = desk.claimed()
    uri = f"run://{claim.run.run_id}"
    body = request("subscriptions/listen", notifications={"resourceSubscriptions": [uri]})
    headers = {
        **ACCEPT,
        "authorization": f"Bearer {live.token('backtest')}",
        "mcp-protocol-version": MODERN,
        "mcp-method": "subscriptions/listen",
    }
    async with (
        httpx2.AsyncClient(timeout=10) as http,
        http.stream("POST", live.url("backtest"), json=body, headers=headers) as answer,
    ):
        lines = (line async for line in answer.aiter_lines() if line.startswith("data:"))
        assert uri in await anext(lines)
        await asyncio.sleep(0.3)
        await asyncio.to_thread(finished, live, claim)
        told = json.loads((await anext(lines))[5:])
        assert told["method"] == "notifications/resources/updated"
        assert told["params"]["uri"] == uri


def finished(live: Live, claim: runs.Claim) -> None:
    runs.finish(
        live.office.pool,
        claim,
        status="succeeded",
        frames=[],
        stage="done",
        message="done",
        extras={"run_id": claim.run.run_id},
        bus=live.office.bus,
    )


@ERAS
async def test_waiting_for_a_run_reports_its_frames(live: Live, desk: Desk, era: str) -> None:
    claim = desk.claimed()
    said: list[str | None] = []

    async def note(progress: float, total: float | None, message: str | None) -> None:
        del progress, total
        said.append(message)

    async def end() -> None:
        await asyncio.sleep(0.5)
        await asyncio.to_thread(finished, live, claim)

    async with client(live, "backtest", era) as opened:
        ending = asyncio.create_task(end())
        arguments = {"run_id": claim.run.run_id, "wait_s": 20}
        result = await opened.call_tool("get_run", arguments, progress_handler=note)
        await ending
    assert (result.structured_content or {})["status"] == "succeeded"
    assert said[-1] == "done: done"
