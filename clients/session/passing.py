"""What a bridge passes on: tools, resources and prompts of a server, by name, as they are.

Nothing is looked up in a list first: the server itself answers for what it does not have.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, cast

import mcp_types as mt
from fastmcp.prompts import Prompt
from fastmcp.prompts.base import PromptResult
from fastmcp.resources import Resource, ResourceTemplate
from fastmcp.resources.base import ResourceResult
from fastmcp.server.context import Context
from fastmcp.server.providers.proxy import (
    ProxyPrompt,
    ProxyProvider,
    ProxyResource,
    ProxyTemplate,
    ProxyTool,
)
from fastmcp.tools.base import Tool, ToolResult
from fastmcp.utilities.versions import VersionSpec
from mcp import MCPError
from pydantic import PrivateAttr
from pydantic_core import to_json

from clients.session.calls import protocol_error
from clients.session.relay import Relay, as_protocol
from clients.session.stepping import StepUps
from topology.errors import AlphaSwarmError


class Passed(ProxyProvider):
    """A server's tools, resources and prompts."""

    def __init__(self, relay: Relay) -> None:
        super().__init__(relay.client)
        self.silent: MCPError | None = None
        """Why the server listed no tools the last time, None where it did."""
        self._relay = relay
        self._steps = StepUps(relay.face)

    async def _list_tools(self) -> Sequence[Tool]:
        try:
            found = await _listed(self._relay, "list_tools")
        except MCPError as error:
            self.silent = error
            raise
        self.silent = None
        return [PassedTool.from_mcp_tool(self.client_factory, one) for one in found]

    async def _get_tool(self, name: str, version: VersionSpec | None = None) -> Tool | None:
        asked = mt.Tool(name=name, input_schema={"type": "object"})
        tool = cast("PassedTool", PassedTool.from_mcp_tool(self.client_factory, asked))
        tool._relay, tool._steps = self._relay, self._steps
        return tool

    async def _list_resources(self) -> Sequence[Resource]:
        found = await _listed(self._relay, "list_resources")
        return [PassedResource.from_mcp_resource(self.client_factory, one) for one in found]

    async def _get_resource(self, uri: str, version: VersionSpec | None = None) -> Resource | None:
        asked = mt.Resource(uri=uri, name=uri)
        made = PassedResource.from_mcp_resource(self.client_factory, asked)
        resource = cast("PassedResource", made)
        resource._backend_uri, resource._relay = uri, self._relay
        return resource

    async def _list_resource_templates(self) -> Sequence[ResourceTemplate]:
        found = await _listed(self._relay, "list_resource_templates")
        return [PassedTemplate.from_mcp_template(self.client_factory, one) for one in found]

    async def _get_resource_template(
        self, uri: str, version: VersionSpec | None = None
    ) -> ResourceTemplate | None:
        return None  # every address is passed on as a resource

    async def _list_prompts(self) -> Sequence[Prompt]:
        found = await _listed(self._relay, "list_prompts")
        return [PassedPrompt.from_mcp_prompt(self.client_factory, one) for one in found]

    async def _get_prompt(self, name: str, version: VersionSpec | None = None) -> Prompt | None:
        made = PassedPrompt.from_mcp_prompt(self.client_factory, mt.Prompt(name=name))
        prompt = cast("PassedPrompt", made)
        prompt._relay = self._relay
        return prompt


class PassedTool(ProxyTool):
    """A tool whose every failure is a result with our error object."""

    _relay: Relay = PrivateAttr()
    _steps: StepUps = PrivateAttr()

    def get_meta(self) -> dict[str, Any] | None:  # type: ignore[override]  # None is left out
        """Return the server's own metadata only."""
        return self.meta

    async def run(self, arguments: dict[str, Any], context: Context | None = None) -> ToolResult:
        """Call the tool, and once more where the person has stepped up for it."""
        passed = partial(self._passed, arguments, context)
        try:
            return await self._steps.carried(self.name, arguments, passed)
        except AlphaSwarmError as error:
            return refusal(await self._relay.cured(error))
        except MCPError as error:
            return refusal(protocol_error(error, self._relay.face))

    async def _passed(
        self, arguments: dict[str, Any], context: Context | None, token: str | None
    ) -> ToolResult:
        with self._relay.exchange(token):
            if token is None:
                await self._relay.checked()
            return await super().run(arguments, context)


class PassedResource(ProxyResource):
    """A resource; what fails is a protocol error that carries our error object."""

    _relay: Relay = PrivateAttr()

    def get_meta(self) -> dict[str, Any] | None:  # type: ignore[override]  # None is left out
        """Return the server's own metadata only."""
        return self.meta

    async def read(self) -> ResourceResult:
        """Read it at the server."""
        try:
            with self._relay.exchange():
                await self._relay.checked()
                return await super().read()
        except AlphaSwarmError as error:
            raise as_protocol(await self._relay.cured(error)) from error


class PassedTemplate(ProxyTemplate):
    """A template, for lists only."""

    def get_meta(self) -> dict[str, Any] | None:  # type: ignore[override]  # None is left out
        """Return the server's own metadata only."""
        return self.meta


class PassedPrompt(ProxyPrompt):
    """A prompt; what fails is a protocol error that carries our error object."""

    _relay: Relay = PrivateAttr()

    def get_meta(self) -> dict[str, Any] | None:  # type: ignore[override]  # None is left out
        """Return the server's own metadata only."""
        return self.meta

    async def render(self, arguments: dict[str, Any] | None = None) -> PromptResult:
        """Ask the server for its text."""
        try:
            with self._relay.exchange():
                await self._relay.checked()
                return await super().render(arguments or {})
        except AlphaSwarmError as error:
            raise as_protocol(await self._relay.cured(error)) from error


def refusal(error: AlphaSwarmError) -> ToolResult:
    """Return the error object as a tool result."""
    body = error.body()
    text = to_json(body, fallback=str).decode()
    return ToolResult(
        content=[mt.TextContent(type="text", text=text)], structured_content=body, is_error=True
    )


async def _listed(relay: Relay, what: str) -> Sequence[Any]:
    try:
        async with relay.session() as client:
            return list(await getattr(client, what)())
    except AlphaSwarmError as error:
        raise as_protocol(await relay.cured(error)) from error
    except MCPError as error:
        if error.error.code == mt.METHOD_NOT_FOUND:
            return []
        raise
