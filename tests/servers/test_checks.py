"""What stops a server from starting."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, cast

import pytest
from pydantic import Field, create_model

from auth.policy import Rule
from servers.checks import MOST_TOKENS, BuildError, tokens
from servers.compose import build
from servers.schemas import output_schema, terse
from tests.kit.faces import Sum, door, offered, tool
from tools.registry import Office, Served, ToolSpec
from topology import services
from topology.clock import SystemClock

TOPOLOGY = services.load({})
READ = Rule(scopes=("data:read",), actor="any")


def compose(*specs: ToolSpec) -> None:
    build(
        TOPOLOGY.face("data"),
        Served(tools={spec.name: spec for spec in specs}),
        cast("Office", None),
        version="0",
        clock=SystemClock(),
        bearer=None,
    )


def sums(name: str) -> ToolSpec:
    def fn() -> Sum:
        """Sum."""
        return Sum(total=0, caller="")

    return dataclasses.replace(tool("data", fn, READ), name=name)


def test_twelve_tools_are_enough() -> None:
    compose(*(sums(f"sum_{i}") for i in range(12)))
    with pytest.raises(BuildError, match="13 tools, 12 at most"):
        compose(*(sums(f"sum_{i}") for i in range(13)))


def test_a_server_costs_at_most_five_thousand_tokens() -> None:
    spec = dataclasses.replace(sums("long"), description="word " * 5000)
    with pytest.raises(BuildError, match=f"{MOST_TOKENS} at most"):
        compose(spec)


def test_a_page_that_a_tool_shows_must_be_offered() -> None:
    spec = dataclasses.replace(sums("drawn"), app="ui://data/drawn.html")
    with pytest.raises(BuildError, match="which is no resource of the server"):
        compose(spec)


def test_a_scope_must_be_declared() -> None:
    spec = dataclasses.replace(sums("odd"), auth=Rule(scopes=("bot:live",)))
    with pytest.raises(BuildError, match="bot:live, which the topology does not declare"):
        compose(spec)


def test_a_tool_names_the_model_it_returns() -> None:
    def fn() -> int:
        """Count."""
        return 1

    with pytest.raises(TypeError, match="must name the pydantic model"):
        compose(tool("data", fn, READ))


async def test_what_has_no_rule_stops_the_start(tmp_path: Path) -> None:
    async with door(tmp_path) as suite:
        built = suite.servers["data"]

        @built.mcp.tool
        def stray() -> str:
            """Serve without a rule."""
            return ""

        from servers import checks

        with pytest.raises(BuildError, match=r"without a rule.*'stray'"):
            await checks.check_registered(built.mcp, offered("data", TOPOLOGY))


async def test_the_kit_is_small(tmp_path: Path) -> None:
    async with door(tmp_path) as suite:
        tools = await suite.servers["data"].mcp.list_tools(run_middleware=False)
        assert 0 < tokens(tools) < 1500


def test_an_output_schema_admits_the_error_object() -> None:
    inner = create_model("Inner", title=(str, ...), value=(int, Field(gt=0)))
    outer = create_model("Outer", rows=(list[inner], ...))
    schema: dict[str, Any] = output_schema(outer)
    assert "required" not in schema
    assert "additionalProperties" not in schema
    assert schema["$defs"]["Inner"] == {
        "type": "object",
        "properties": {
            "title": {"type": "string"},
            "value": {"exclusiveMinimum": 0, "type": "integer"},
        },
        "required": ["title", "value"],
    }


def test_only_generated_titles_go() -> None:
    schema = {"title": "T", "properties": {"title": {"title": "Title", "type": "string"}}}
    assert terse(schema) == {"properties": {"title": {"type": "string"}}}
