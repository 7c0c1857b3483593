"""The tools, resources and prompts that the public conformance suite calls by name.

They speak the protocol directly (content blocks, elicitation, log messages), which no tool of ours
does; the server around them is built by our own `servers.compose`.
"""

from __future__ import annotations

import asyncio
import base64
import json
import warnings
from typing import Annotated, Any

import mcp_types as mt
from fastmcp import Context, FastMCP
from fastmcp.exceptions import ToolError
from fastmcp.prompts.base import Message, PromptResult
from fastmcp.tools.base import ToolResult
from fastmcp.tools.function_tool import FunctionTool
from mcp.server.subscriptions import PromptsListChanged, ToolsListChanged
from mcp.shared.exceptions import MCPError
from mcp_types.jsonrpc import MISSING_REQUIRED_CLIENT_CAPABILITY
from pydantic import Field

from servers.compose import Built

# A red pixel and a silent wave of one sample.
PNG = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIA"
    "X8jx0gAAAABJRU5ErkJggg=="
)
WAV = "UklGRiYAAABXQVZFZm10IBAAAAABAAEAQB8AAAB9AAACABAAZGF0YQIAAAAAAA=="
IMAGE = mt.ImageContent(type="image", data=PNG, mime_type="image/png")

SCHEMA_2020_12: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "$defs": {
        "address": {
            "$anchor": "addressDef",
            "type": "object",
            "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
        }
    },
    "properties": {
        "name": {"type": "string"},
        "address": {"$ref": "#/$defs/address"},
        "contactMethod": {"type": "string", "enum": ["phone", "email"]},
        "phone": {"type": "string"},
        "email": {"type": "string"},
    },
    "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
    "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
    "then": {"required": ["phone"]},
    "else": {"required": ["email"]},
    "additionalProperties": False,
}
DEFAULTS: dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "default": "John Doe"},
        "age": {"type": "integer", "default": 30},
        "score": {"type": "number", "default": 95.5},
        "status": {
            "type": "string",
            "enum": ["active", "inactive", "pending"],
            "default": "active",
        },
        "verified": {"type": "boolean", "default": True},
    },
}
_OPTIONS = ["option1", "option2", "option3"]
_TITLED = [
    {"const": "value1", "title": "First"},
    {"const": "value2", "title": "Second"},
    {"const": "value3", "title": "Third"},
]
ENUMS: dict[str, Any] = {
    "type": "object",
    "properties": {
        "untitledSingle": {"type": "string", "enum": _OPTIONS},
        "titledSingle": {"type": "string", "oneOf": _TITLED},
        "legacyEnum": {
            "type": "string",
            "enum": ["opt1", "opt2", "opt3"],
            "enumNames": ["Option One", "Option Two", "Option Three"],
        },
        "untitledMulti": {"type": "array", "items": {"type": "string", "enum": _OPTIONS}},
        "titledMulti": {"type": "array", "items": {"anyOf": _TITLED}},
    },
}


def text(words: str) -> mt.TextContent:
    return mt.TextContent(type="text", text=words)


def embedded(uri: str, mime: str, words: str) -> mt.EmbeddedResource:
    return mt.EmbeddedResource(
        type="resource",
        resource=mt.TextResourceContents(uri=uri, mime_type=mime, text=words),
    )


def add(built: Built) -> None:
    """Add everything to a server that was built without a bearer."""
    mcp = built.mcp
    _add_contents(mcp)
    _add_conversations(mcp)
    _add_questions(mcp)
    _add_schemas(mcp)
    _add_changes(built)
    _add_resources(mcp)
    _add_prompts(mcp)


