"""Tools of the conformance suite that answer "I need input first" (2026-07-28, SEP-2322)."""

from __future__ import annotations

from typing import Any

import mcp_types as mt
from fastmcp import Context, FastMCP
from fastmcp.tools.base import ToolResult

Answer = ToolResult | mt.InputRequiredResult


def question(message: str, key: str, kind: str = "string") -> mt.ElicitRequest:
    schema = {"type": "object", "properties": {key: {"type": kind}}, "required": [key]}
    return mt.ElicitRequest(
        params=mt.ElicitRequestFormParams(message=message, requested_schema=schema)
    )


def sampling(words: str, tokens: int) -> mt.CreateMessageRequest:
    content = mt.TextContent(type="text", text=words)
    return mt.CreateMessageRequest(
        params=mt.CreateMessageRequestParams(
            messages=[mt.SamplingMessage(role="user", content=content)], max_tokens=tokens
        )
    )


NAME = question("What is your name?", "name")
CAPITAL = sampling("What is the capital of France?", 100)
GREETING = sampling("Generate a greeting", 50)
ROOTS = mt.ListRootsRequest()
CONFIRM = question("Please confirm", "ok", "boolean")


def need(requests: dict[str, Any], state: str | None = None) -> mt.InputRequiredResult:
    return mt.InputRequiredResult(input_requests=requests, request_state=state)


def accepted(ctx: Context, key: str) -> dict[str, Any] | None:
    """Return what the user typed under a key, or None where he has not, or not as asked."""
    answer = (ctx.input_responses or {}).get(key)
    if isinstance(answer, mt.ElicitResult) and answer.action == "accept":
        return dict(answer.content or {})
    return None


def said(words: str) -> ToolResult:
    return ToolResult([mt.TextContent(type="text", text=words)])


def add(mcp: FastMCP[Any]) -> None:
    """Add the tools and the prompt."""
    _add_single(mcp)
    _add_choosing(mcp)
    _add_stateful(mcp)

    @mcp.prompt
    async def test_input_required_result_prompt(ctx: Context) -> Any:
        """Ask for context before the prompt is written."""
        answer = accepted(ctx, "user_context")
        if answer is None:
            asked = question("What context should the prompt use?", "context")
            return need({"user_context": asked})
        return f"Context: {answer.get('context')}"


def _add_single(mcp: FastMCP[Any]) -> None:
    @mcp.tool(output_schema=None)
    async def test_input_required_result_elicitation(ctx: Context) -> Answer:
        """Ask for a name."""
        answer = accepted(ctx, "user_name")
        if answer is None or not isinstance(answer.get("name"), str):
            return need({"user_name": NAME})
        return said(f"Hello, {answer['name']}!")

    @mcp.tool(output_schema=None)
    async def test_input_required_result_sampling(ctx: Context) -> Answer:
        """Ask the client's model."""
        if "capital_question" not in (ctx.input_responses or {}):
            return need({"capital_question": CAPITAL})
        return said("The model answered.")

    @mcp.tool(output_schema=None)
    async def test_input_required_result_list_roots(ctx: Context) -> Answer:
        """Ask for the client's roots."""
        if "client_roots" not in (ctx.input_responses or {}):
            return need({"client_roots": ROOTS})
        return said("The client has roots.")


def _add_choosing(mcp: FastMCP[Any]) -> None:
    @mcp.tool(output_schema=None)
    async def test_input_required_result_capabilities(ctx: Context) -> Answer:
        """Ask only for what the client can answer."""
        if ctx.input_responses:
            return said("Answered.")
        capabilities = ctx.session.client_capabilities
        requests: dict[str, Any] = {}
        if capabilities is not None and capabilities.elicitation is not None:
            requests["user_name"] = NAME
        if capabilities is not None and capabilities.sampling is not None:
            requests["capital_question"] = CAPITAL
        return need(requests) if requests else said("The client answers nothing.")


def _add_stateful(mcp: FastMCP[Any]) -> None:
    @mcp.tool(output_schema=None)
    async def test_input_required_result_request_state(ctx: Context) -> Answer:
        """Ask for a confirmation and remember having asked."""
        if accepted(ctx, "confirm") is None or ctx.request_state != "asked":
            return need({"confirm": CONFIRM}, "asked")
        return said("state-ok")

    @mcp.tool(output_schema=None)
    async def test_input_required_result_tampered_state(ctx: Context) -> Answer:
        """Ask for a confirmation under a seal."""
        if accepted(ctx, "confirm") is None or ctx.request_state != "sealed":
            return need({"confirm": CONFIRM}, "sealed")
        return said("state-ok")

    @mcp.tool(output_schema=None)
    async def test_input_required_result_multiple_inputs(ctx: Context) -> Answer:
        """Ask for three things at once."""
        wanted = {"user_name": NAME, "greeting": GREETING, "client_roots": ROOTS}
        if not wanted.keys() <= (ctx.input_responses or {}).keys():
            return need(dict(wanted), "three")
        return said("All three came.")

    @mcp.tool(output_schema=None)
    async def test_input_required_result_multi_round(ctx: Context) -> Answer:
        """Ask twice, one after the other."""
        if ctx.request_state == "second" and accepted(ctx, "step2"):
            return said("Both rounds are done.")
        if ctx.request_state == "first" and accepted(ctx, "step1"):
            asked = question("Step 2: What is your favorite color?", "color")
            return need({"step2": asked}, "second")
        return need({"step1": question("Step 1: What is your name?", "name")}, "first")
