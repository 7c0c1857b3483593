"""Host and Origin: what a page of somebody else may reach, and what it may not."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from servers.hosts import guarded_hosts, guarded_origins
from tests.kit.faces import Door, door, request
from topology import services

BASE = "http://localhost:8000"
PRM = "/.well-known/oauth-protected-resource"
MCP = [f"/{name}/mcp" for name in ("data", "backtest", "control")]
PUBLIC = [f"{PRM}{path}" for path in MCP]
ISSUER = ["/.well-known/oauth-authorization-server/as", "/as/jwks.json"]
PAGES = ["/as/authorize", "/as/login"]
INSPECTOR = "http://localhost:6274"


@pytest.fixture
async def suite(tmp_path: Path) -> AsyncIterator[Door]:
    async with door(tmp_path) as opened:
        yield opened


@pytest.mark.parametrize("path", [*MCP, *PUBLIC, *ISSUER, *PAGES, "/", "/nothing"])
@pytest.mark.parametrize(
    "host", ["evil.test", "localhost", "localhost:9999", "localhost:8000.evil.test", ""]
)
async def test_another_host_is_served_nothing(suite: Door, path: str, host: str) -> None:
    answer = await suite.http.get(BASE + path, headers={"host": host})
    assert answer.status_code == 421


@pytest.mark.parametrize("host", ["localhost:8000", "127.0.0.1:8000", "[::1]:8000"])
async def test_this_machine_has_three_names(suite: Door, host: str) -> None:
    answer = await suite.http.get(BASE + PUBLIC[0], headers={"host": host})
    assert answer.status_code == 200


@pytest.mark.parametrize("path", [*MCP, *PAGES, "/chat/stream/01j"])
@pytest.mark.parametrize(
    "origin", ["http://evil.test", "null", "http://localhost:8001", "https://localhost:8000"]
)
async def test_a_foreign_page_reaches_nothing_that_acts(
    suite: Door, path: str, origin: str
) -> None:
    answer = await suite.http.get(BASE + path, headers={"origin": origin})
    assert answer.status_code == 403
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("path", [*PUBLIC, *ISSUER])
async def test_public_documents_are_for_every_page(suite: Door, path: str) -> None:
    answer = await suite.http.get(BASE + path, headers={"origin": "http://evil.test"})
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == "*"


async def test_the_inspector_may_call_and_read_the_challenge(suite: Door) -> None:
    answer = await suite.post("data", request("tools/list"), origin=INSPECTOR)
    assert answer.status_code == 401
    assert answer.headers["access-control-allow-origin"] == INSPECTOR
    assert "WWW-Authenticate" in answer.headers["access-control-expose-headers"]


async def test_a_preflight_needs_no_token(suite: Door) -> None:
    wanted = {
        "origin": INSPECTOR,
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization,mcp-method",
    }
    answer = await suite.http.options(suite.url("data"), headers=wanted)
    assert answer.status_code == 200
    assert "authorization" in answer.headers["access-control-allow-headers"]


@pytest.mark.parametrize("server", ["data", "backtest", "control"])
async def test_a_metadata_document_speaks_of_one_server(suite: Door, server: str) -> None:
    answer = await suite.http.get(f"{BASE}{PRM}/{server}/mcp")
    assert answer.json() == {
        "resource": f"{BASE}/{server}/mcp",
        "authorization_servers": [f"{BASE}/as"],
        "scopes_supported": [f"{server}:read"],
        "bearer_methods_supported": ["header"],
        "resource_name": f"AlphaSwarm {server}",
    }


@pytest.mark.parametrize("path", [PRM, "/mcp", "/data", "/data/mcp/"])
async def test_there_is_nothing_beside_the_servers(suite: Door, path: str) -> None:
    assert (await suite.http.get(BASE + path)).status_code in (307, 404)


async def test_white_space_around_a_header_is_no_part_of_it(suite: Door) -> None:
    token = suite.token("data", "data:read")
    body = request("tools/call", name="add", arguments={"a": 1, "b": 2})
    answer = await suite.http.post(
        suite.url("data"),
        json=body,
        headers={
            "accept": "application/json, text/event-stream",
            "authorization": f"Bearer {token}",
            "mcp-protocol-version": "2026-07-28",
            "mcp-method": "tools/call",
            "mcp-name": "  add  ",
        },
    )
    assert answer.status_code == 200


def test_another_port_moves_hosts_and_origins_with_it() -> None:
    topology = services.load({}, port=9123)
    assert guarded_hosts(topology) == {"localhost:9123", "127.0.0.1:9123", "[::1]:9123"}
    assert guarded_origins(topology) == {"http://localhost:9123", *topology.listen.origins}
