"""One function builds an MCP server from a face of the topology and the functions it offers."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import mcp_types as mt
from fastmcp import FastMCP
from fastmcp.resources.template import ResourceTemplate
from mcp.server.caching import CacheHint
from mcp.server.context import ServerRequestContext
from pydantic import BaseModel
from starlette.middleware import Middleware
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Lifespan

from servers import answers, checks, reads
from servers.bearer import Audience, Bearer
from servers.calls import FaceTool, Guard
from servers.gate import Gate
from servers.hosts import prm
from servers.quiet import quieten
from servers.rules import Rules
from servers.subscriptions import Changes, Subscriptions
from servers.tasks import TaskExtension, Tasks
from tools.registry import Office, Served, about
from topology.clock import Clock
from topology.services import Face

PAGE = 50
CACHE_S = 60
IDLE_S = 600
"""A session of the older era that nobody uses for so long is ended; it costs about 100 KB."""


@dataclass(frozen=True)
class Built:
    """A server ready to be mounted: its protocol side, its routes, and its lifespan."""

    face: Face
    mcp: FastMCP[Any]
    subscriptions: Subscriptions
    routes: tuple[BaseRoute, ...]
    lifespan: Lifespan[Any]


def build(
    face: Face,
    offered: Served,
    office: Office,
    *,
    version: str,
    clock: Clock,
    bearer: Bearer | None,
    changes: Changes | None = None,
    tasks: Tasks | None = None,
) -> Built:
    """Return the server of ``face`` with what is ``offered``; `BuildError` if it must not start.

    Without a ``bearer`` everybody may do everything and more tools may be added: that is for the
    conformance fixture, which is called without tokens. ``changes`` feeds resource subscriptions.
    """
    quieten()
    guard = Guard(clock, is_open=bearer is None)
    mcp: FastMCP[Any] = FastMCP(
        face.name,
        about(face.name) or None,
        version=version,
        auth=Audience(bearer) if bearer else None,
        lifespan=_lifespan(offered, is_open=bearer is None),
        on_duplicate="error",
        mask_error_details=True,
        list_page_size=PAGE,
        dereference_schemas=False,
        cache_ttl=CACHE_S,
        cache_scope="private",
    )
    tools = [FaceTool.of(spec, office, guard) for spec in offered.tools.values()]
    checks.check(face, tools, offered)
    for tool in tools:
        mcp.add_tool(tool)
    _add_reads(mcp, offered, office, guard)
    if tasks is not None:
        jobs = {name for name, spec in offered.tools.items() if spec.job}
        mcp.add_extension(TaskExtension(tasks, guard, jobs=jobs))
    subscriptions = Subscriptions(mcp, changes or _no_changes)
    subscriptions.install()
    _answer_unknown_tools(mcp)
    _answer_unknown_prompts(mcp)
    # A resource changes when its run does; only lists may be cached.
    mcp._mcp_server.cache_hints["resources/read"] = CacheHint()
    app, lifespan = _app(mcp, face, Rules(face.read_scope, offered), bearer, clock)
    return Built(face, mcp, subscriptions, (Route(face.path, app), prm(face)), lifespan)


def _app(
    mcp: FastMCP[Any], face: Face, rules: Rules, bearer: Bearer | None, clock: Clock
) -> tuple[ASGIApp, Lifespan[Any]]:
    gate = []
    if bearer is not None:
        gate = [Middleware(Gate, face=face, rules=rules, clock=clock, actions=bearer.actions)]
    app = mcp.http_app(path=face.path, middleware=gate, session_idle_timeout=IDLE_S)
    return app, app.lifespan


def _add_reads(mcp: FastMCP[Any], offered: Served, office: Office, guard: Guard) -> None:
    for spec in offered.resources.values():
        made = reads.resource(spec, office, guard)
        if isinstance(made, ResourceTemplate):
            mcp.add_template(made)
        else:
            mcp.add_resource(made)
    for prompt in offered.prompts.values():
        mcp.add_prompt(reads.Prompt.of(prompt, office, guard))
    if offered.completions:
        mcp.add_completion_handler(reads.completer(offered.completions, office, guard))


def _lifespan(offered: Served, *, is_open: bool) -> Any:
    @asynccontextmanager
    async def lifespan(mcp: FastMCP[Any]) -> AsyncIterator[dict[str, Any]]:
        if not is_open:
            await checks.check_registered(mcp, offered)
        await refresh(mcp)
        yield {}

    return lifespan


async def refresh(mcp: FastMCP[Any]) -> None:
    """Tell the protocol layer the tools' schemas, or it lists all tools on every call."""
    tools = await mcp.list_tools(run_middleware=False)
    mcp._mcp_server.get_tool_input_schema = {tool.name: tool.parameters for tool in tools}.get


def _answer_unknown_tools(mcp: FastMCP[Any]) -> None:
    async def call(
        context: ServerRequestContext[Any, Any], params: mt.CallToolRequestParams
    ) -> BaseModel:
        schema_of = mcp._mcp_server.get_tool_input_schema
        if schema_of is not None and schema_of(params.name) is None:
            known = {tool.name: tool for tool in await mcp.list_tools(run_middleware=False)}
            refusal = answers.refusal(answers.unknown_tool(params.name, known))
            return mt.CallToolResult(
                content=refusal.content,
                structured_content=refusal.structured_content,
                is_error=True,
            )
        return await mcp._on_call_tool(context, params)

    mcp._mcp_server.add_request_handler("tools/call", mt.CallToolRequestParams, call)


def _answer_unknown_prompts(mcp: FastMCP[Any]) -> None:
    async def get(
        context: ServerRequestContext[Any, Any], params: mt.GetPromptRequestParams
    ) -> BaseModel:
        known = {one.name: one for one in await mcp.list_prompts(run_middleware=False)}
        if params.name not in known:
            raise answers.protocol_error(answers.unknown_prompt(params.name, known))
        return await mcp._on_get_prompt(context, params)

    mcp._mcp_server.add_request_handler("prompts/get", mt.GetPromptRequestParams, get)


async def _no_changes(uri: str) -> AsyncGenerator[bool, None]:
    nothing: tuple[bool, ...] = ()
    del uri
    for last in nothing:
        yield last
