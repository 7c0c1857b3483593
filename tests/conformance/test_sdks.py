"""The SDKs of others, unmodified: they register, sign in, call, and widen their scope."""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx2
import pytest
from mcp import Client
from mcp.client.auth import OAuthClientProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import (
    AuthorizationCodeResult,
    OAuthClientInformationFull,
    OAuthClientMetadata,
    OAuthToken,
)

from tests.kit.fixture_server import free_port
from tests.kit.live import Live
from tests.kit.node import NODE, node_package
from tests.kit.person import approve

SCRIPT = Path(__file__).with_name("sdk_client.mjs")
LIMIT_S = 60
NOBODY = "0" * 26


class Memory:
    """Where the Python SDK keeps what it was given."""

    def __init__(self) -> None:
        self.tokens: OAuthToken | None = None
        self.client: OAuthClientInformationFull | None = None

    async def get_tokens(self) -> OAuthToken | None:
        return self.tokens

    async def set_tokens(self, tokens: OAuthToken) -> None:
        self.tokens = tokens

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        return self.client

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        self.client = client_info


@pytest.mark.parametrize("mode", ["legacy", "auto"])
async def test_the_python_sdk_signs_in_calls_and_steps_up(live: Live, mode: str) -> None:
    callback = f"http://127.0.0.1:{free_port()}/callback"
    memory, answers, visits = Memory(), list[dict[str, str]](), list[str]()

    async def redirect(address: str) -> None:
        visits.append(address)
        answers.append(approve(address))

    async def returned() -> AuthorizationCodeResult:
        answer = answers.pop()
        return AuthorizationCodeResult(
            code=answer["code"], state=answer["state"], iss=answer["iss"]
        )

    provider = OAuthClientProvider(
        live.url("data"),
        OAuthClientMetadata(client_name="Kit", redirect_uris=[callback]),
        memory,
        redirect,
        returned,
    )
    async with httpx2.AsyncClient(auth=provider, timeout=30) as http:
        transport = streamable_http_client(live.url("data"), http_client=http)
        async with Client(transport, mode=mode) as client:
            tools = await client.list_tools()
            assert "list_tables" in {tool.name for tool in tools.tools}
            listed = await client.call_tool("list_tables", {})
            assert listed.is_error is False
            assert len(visits) == 1
            cancelled = await client.call_tool("cancel_run", {"run_id": NOBODY})
            assert (cancelled.structured_content or {})["code"] == "not_found"
    assert len(visits) == 2
    assert memory.tokens is not None
    assert set((memory.tokens.scope or "").split()) == {"data:read", "data:write"}


@pytest.mark.node
@pytest.mark.parametrize("mode", ["legacy", "auto"])
def test_the_typescript_sdk_signs_in_calls_and_steps_up(live: Live, mode: str) -> None:
    said = dict(conversation(live, mode))
    assert "crash" not in said, said["crash"]
    assert "list_tables" in said["tools"]
    assert said["list_tables"]["isError"] is False
    assert "tables" in said["list_tables"]["structured"]
    assert said["search_symbols"]["structured"]["code"] == "invalid_arguments"
    assert said["search_symbols"]["structured"]["hint"]
    assert said["cancel_run"]["structured"]["code"] == "not_found"
    assert set(said["scope"].split()) == {"data:read", "data:write"}


def conversation(live: Live, mode: str) -> Iterator[tuple[str, Any]]:
    """Run the script and play its user; yield what it says of each step."""
    package = node_package("typescript")
    script = package / f"{mode}-{SCRIPT.name}"  # node finds its packages beside the script
    shutil.copyfile(SCRIPT, script)
    callback = f"http://127.0.0.1:{free_port()}/callback"
    with subprocess.Popen(
        [NODE, str(script), live.url("data"), mode, callback],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as running:
        guard = threading.Timer(LIMIT_S, running.kill)
        guard.start()
        assert running.stdin is not None
        assert running.stdout is not None
        for line in running.stdout:
            spoken = json.loads(line)
            if spoken["word"] == "authorize":
                answer = approve(spoken["value"])
                running.stdin.write(f"{callback}?{urlencode(answer)}\n")
                running.stdin.flush()
            else:
                yield spoken["word"], spoken["value"]
        guard.cancel()
