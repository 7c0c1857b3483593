"""Resources that change: the listen stream of 2026-07-28 and the older subscribe."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from servers.subscriptions import QUIET_S
from tests.kit.faces import ACCEPT, HANDSHAKE, MODERN, Door, listening, request

URI = "data://names/anna"


class Run:
    """Changes in the test's hand."""

    def __init__(self) -> None:
        self.followers = 0
        self._said: asyncio.Queue[bool] = asyncio.Queue()
        self._loop: asyncio.AbstractEventLoop | None = None

    async def changes(self, uri: str) -> AsyncGenerator[bool, None]:
        if uri != URI:
            return
        self._loop = asyncio.get_running_loop()
        self.followers += 1
        try:
            while True:
                last = await self._said.get()
                yield last
                if last:
                    return
        finally:
            self.followers -= 1

    def say(self, *, last: bool) -> None:
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._said.put_nowait, last)


@pytest.fixture
def run() -> Run:
    return Run()


@pytest.fixture
async def suite(tmp_path: Path, run: Run) -> AsyncIterator[Door]:
    with listening(tmp_path, changes=run.changes) as opened:
        async with opened.http:
            yield opened


async def messages(answer: httpx2.Response) -> AsyncIterator[dict[str, Any]]:
    async for line in answer.aiter_lines():
        if line.startswith("data:") and line[5:].strip():
            yield json.loads(line[5:])


def listen(suite: Door, *uris: str) -> Any:
    body = request("subscriptions/listen", notifications={"resourceSubscriptions": list(uris)})
    headers = {
        **ACCEPT,
        "mcp-protocol-version": MODERN,
        "mcp-method": "subscriptions/listen",
        "authorization": f"Bearer {suite.token('data', 'data:read')}",
    }
    return suite.http.stream("POST", suite.url("data"), json=body, headers=headers)


async def test_a_listener_is_acknowledged_first_and_told_of_the_end(suite: Door, run: Run) -> None:
    async with listen(suite, URI, "data://nothing") as answer:
        stream = messages(answer)
        first = await anext(stream)
        assert first["method"] == "notifications/subscriptions/acknowledged"
        assert first["params"]["notifications"] == {"resourceSubscriptions": [URI]}
        run.say(last=False)
        told = await asyncio.wait_for(anext(stream), 5)
        assert told["method"] == "notifications/resources/updated"
        assert told["params"]["uri"] == URI
        run.say(last=False)
        run.say(last=True)
        started = asyncio.get_running_loop().time()
        assert (await asyncio.wait_for(anext(stream), 5))["params"]["uri"] == URI
        assert asyncio.get_running_loop().time() - started < QUIET_S
    for _ in range(100):
        if not run.followers:
            break
        await asyncio.sleep(0.05)
    assert run.followers == 0


async def test_two_listeners_share_one_follower(suite: Door, run: Run) -> None:
    async with listen(suite, URI) as one, listen(suite, URI) as two:
        streams = [messages(one), messages(two)]
        for stream in streams:
            await anext(stream)
        await asyncio.sleep(0.1)
        assert run.followers == 1
        run.say(last=True)
        for stream in streams:
            assert (await asyncio.wait_for(anext(stream), 5))["params"]["uri"] == URI


async def handshake(suite: Door) -> dict[str, str]:
    """Open a session of 2025-11-25 and return the headers that continue it."""
    headers = {**ACCEPT, "authorization": f"Bearer {suite.token('data', 'data:read')}"}
    hello = {
        "protocolVersion": HANDSHAKE,
        "capabilities": {},
        "clientInfo": {"name": "kit", "version": "1"},
    }
    body = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello}
    answer = await suite.http.post(suite.url("data"), json=body, headers=headers)
    session = {"mcp-session-id": answer.headers["mcp-session-id"]}
    headers |= {**session, "mcp-protocol-version": HANDSHAKE}
    ready = {"jsonrpc": "2.0", "method": "notifications/initialized"}
    await suite.http.post(suite.url("data"), json=ready, headers=headers)
    return headers


async def legacy(suite: Door, headers: dict[str, str], method: str, uri: str) -> Any:
    body = {"jsonrpc": "2.0", "id": 2, "method": method, "params": {"uri": uri}}
    answer = await suite.http.post(suite.url("data"), json=body, headers=headers)
    async for message in messages(answer):
        if message.get("id") == 2:
            return message["result"]
    return None


async def test_the_older_subscribe_tells_over_the_session_stream(suite: Door, run: Run) -> None:
    headers = await handshake(suite)
    assert await legacy(suite, headers, "resources/subscribe", URI) == {}
    async with suite.http.stream("GET", suite.url("data"), headers=headers) as answer:
        stream = messages(answer)
        await asyncio.sleep(0.2)
        run.say(last=True)
        told = await asyncio.wait_for(anext(stream), 5)
        assert told["method"] == "notifications/resources/updated"
    assert await legacy(suite, headers, "resources/unsubscribe", URI) == {}


async def test_unsubscribing_ends_the_follower(suite: Door, run: Run) -> None:
    headers = await handshake(suite)
    await legacy(suite, headers, "resources/subscribe", URI)
    await asyncio.sleep(0.1)
    assert run.followers == 1
    await legacy(suite, headers, "resources/unsubscribe", URI)
    await asyncio.sleep(0.1)
    assert run.followers == 0


async def test_what_cannot_be_read_is_not_followed(suite: Door, run: Run) -> None:
    headers = await handshake(suite)
    assert await legacy(suite, headers, "resources/subscribe", "data://nothing") == {}
    assert run.followers == 0


def test_the_suite_stops_with_a_stream_open(tmp_path: Path, run: Run) -> None:
    with listening(tmp_path, changes=run.changes) as suite, httpx2.Client(timeout=10) as http:
        body = request("subscriptions/listen", notifications={"resourceSubscriptions": [URI]})
        headers = {
            **ACCEPT,
            "mcp-protocol-version": MODERN,
            "mcp-method": "subscriptions/listen",
            "authorization": f"Bearer {suite.token('data', 'data:read')}",
        }
        with http.stream("POST", suite.url("data"), json=body, headers=headers) as answer:
            assert answer.status_code == 200
