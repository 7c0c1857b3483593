"""Several servers behind one bridge: names with the server's in front, addresses unchanged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import mcp_types as mt
from fastmcp.prompts import Prompt
from fastmcp.resources import Resource
from fastmcp.server.middleware import CallNext, Middleware, MiddlewareContext
from fastmcp.server.providers.proxy import ProxyResource
from fastmcp.server.transforms import (
    GetPromptNext,
    GetResourceNext,
    GetToolNext,
    Transform,
)
from fastmcp.tools.base import Tool, ToolResult
from fastmcp.utilities.versions import VersionSpec
from mcp import MCPError

from clients.session.passing import Passed, refusal
from topology.errors import MissingError, did_you_mean, nearest

VIEW = "ui"
"""Key of a tool's ``_meta`` that names its page: the page would call tools by their short names."""


class Prefixed(Transform):
    """Puts ``{server}_`` before tools and prompts of one server."""

    def __init__(self, server: str, servers: Sequence[str]) -> None:
        self._server = server
        self._servers = servers
        self._prefix = f"{server}_"

    async def list_tools(self, tools: Sequence[Tool]) -> Sequence[Tool]:
        """Return the tools under their long names, without their pages."""
        return [
            tool.model_copy(update={"name": self._prefix + tool.name, "meta": _plain(tool.meta)})
            for tool in tools
        ]

    async def get_tool(
        self, name: str, call_next: GetToolNext, *, version: VersionSpec | None = None
    ) -> Tool | None:
        """Return the tool of a long name; None for another server's."""
        if not name.startswith(self._prefix):
            return None
        return await call_next(name.removeprefix(self._prefix), version=version)

    async def list_prompts(self, prompts: Sequence[Prompt]) -> Sequence[Prompt]:
        """Return the prompts under their long names."""
        return [one.model_copy(update={"name": self._prefix + one.name}) for one in prompts]

    async def get_prompt(
        self, name: str, call_next: GetPromptNext, *, version: VersionSpec | None = None
    ) -> Prompt | None:
        """Return the prompt of a long name; None for another server's."""
        if not name.startswith(self._prefix):
            return None
        return await call_next(name.removeprefix(self._prefix), version=version)

    async def get_resource(
        self, uri: str, call_next: GetResourceNext, *, version: VersionSpec | None = None
    ) -> Resource | None:
        """Return a resource that is ours by its address, or that nobody's address claims.

        Such a one (``run://..``) is read at once, since only reading tells whose it is.
        """
        owner = next((name for name in self._servers if owns(name, uri)), None)
        if owner is not None:
            return await call_next(uri, version=version) if owner == self._server else None
        found = await call_next(uri, version=version)
        if not isinstance(found, ProxyResource):
            return found
        try:
            found._cached_content = await found.read()
        except MCPError:
            return None
        return found


class Named(Middleware):
    """Answers for what belongs to none of the servers, and says why where none of them answers."""

    def __init__(self, servers: Mapping[str, Passed]) -> None:
        self._servers = servers

    async def on_list_tools(
        self,
        context: MiddlewareContext[mt.ListToolsRequest],
        call_next: CallNext[mt.ListToolsRequest, Sequence[Tool]],
    ) -> Sequence[Tool]:
        """Return the tools of the servers that answer; raise where there is none."""
        found = await call_next(context)
        silent = [one.silent for one in self._servers.values() if one.silent is not None]
        if silent and not found:
            raise silent[0]
        return found

    async def on_call_tool(
        self,
        context: MiddlewareContext[mt.CallToolRequestParams],
        call_next: CallNext[mt.CallToolRequestParams, ToolResult],
    ) -> ToolResult:
        """Refuse a name that no server's prefix begins."""
        name = context.message.name
        if any(name.startswith(f"{server}_") for server in self._servers):
            return await call_next(context)
        return refusal(
            MissingError(
                f"No tool is called {name[:64]!r}: names begin with that of a server.",
                hint=did_you_mean(name.partition("_")[0][:64], self._servers),
                code="unknown_tool",
                nearest=nearest(name.partition("_")[0][:64], self._servers),
            )
        )


def owns(server: str, uri: str) -> bool:
    """Tell whether an address is one of ``server``."""
    return uri.startswith((f"{server}://", f"ui://{server}/"))


def _plain(meta: dict[str, object] | None) -> dict[str, object] | None:
    return {key: value for key, value in (meta or {}).items() if key != VIEW} or None
