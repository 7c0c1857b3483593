"""The stock Python client as the conformance suite drives it: one address, one tool call."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx2
from mcp import Client
from mcp.client.auth import OAuthClientProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import (
    AuthorizationCodeResult,
    OAuthClientInformationFull,
    OAuthClientMetadata,
    OAuthToken,
)

CALLBACK = "http://localhost:3000/callback"
DOCUMENT = "https://conformance-test.local/client-metadata.json"
METADATA: dict[str, Any] = {
    "client_name": "conformance",
    "redirect_uris": [CALLBACK],
    "grant_types": ["authorization_code", "refresh_token"],
    "response_types": ["code"],
}


class Memory:
    """Where the client keeps what it was given; ``told`` are credentials that the suite names."""

    def __init__(self, told: dict[str, Any]) -> None:
        self.tokens: OAuthToken | None = None
        self.client: OAuthClientInformationFull | None = None
        if "client_id" in told:
            named = {name: told.get(name) for name in ("client_id", "client_secret")}
            self.client = OAuthClientInformationFull(
                **METADATA, **named, token_endpoint_auth_method="client_secret_basic"
            )

    async def get_tokens(self) -> OAuthToken | None:
        return self.tokens

    async def set_tokens(self, tokens: OAuthToken) -> None:
        self.tokens = tokens

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        return self.client

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        self.client = client_info


async def main(address: str) -> None:
    """Sign in where the server says, and call its tool."""
    answers: list[dict[str, str]] = []

    async def redirect(url: str) -> None:
        async with httpx2.AsyncClient(timeout=10) as browser:
            location = (await browser.get(url)).headers["location"]
        answers.append(dict(parse_qsl(urlsplit(location).query)))

    async def returned() -> AuthorizationCodeResult:
        said = answers.pop()
        return AuthorizationCodeResult(
            code=said["code"], state=said.get("state"), iss=said.get("iss")
        )

    told = json.loads(os.environ.get("MCP_CONFORMANCE_CONTEXT") or "{}")
    metadata = OAuthClientMetadata(**METADATA)
    provider = OAuthClientProvider(
        address, metadata, Memory(told), redirect, returned, client_metadata_url=DOCUMENT
    )
    async with (
        httpx2.AsyncClient(auth=provider, timeout=20) as http,
        Client(streamable_http_client(address, http_client=http)) as client,
    ):
        await client.list_tools()
        await client.call_tool("test-tool", {})


if __name__ == "__main__":
    asyncio.run(main(sys.argv[-1]))
