"""The tasks extension over jobs in memory: opted in, not opted in, ended, cancelled, unknown."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from servers.compose import build
from servers.everything import Parts, root
from servers.tasks import EXTENSION
from tests.kit.faces import ACCEPT, MODERN, opened
from tests.kit.fixture_jobs import REFUSED, Jobs, tools
from tools.registry import Office, Served
from topology import services
from topology.clock import SystemClock

URL = "http://localhost:8000/data/mcp"


class Asker:
    """A client of 2026-07-28 that declares the extension, or does not."""

    def __init__(self, http: httpx2.AsyncClient) -> None:
        self._http = http

    async def ask(
        self, method: str, *, opted: bool = True, header: str | None = None, **params: Any
    ) -> dict[str, Any]:
        meta = {
            "io.modelcontextprotocol/protocolVersion": MODERN,
            "io.modelcontextprotocol/clientCapabilities": (
                {"extensions": {EXTENSION: {}}} if opted else {}
            ),
        }
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {"_meta": meta, **params}}
        named = header or params.get("name") or params.get("taskId") or ""
        headers = {"mcp-protocol-version": MODERN, "mcp-method": method, "mcp-name": named}
        answer = await self._http.post(URL, json=body, headers={**ACCEPT, **headers})
        whole: dict[str, dict[str, Any]] = answer.json()
        return whole.get("result") or whole["error"]

    async def submit(self, name: str, **arguments: Any) -> dict[str, Any]:
        return await self.ask("tools/call", name=name, arguments=arguments)

    async def ended(self, task_id: str) -> dict[str, Any]:
        for _ in range(100):
            state = await self.ask("tasks/get", taskId=task_id)
            if state["status"] != "working":
                return state
            await asyncio.sleep(0.02)
        raise TimeoutError(task_id)


@pytest.fixture
async def asker() -> AsyncIterator[Asker]:
    topology, clock = services.load({}), SystemClock()
    jobs = Jobs(clock)
    built = build(
        topology.face("data"),
        Served(tools=tools(jobs)),
        Office.__new__(Office),
        version="0",
        clock=clock,
        bearer=None,
        tasks=jobs,
    )
    app = root(topology, Parts(servers=[built]))
    async with opened(app), httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app)) as http:
        yield Asker(http)


async def test_a_job_becomes_a_task_and_completes(asker: Asker) -> None:
    task = await asker.submit("slow_compute", seconds=0.05, label="x")
    assert task["resultType"] == "task"
    assert task["status"] == "working"
    assert (task["ttlMs"], task["pollIntervalMs"]) == (3_600_000, 1_000)
    ended = await asker.ended(task["taskId"])
    assert ended["resultType"] == "complete"
    assert ended["status"] == "completed"
    assert ended["result"]["structuredContent"] == {"text": "x is done"}


async def test_without_the_extension_the_handle_stays(asker: Asker) -> None:
    result = await asker.ask(
        "tools/call", opted=False, name="slow_compute", arguments={"seconds": 0}
    )
    assert result["resultType"] == "complete"
    assert set(result["structuredContent"]) == {"task_id"}


async def test_what_is_no_job_is_never_a_task(asker: Asker) -> None:
    result = await asker.submit("add", a=1, b=2)
    assert result["resultType"] == "complete"


async def test_a_refused_job_is_no_task(asker: Asker) -> None:
    result = await asker.submit("slow_compute", seconds="long")
    assert result["isError"] is True
    assert result["structuredContent"]["code"] == "invalid_arguments"


async def test_a_failed_job_is_a_completed_task_with_an_error(asker: Asker) -> None:
    ended = await asker.ended((await asker.submit("failing_job"))["taskId"])
    assert ended["status"] == "completed"
    assert ended["result"]["isError"] is True
    assert ended["result"]["structuredContent"]["code"] == "job_failed"


async def test_a_fault_of_ours_is_a_failed_task(asker: Asker) -> None:
    ended = await asker.ended((await asker.submit("protocol_error_job"))["taskId"])
    assert (ended["status"], ended["error"]["code"]) == ("failed", -32603)


async def test_cancelling_twice_is_acknowledged_twice(asker: Asker) -> None:
    task_id = (await asker.submit("slow_compute", seconds=60))["taskId"]
    for _ in range(2):
        assert (await asker.ask("tasks/cancel", taskId=task_id))["resultType"] == "complete"
    assert (await asker.ended(task_id))["status"] == "cancelled"


@pytest.mark.parametrize("method", ["tasks/get", "tasks/update", "tasks/cancel"])
async def test_an_unknown_task_is_unknown_to_every_method(asker: Asker, method: str) -> None:
    error = await asker.ask(method, taskId="0" * 26)
    assert (error["code"], error["message"]) == (-32602, "unknown task")


@pytest.mark.parametrize("method", ["tasks/get", "tasks/update", "tasks/cancel"])
async def test_tasks_are_for_those_who_asked_for_them(asker: Asker, method: str) -> None:
    error = await asker.ask(method, opted=False, taskId="0" * 26)
    assert error["code"] == -32021
    assert error["data"] == {"requiredCapabilities": {"extensions": {EXTENSION: {}}}}


async def test_the_header_names_the_task(asker: Asker) -> None:
    error = await asker.ask("tasks/get", taskId="0" * 26, header="1" * 26)
    assert error["code"] == -32020


async def test_a_refused_cancel_says_why(asker: Asker) -> None:
    error = await asker.ask("tasks/cancel", taskId=REFUSED)
    assert (error["code"], error["data"]["hint"]) == (-32602, "Leave it.")
