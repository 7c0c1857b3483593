"""``query_sql`` through the server: its request ends a query, and nobody waits for bombs."""

from __future__ import annotations

import asyncio
import contextlib
import time
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastmcp import Client
from fastmcp.client.auth import BearerAuth

from lakehouse import sandbox
from servers import everything
from tests.kit.faces import ACCEPT, HANDSHAKE, MODERN, request
from tests.kit.live import Live

ENDLESS = "SELECT count(*) FROM range(10000000) a, range(10000000) b WHERE a.range * b.range = 7"
AT_ONCE_S = 2.0
"""Below the three seconds that a query may take: whoever waited for one to end waited longer."""
ERAS = pytest.mark.parametrize("era", [HANDSHAKE, MODERN])


@pytest.fixture(autouse=True)
async def warm(live: Live) -> None:
    """Start the nursery, so that tests measure queries."""
    await asyncio.to_thread(sandbox.query_sql, live.office.lake, "SELECT 1")
    await children(0)


def client(live: Live, era: str) -> Client[Any]:
    return Client(live.url("data"), auth=BearerAuth(live.token("data")), mode=era)


def running() -> int:
    """Count the children of the nursery."""
    process = sandbox._nursery._process
    assert process is not None
    return len(Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split())


async def children(count: int, within_s: float = 5.0) -> None:
    """Return when this many queries run."""
    deadline = time.monotonic() + within_s
    while running() != count:
        assert time.monotonic() < deadline, f"{running()} queries run"
        await asyncio.sleep(0.005)


@ERAS
async def test_a_cancelled_call_ends_its_query_at_once(live: Live, era: str) -> None:
    mode = "legacy" if era == HANDSHAKE else era
    async with client(live, mode) as opened:
        call = asyncio.create_task(opened.call_tool("query_sql", {"sql": ENDLESS}))
        await children(1)
        call.cancel()
        await children(0, within_s=AT_ONCE_S)
        with contextlib.suppress(asyncio.CancelledError):
            await call


async def test_a_client_that_hangs_up_ends_its_query_at_once(live: Live) -> None:
    body = request("tools/call", name="query_sql", arguments={"sql": ENDLESS})
    headers = {
        **ACCEPT,
        "mcp-protocol-version": MODERN,
        "mcp-method": "tools/call",
        "mcp-name": "query_sql",
        "authorization": f"Bearer {live.token('data')}",
    }
    async with httpx2.AsyncClient(timeout=10) as http:
        call = asyncio.create_task(http.post(live.url("data"), json=body, headers=headers))
        await children(1)
        call.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await call
    await children(0, within_s=AT_ONCE_S)


async def test_a_server_that_stops_ends_its_queries_at_once(live: Live) -> None:
    stopping = everything.suite(live.office, live.identity)
    async with client(live, MODERN) as opened:
        call = asyncio.create_task(
            opened.call_tool("query_sql", {"sql": ENDLESS}, raise_on_error=False)
        )
        await children(1)
        stopping.close()
        await children(0, within_s=AT_ONCE_S)
        assert (await call).structured_content["code"] == "cancelled"


async def test_others_are_answered_while_bombs_go_off(live: Live) -> None:
    """Twelve bombs of one caller wait for three places; the threads of others stay free."""
    async with client(live, MODERN) as bomber, client(live, MODERN) as other:
        bombs = [
            asyncio.create_task(bomber.call_tool("query_sql", {"sql": ENDLESS})) for _ in range(12)
        ]
        await children(sandbox.EACH)
        took: dict[str, list[float]] = {"list_tables": [], "get_bars": []}
        nobody = {"symbols": ["X.Y"], "start": "2024-01-01", "end": "2024-01-02"}
        for _ in range(8):
            for name, arguments in (("list_tables", {}), ("get_bars", nobody)):
                begun = time.perf_counter()
                await other.call_tool(name, arguments, raise_on_error=False)
                took[name].append(time.perf_counter() - begun)
        await children(sandbox.EACH, within_s=AT_ONCE_S)
        for bomb in bombs:
            bomb.cancel()
        await asyncio.gather(*bombs, return_exceptions=True)
    await children(0, within_s=AT_ONCE_S)
    print({name: f"{max(times) * 1e3:.0f} ms at most" for name, times in took.items()})
    assert max(map(max, took.values())) < AT_ONCE_S
