"""Tool calls in both protocol eras: results, errors, progress, schemas."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import httpx2
import pytest
from fastmcp import Client
from fastmcp.client.transports import StreamableHttpTransport

from tests.kit.faces import HANDSHAKE, MODERN, Door, door, request

ERAS = pytest.mark.parametrize("era", ["legacy", MODERN])


@pytest.fixture
async def suite(tmp_path: Path) -> AsyncIterator[Door]:
    async with door(tmp_path) as opened:
        yield opened


def client(suite: Door, era: str, *scopes: str, **more: Any) -> Client[Any]:
    """Return a client of ``data`` that speaks one era, over the real HTTP application."""

    def connect(**options: Any) -> httpx2.AsyncClient:
        return httpx2.AsyncClient(transport=httpx2.ASGITransport(app=suite.app), **options)

    transport = StreamableHttpTransport(
        suite.url("data"),
        headers={"authorization": f"Bearer {suite.token('data', *(scopes or ('data:read',)))}"},
        httpx_client_factory=cast("Any", connect),
    )
    return Client(transport, mode=era, **more)


@ERAS
async def test_both_eras_give_the_same_result(suite: Door, era: str) -> None:
    async with client(suite, era) as opened:
        result = await opened.call_tool("add", {"a": 1, "b": 2})
    assert result.structured_content == {"total": 3.0, "caller": "ada"}
    assert result.content[0].text == '{"total":3.0,"caller":"ada"}'


@ERAS
async def test_progress_reaches_the_caller(suite: Door, era: str) -> None:
    seen: list[tuple[float, float | None, str | None]] = []

    async def note(progress: float, total: float | None, message: str | None) -> None:
        seen.append((progress, total, message))

    async with client(suite, era) as opened:
        await opened.call_tool("count", {"to": 3}, progress_handler=note)
    assert seen == [(1, 3, "step 1"), (2, 3, "step 2"), (3, 3, "step 3")]


@ERAS
async def test_what_is_no_number_is_null(suite: Door, era: str) -> None:
    async with client(suite, era) as opened:
        result = await opened.call_tool("not_a_number", {})
    assert result.structured_content == {"total": None, "caller": "ada"}


def test_names_of_the_eras() -> None:
    assert HANDSHAKE < MODERN


async def called(suite: Door, name: str, **arguments: Any) -> dict[str, Any]:
    """Return the error object of a call that fails; its text is the same JSON."""
    answer = await suite.call("data", name, token=suite.token("data", "data:read"), **arguments)
    assert answer.status_code == 200
    result: dict[str, Any] = answer.json()["result"]
    assert result["isError"] is True
    body: dict[str, Any] = result["structuredContent"]
    assert set(body) == {"code", "message", "hint", "facts"}
    assert httpx2.Response(200, text=result["content"][0]["text"]).json() == body
    return body


async def test_a_known_refusal_arrives_whole(suite: Door) -> None:
    assert await called(suite, "refuse", secret="x") == {
        "code": "empty_window",
        "message": "That cannot be.",
        "hint": "Do this instead.",
        "facts": {"at": 1},
    }


async def test_a_crash_tells_the_log_and_not_the_caller(
    suite: Door, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR):
        body = await called(suite, "crash", secret="hunter2")
    assert body["code"] == "internal"
    assert "hunter2" not in str(body)
    assert "Traceback" not in str(body)
    assert any(record.exc_info for record in caplog.records)


async def test_a_fault_is_logged_and_named(suite: Door, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        body = await called(suite, "outage")
    assert (body["code"], body["hint"]) == ("store_unreachable", "Wait.")
    assert caplog.records


@pytest.mark.parametrize(
    ("arguments", "path", "words"),
    [
        pytest.param({"a": 1}, "b", "is missing", id="one too few"),
        pytest.param({"a": 1, "b": 2, "bb": 3}, "bb", "is not an argument", id="one too many"),
        pytest.param({"a": "hunter2", "b": 2}, "a", "valid integer", id="a word for a number"),
        pytest.param({"a": None, "b": 2}, "a", "valid integer", id="null for a number"),
    ],
)
async def test_a_wrong_argument_is_named_and_never_repeated(
    suite: Door, arguments: dict[str, Any], path: str, words: str
) -> None:
    body = await called(suite, "add", **arguments)
    assert body["code"] == "invalid_arguments"
    assert body["facts"]["errors"][0]["path"] == path
    assert words in body["message"]
    assert body["facts"]["allowed"] == ["a", "b"]
    assert "hunter2" not in str(body)


async def test_injected_parameters_cannot_be_set(suite: Door) -> None:
    body = await called(suite, "add", a=1, b=2, caller={"subject": "root"})
    assert body["facts"]["errors"][0]["path"] == "caller"


async def test_an_unknown_tool_is_told_its_neighbour(suite: Door) -> None:
    body = await called(suite, "ad")
    assert body["code"] == "unknown_tool"
    assert body["hint"] == "Did you mean 'add'?"


async def test_the_rule_is_checked_inside_too(suite: Door) -> None:
    """In process there is no gate: a caller without a token holds no scope."""
    async with Client(suite.servers["data"].mcp) as opened:
        result = await opened.call_tool("add", {"a": 1, "b": 2}, raise_on_error=False)
    assert result.is_error
    assert (result.structured_content or {})["code"] == "insufficient_scope"


async def test_what_a_client_is_told_of_a_tool(suite: Door) -> None:
    answer = await suite.post("data", request("tools/list"), token=suite.token("data", "data:read"))
    tools = {tool["name"]: tool for tool in answer.json()["result"]["tools"]}
    assert tools["add"] == {
        "name": "add",
        "title": "Add",
        "description": "Add two integers.",
        "inputSchema": {
            "type": "object",
            "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
            "required": ["a", "b"],
            "additionalProperties": False,
        },
        "outputSchema": {
            "type": "object",
            "properties": {
                "total": {"anyOf": [{"type": "number"}, {"type": "null"}]},
                "caller": {"type": "string"},
            },
        },
        "annotations": {
            "title": "Add",
            "readOnlyHint": True,
            "destructiveHint": False,
            "idempotentHint": True,
            "openWorldHint": False,
        },
    }


async def test_discovery_names_us_and_what_we_can(suite: Door) -> None:
    answer = await suite.post(
        "data", request("server/discover"), token=suite.token("data", "data:read")
    )
    result = answer.json()["result"]
    assert {MODERN} <= set(result["supportedVersions"])
    assert {"tools", "resources", "completions"} <= result["capabilities"].keys()
    assert result["cacheScope"] == "private"


@ERAS
async def test_a_resource_is_read_and_a_missing_one_says_what_to_do(suite: Door, era: str) -> None:
    async with client(suite, era) as opened:
        found = await opened.read_resource("data://names/anna")
        assert found[0].text == '{"first":"anna","second":"!"}'
        with pytest.raises(Exception, match="There is no 'nobody'") as caught:
            await opened.read_resource("data://names/nobody")
        assert getattr(caught.value, "data", {}).get("code", "not_found") == "not_found"


async def test_a_read_of_what_nobody_offers_has_no_empty_answer(suite: Door) -> None:
    body = request("resources/read", uri="data://nothing")
    answer = await suite.post(
        "data", body, token=suite.token("data", "data:read"), **{"mcp-name": "data://nothing"}
    )
    assert answer.json()["error"]["code"] == -32602
    assert answer.json()["error"]["data"] == {"uri": "data://nothing"}


@ERAS
async def test_arguments_of_resources_are_completed(suite: Door, era: str) -> None:
    body = request(
        "completion/complete",
        ref={"type": "ref/resource", "uri": "data://names/{name}"},
        argument={"name": "name", "value": "an"},
    )
    answer = await suite.post("data", body, token=suite.token("data", "data:read"))
    assert answer.json()["result"]["completion"]["values"] == ["anna", "anton"]