def _add_contents(mcp: FastMCP[Any]) -> None:
    @mcp.tool
    def test_simple_text() -> ToolResult:
        """Return a simple text."""
        return ToolResult([text("This is a simple text response for testing.")])

    @mcp.tool
    def greet(name: str) -> ToolResult:
        """Greet at once, never as a task."""
        return ToolResult([text(f"Hello, {name}!")])

    @mcp.tool
    def test_image_content() -> ToolResult:
        """Return an image."""
        return ToolResult([IMAGE])

    @mcp.tool
    def test_audio_content() -> ToolResult:
        """Return a sound."""
        return ToolResult([mt.AudioContent(type="audio", data=WAV, mime_type="audio/wav")])

    @mcp.tool
    def test_embedded_resource() -> ToolResult:
        """Return a resource inside the answer."""
        words = "This is an embedded resource content."
        return ToolResult([embedded("test://embedded-resource", "text/plain", words)])

    @mcp.tool
    def test_multiple_content_types() -> ToolResult:
        """Return a text, an image and a resource."""
        data = json.dumps({"test": "data", "value": 123})
        mixed = embedded("test://mixed-content-resource", "application/json", data)
        return ToolResult([text("Multiple content types test:"), IMAGE, mixed])

    @mcp.tool
    def test_error_handling() -> ToolResult:
        """Fail."""
        raise ToolError("This tool intentionally returns an error for testing")


def _add_conversations(mcp: FastMCP[Any]) -> None:
    @mcp.tool
    async def test_tool_with_logging(ctx: Context) -> ToolResult:
        """Say three things while running."""
        for words in ("Tool execution started", "Tool processing data", "Tool execution completed"):
            with warnings.catch_warnings(action="ignore"):
                await ctx.info(words)
            await asyncio.sleep(0.05)
        return ToolResult([text("Logged three messages.")])

    @mcp.tool
    async def test_logging_tool(ctx: Context) -> ToolResult:
        """Say one thing, where the request asked for it."""
        with warnings.catch_warnings(action="ignore"):
            await ctx.info("A message.")
        return ToolResult([text("Done.")])

    @mcp.tool
    async def test_tool_with_progress(ctx: Context) -> ToolResult:
        """Report progress three times."""
        for done in (0, 50, 100):
            await ctx.report_progress(done, 100, f"{done} of 100")
            await asyncio.sleep(0.05)
        return ToolResult([text("Reported progress.")])

    @mcp.tool
    async def test_reconnection(ctx: Context) -> ToolResult:
        """Close the stream in the middle of the call."""
        await ctx.close_sse_stream()
        await asyncio.sleep(0.1)
        return ToolResult([text("Reconnected.")])

    @mcp.tool
    async def test_streaming_elicitation(ctx: Context) -> ToolResult:
        """Stream progress and nothing that the client has to answer."""
        await ctx.report_progress(1, 1, "done")
        return ToolResult([text("Streamed.")])


def _add_questions(mcp: FastMCP[Any]) -> None:
    @mcp.tool
    async def test_sampling(prompt: str, ctx: Context) -> ToolResult:
        """Ask the client's model."""
        asked = mt.SamplingMessage(role="user", content=text(prompt))
        with warnings.catch_warnings(action="ignore"):
            answer = await ctx.session.create_message(
                [asked], max_tokens=100, related_request_id=ctx.request_id
            )
        said = answer.content.text if isinstance(answer.content, mt.TextContent) else ""
        return ToolResult([text(f"LLM response: {said}")])

    @mcp.tool
    async def test_missing_capability(ctx: Context) -> ToolResult:
        """Refuse a client that cannot sample."""
        capabilities = ctx.session.client_capabilities
        if capabilities is None or capabilities.sampling is None:
            raise MCPError(
                code=MISSING_REQUIRED_CLIENT_CAPABILITY,
                message="This needs the client capability sampling.",
                data={"requiredCapabilities": {"sampling": {}}},
            )
        return ToolResult([text("The client can sample.")])

    async def ask(ctx: Context, message: str, schema: dict[str, Any]) -> str:
        answer = await ctx.session.elicit_form(message, schema, related_request_id=ctx.request_id)
        return f"action={answer.action}, content={json.dumps(answer.content)}"

    @mcp.tool
    async def test_elicitation(message: str, ctx: Context) -> ToolResult:
        """Ask the user for two words."""
        words = {"username": {"type": "string"}, "email": {"type": "string"}}
        schema = {"type": "object", "properties": words, "required": list(words)}
        return ToolResult([text(f"User response: {await ask(ctx, message, schema)}")])

    @mcp.tool
    async def test_elicitation_sep1034_defaults(ctx: Context) -> ToolResult:
        """Ask with defaults."""
        answer = await ask(ctx, "Please review the defaults", DEFAULTS)
        return ToolResult([text(f"Elicitation completed: {answer}")])

    @mcp.tool
    async def test_elicitation_sep1330_enums(ctx: Context) -> ToolResult:
        """Ask with every kind of choice."""
        answer = await ask(ctx, "Please choose", ENUMS)
        return ToolResult([text(f"Elicitation completed: {answer}")])


