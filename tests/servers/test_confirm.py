"""A tool that destroys asks the person first, in both eras; what destroys nothing asks nobody."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, cast

import pytest
from fastmcp import Client, FastMCP
from fastmcp.client.elicitation import ElicitResult
from pydantic import BaseModel

from auth.policy import Rule
from servers.calls import FaceTool, Guard
from tests.kit.faces import MODERN
from tools.registry import Office, ToolSpec
from topology.clock import SystemClock

ERAS = pytest.mark.parametrize("era", ["legacy", MODERN])
Asked = Callable[..., Awaitable[Any]]


class Dropped(BaseModel):
    """What is gone."""

    name: str


def drop(name: str, confirm: str | None = None) -> Dropped:
    """Drop a table."""
    del confirm
    return Dropped(name=name)


def served() -> FastMCP[Any]:
    spec = ToolSpec(
        server="kit",
        name="drop",
        fn=drop,
        auth=Rule(scopes=("kit:write",)),
        title="Drop",
        description="Drop a table.",
        read_only=False,
        destructive=True,
        idempotent=True,
        open_world=False,
        job=False,
        confirm=lambda given: None if given["name"] == "scratch" else str(given["name"]),
    )
    mcp: FastMCP[Any] = FastMCP("kit")
    mcp.add_tool(FaceTool.of(spec, cast("Office", None), Guard(SystemClock(), is_open=True)))
    return mcp


def answering(action: Any, content: dict[str, Any] | None, asked: list[str]) -> Asked:
    async def answer(message: str, response_type: Any, params: Any, context: Any) -> Any:
        asked.append(message)
        return ElicitResult(action=action, content=content)

    return answer


async def told(era: str, handler: Asked | None = None, **arguments: Any) -> dict[str, Any]:
    more: dict[str, Any] = {} if handler is None else {"elicitation_handler": handler}
    async with Client(served(), mode=cast("Any", era), **more) as client:
        result = await client.call_tool("drop", arguments, raise_on_error=False)
    return dict(result.structured_content or {})


@ERAS
async def test_a_yes_does_it_and_the_question_names_the_target(era: str) -> None:
    asked: list[str] = []
    found = await told(era, answering("accept", {"confirm": True}, asked), name="prices")
    assert found == {"name": "prices"}
    assert asked == ["Drop: prices. Do it?"]


@ERAS
@pytest.mark.parametrize(
    ("action", "content"), [("accept", {"confirm": False}), ("decline", None), ("cancel", None)]
)
async def test_anything_but_a_yes_is_declined(era: str, action: str, content: Any) -> None:
    found = await told(era, answering(action, content, []), name="prices")
    assert found["code"] == "declined"


@ERAS
async def test_a_client_that_can_ask_nobody_names_the_target(era: str) -> None:
    refused = await told(era, name="prices")
    wrong = await told(era, name="prices", confirm="yes")
    done = await told(era, name="prices", confirm="prices")
    assert (refused["code"], refused["facts"]["target"]) == ("confirmation_required", "prices")
    assert wrong["code"] == "confirmation_required"
    assert done == {"name": "prices"}


@ERAS
async def test_what_needs_no_yes_asks_nobody(era: str) -> None:
    asked: list[str] = []
    found = await told(era, answering("decline", None, asked), name="scratch")
    assert (found, asked) == ({"name": "scratch"}, [])
