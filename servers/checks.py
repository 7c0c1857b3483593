"""What must be true of a server before it serves: small, described, and a rule for everything."""

from __future__ import annotations

from collections.abc import Iterable

from fastmcp import FastMCP
from fastmcp.tools.base import Tool
from pydantic_core import to_json

from tools.registry import PromptSpec, ResourceSpec, Served, ToolSpec
from topology.services import Face

MOST_TOOLS = 12
MOST_TOKENS = 5_000
CHARACTERS_PER_TOKEN = 4
_NO_ROOT = ("oneOf", "anyOf", "allOf", "$ref")


class BuildError(Exception):
    """A server that must not start; the message lists everything that is wrong with it."""


def check(face: Face, tools: Iterable[Tool], offered: Served) -> None:
    """Raise `BuildError` unless the tools are few, short, complete, portable and within scope."""
    tools = list(tools)
    problems = [problem for tool in tools for problem in _of_tool(tool)]
    problems += _of_size(tools)
    problems += _of_scopes(face, offered)
    problems += [
        f"{spec.name} shows {spec.app}, which is no resource of the server"
        for spec in offered.tools.values()
        if spec.app is not None and spec.app not in offered.resources
    ]
    if problems:
        raise BuildError(f"Server {face.name!r}: " + "; ".join(problems))


async def check_registered(mcp: FastMCP, offered: Served) -> None:
    """Raise `BuildError` unless exactly what has a rule is registered."""
    tools = {tool.name for tool in await mcp.list_tools(run_middleware=False)}
    resources = {str(one.uri) for one in await mcp.list_resources(run_middleware=False)}
    resources |= {
        one.uri_template for one in await mcp.list_resource_templates(run_middleware=False)
    }
    prompts = {one.name for one in await mcp.list_prompts(run_middleware=False)}
    stray = sorted(
        (tools ^ offered.tools.keys())
        | (resources ^ offered.resources.keys())
        | (prompts ^ offered.prompts.keys())
    )
    if stray:
        raise BuildError(f"Server {mcp.name!r}: registered without a rule, or the reverse: {stray}")


def tokens(tools: Iterable[Tool]) -> int:
    """Return what ``tools/list`` costs a model, in tokens of about four characters."""
    listed = [
        tool.to_mcp_tool().model_dump(mode="json", by_alias=True, exclude_none=True)
        for tool in tools
    ]
    return len(to_json(listed)) // CHARACTERS_PER_TOKEN


def _of_tool(tool: Tool) -> list[str]:
    problems = []
    if not tool.description:
        problems.append(f"{tool.name} has no description")
    if tool.annotations is None or tool.annotations.read_only_hint is None:
        problems.append(f"{tool.name} has no annotations")
    if tool.output_schema is None:
        problems.append(f"{tool.name} has no output schema")
    for name, schema in (("input", tool.parameters), ("output", tool.output_schema or {})):
        if schema.get("type") != "object" or any(key in schema for key in _NO_ROOT):
            problems.append(f"the {name} schema of {tool.name} is not a plain object at its root")
    if (tool.output_schema or {}).keys() & {"required", "additionalProperties"}:
        problems.append(f"the output schema of {tool.name} refuses the error object")
    return problems


def _of_size(tools: list[Tool]) -> list[str]:
    problems = []
    if len(tools) > MOST_TOOLS:
        problems.append(f"{len(tools)} tools, {MOST_TOOLS} at most")
    if (cost := tokens(tools)) > MOST_TOKENS:
        problems.append(f"the tools cost {cost} tokens, {MOST_TOKENS} at most")
    return problems


def _of_scopes(face: Face, offered: Served) -> list[str]:
    specs: list[ToolSpec | ResourceSpec | PromptSpec] = [
        *offered.tools.values(),
        *offered.resources.values(),
        *offered.prompts.values(),
    ]
    return [
        f"{spec.title!r} needs {scope}, which the topology does not declare"
        for spec in specs
        for scope in spec.auth.scopes
        if scope not in face.scopes
    ]
