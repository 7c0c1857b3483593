"""What a tool call gets back: the result as structured content, or one error object."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import mcp_types as mt
from fastmcp.tools.base import ToolResult
from mcp.shared.exceptions import MCPError
from pydantic import BaseModel, ValidationError
from pydantic_core import from_json, to_json

from tools.results import Linked, Told
from topology.errors import (
    AlphaSwarmError,
    BadInputError,
    FaultError,
    MissingError,
    did_you_mean,
    nearest,
)

_log = logging.getLogger(__name__)

INTERNAL = FaultError(
    "Something went wrong inside the server.",
    hint="Try again; if it stays, the server's log of this moment shows why.",
)
MOST_PROBLEMS = 20
_LIMITS = ("gt", "ge", "lt", "le", "min_length", "max_length", "multiple_of", "pattern", "expected")


def of_model(result: BaseModel) -> ToolResult:
    """Return a result model as structured content, the same JSON as text, and its links.

    A model that tells itself in words (`Told`) has those as text. NaN and infinities become
    null: JSON has no word for them.
    """
    text = result.model_dump_json(by_alias=True)
    told = result.told() if isinstance(result, Told) else text
    content: list[mt.ContentBlock] = [mt.TextContent(type="text", text=told)]
    if isinstance(result, Linked):
        content += [
            mt.ResourceLink(
                type="resource_link",
                uri=link.uri,
                name=link.name,
                title=link.title or None,
                mime_type=link.mime,
            )
            for link in result.links()
        ]
    return ToolResult(content=content, structured_content=from_json(text))


def of_error(error: AlphaSwarmError) -> ToolResult:
    """Return the error object, as text too; a fault of ours is logged with its trace."""
    if isinstance(error, FaultError):
        _log.error("%s: %s", error.wire_code, error.message, exc_info=error)
    return refusal(error)


def of_crash(error: Exception) -> ToolResult:
    """Log what nobody foresaw and say no more than that it happened."""
    _log.error("a tool failed: %s", type(error).__name__, exc_info=error)
    return refusal(INTERNAL)


def refusal(error: AlphaSwarmError) -> ToolResult:
    """Return the error object of the public contract as a tool result."""
    body = plain(error)
    text = to_json(body).decode()
    return ToolResult(
        content=[mt.TextContent(type="text", text=text)], structured_content=body, is_error=True
    )


def protocol_error(error: AlphaSwarmError) -> MCPError:
    """Return the JSON-RPC error for what has no error result; its data is the error object."""
    if isinstance(error, FaultError) and error is not INTERNAL:
        _log.error("%s: %s", error.wire_code, error.message, exc_info=error)
    code = mt.INTERNAL_ERROR if isinstance(error, FaultError) else mt.INVALID_PARAMS
    return MCPError(code=code, message=error.message, data=plain(error))


def plain(error: AlphaSwarmError) -> dict[str, Any]:
    """Return the error object as JSON values, whatever the facts hold."""
    body: dict[str, Any] = from_json(to_json(error.body(), fallback=str, inf_nan_mode="null"))
    return body


def invalid_arguments(error: ValidationError, parameters: Mapping[str, Any]) -> BadInputError:
    """Say which arguments are wrong and what they should be; the values are never repeated."""
    allowed = sorted(parameters)
    problems = [_problem(found, allowed) for found in error.errors(include_input=False)]
    first = problems[0]
    more = f" ({len(problems) - 1} more)" if len(problems) > 1 else ""
    return BadInputError(
        f"{first['path']}: {first['problem']}.{more}",
        hint=first.get("hint") or "Correct the arguments; the tool's input schema shows them.",
        errors=problems[:MOST_PROBLEMS],
        allowed=allowed,
    )


def unknown_tool(name: str, known: Mapping[str, Any]) -> MissingError:
    """Return the error for a tool that this server does not have."""
    return MissingError(
        f"No tool is called {name[:64]!r}.",
        hint=did_you_mean(name, known),
        code="unknown_tool",
        nearest=nearest(name, known),
    )


def unknown_prompt(name: str, known: Mapping[str, Any]) -> MissingError:
    """Return the error for a prompt that this server does not have."""
    return MissingError(
        f"No prompt is called {name[:64]!r}.",
        hint=did_you_mean(name[:64], known),
        nearest=nearest(name[:64], known),
    )


def _problem(found: Any, allowed: list[str]) -> dict[str, Any]:
    path = ".".join(str(part) for part in found["loc"])[:200]
    problem = {"path": path, "problem": found["msg"], "type": found["type"]}
    expected = {key: found["ctx"][key] for key in _LIMITS if key in found.get("ctx", {})}
    if expected:
        problem["expected"] = expected
    if found["type"] == "unexpected_keyword_argument":
        problem |= {"problem": "is not an argument", "hint": did_you_mean(path, allowed)}
    elif found["type"].startswith("missing"):
        problem["problem"] = "is missing"
    return problem
