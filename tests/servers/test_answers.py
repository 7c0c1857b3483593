"""Results and errors as tool results, and lists in pages."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import mcp_types as mt
import pytest
from fastmcp import Client
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from auth.policy import Rule
from servers import answers
from servers.compose import PAGE, build
from tools.registry import Office, ResourceSpec, Served
from tools.results import Link
from topology import services
from topology.clock import SystemClock
from topology.errors import BadInputError

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


class Handle(BaseModel):
    """A result with more behind it."""

    result_uri: str

    def links(self) -> Sequence[Link]:
        return [Link(self.result_uri, "run", "The run")]


class Drawn(BaseModel):
    """A result that a page draws."""

    points: list[int]

    def told(self) -> str:
        return "Three points, rising."


def test_a_result_for_a_page_is_told_to_a_model_in_words() -> None:
    result = answers.of_model(Drawn(points=[1, 2, 3]))
    [text] = result.content
    assert isinstance(text, mt.TextContent)
    assert text.text == "Three points, rising."
    assert result.structured_content == {"points": [1, 2, 3]}


def test_a_result_carries_its_links() -> None:
    result = answers.of_model(Handle(result_uri="run://1"))
    link = result.content[1]
    assert isinstance(link, mt.ResourceLink)
    assert (str(link.uri), link.name, link.title, link.mime_type) == (
        "run://1",
        "run",
        "The run",
        "application/json",
    )


@given(facts=st.dictionaries(st.text(min_size=1), JSON, max_size=4))
def test_any_facts_become_json_with_null_for_what_is_no_number(facts: dict[str, Any]) -> None:
    error = BadInputError("No.", hint="Look.")
    error.facts = facts
    body = answers.plain(error)
    assert set(body) == {"code", "message", "hint", "facts"}
    assert "nan" not in str(list(_numbers(body["facts"])))
    assert body["facts"].keys() == facts.keys()


def test_facts_that_are_no_json_become_text() -> None:
    body = answers.plain(BadInputError("No.", where=Path("a/b"), kind=Handle))
    assert body["facts"]["where"] == "a/b"
    assert "Handle" in body["facts"]["kind"]


@pytest.mark.parametrize("era", ["legacy", "2026-07-28"])
async def test_long_lists_come_in_pages_and_whole(era: str) -> None:
    rule = Rule(scopes=("data:read",), actor="any")

    def read() -> str:
        """Read."""
        return ""

    many = [
        ResourceSpec(
            server="data",
            uri=f"data://thing/{number}",
            fn=read,
            auth=rule,
            title=f"Thing {number}",
            description="A thing.",
            mime="text/plain",
        )
        for number in range(PAGE + 10)
    ]
    built = build(
        services.load({}).face("data"),
        Served(resources={one.uri: one for one in many}),
        cast("Office", None),
        version="0",
        clock=SystemClock(),
        bearer=None,
    )
    async with Client(built.mcp, mode=era) as client:
        first = await client.list_resources_mcp()
        assert len(first.resources) == PAGE
        assert first.next_cursor
        assert len(await client.list_resources()) == PAGE + 10


def _numbers(value: Any) -> Any:
    members = value.values() if isinstance(value, dict) else value
    for member in members:
        if isinstance(member, dict | list):
            yield from _numbers(member)
        elif isinstance(member, float):
            yield member