def _add_schemas(mcp: FastMCP[Any]) -> None:
    def json_schema_2020_12_tool(name: str | None = None) -> ToolResult:
        """Tool with JSON Schema 2020-12 features."""
        return ToolResult([text(f"Hello, {name}.")])

    tool = FunctionTool.from_function(json_schema_2020_12_tool)
    tool.parameters = SCHEMA_2020_12
    mcp.add_tool(tool)

    @mcp.tool
    def test_custom_headers(
        region: Annotated[str, Field(json_schema_extra={"x-mcp-header": "Region"})],
    ) -> ToolResult:
        """Take an argument that a header mirrors."""
        return ToolResult([text(f"Region {region}.")])


def _add_changes(built: Built) -> None:
    bus = built.subscriptions.bus

    @built.mcp.tool
    async def test_trigger_tool_change() -> ToolResult:
        """Say that the list of tools has changed."""
        await bus.publish(ToolsListChanged())
        return ToolResult([text("Said.")])

    @built.mcp.tool
    async def test_trigger_prompt_change() -> ToolResult:
        """Say that the list of prompts has changed."""
        await bus.publish(PromptsListChanged())
        return ToolResult([text("Said.")])


def _add_resources(mcp: FastMCP[Any]) -> None:
    @mcp.resource("test://static-text", mime_type="text/plain", description="A text.")
    def static_text() -> str:
        return "This is the content of the static text resource."

    @mcp.resource("test://static-binary", mime_type="image/png", description="An image.")
    def static_binary() -> bytes:
        return base64.b64decode(PNG)

    @mcp.resource("test://watched-resource", mime_type="text/plain", description="A text.")
    def watched() -> str:
        return "Watched resource content."

    @mcp.resource(
        "test://template/{id}/data", mime_type="application/json", description="A family."
    )
    def template(id: str) -> str:  # noqa: A002 - the suite's word
        return json.dumps({"id": id, "templateTest": True, "data": f"Data for ID: {id}"})

    @mcp.completion
    async def complete(ref: Any, argument: mt.CompletionArgument, context: Any) -> list[str]:
        del ref, context
        cities = ("paris", "park", "party", "lyon")
        return [city for city in cities if city.startswith(argument.value)]


def _add_prompts(mcp: FastMCP[Any]) -> None:
    @mcp.prompt
    def test_simple_prompt() -> str:
        """Return a simple prompt."""
        return "This is a simple prompt for testing."

    @mcp.prompt
    def test_prompt_with_arguments(arg1: str, arg2: str) -> str:
        """Return a prompt with its two arguments."""
        return f"Prompt with arguments: arg1='{arg1}', arg2='{arg2}'"

    @mcp.prompt
    def test_prompt_with_embedded_resource(resourceUri: str) -> PromptResult:  # noqa: N803
        """Return a prompt with a resource inside."""
        words = "Embedded resource content for testing."
        return PromptResult(
            [
                Message(embedded(resourceUri, "text/plain", words)),
                Message("Please process the embedded resource above."),
            ]
        )

    @mcp.prompt
    def test_prompt_with_image() -> PromptResult:
        """Return a prompt with an image."""
        return PromptResult([Message(IMAGE), Message("Please analyze the image above.")])
