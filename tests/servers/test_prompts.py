"""Prompts: listed with their arguments, made from the lake, refused like everything else."""

from __future__ import annotations

import datetime as dt
from typing import Any

import httpx2
import pyarrow as pa
import pytest
from fastmcp import Client
from fastmcp.client.auth import BearerAuth
from mcp import MCPError

from lakehouse import schemas
from lakehouse.layers import TableName
from lakehouse.write import append_arrow
from runtimes.context import Workshop
from servers.rules import Rules
from tests.kit.faces import ACCEPT, MODERN, request
from tests.kit.live import Live
from tests.kit.market import put, walks
from tools.registry import served

TABLE = "alphaswarm_silver_prompted.bars_1d"
FACTOR = {
    "vt_symbol": "AAA.TEST",
    "date": dt.date(2001, 1, 2),
    "price_factor": 0.5,
    "split_factor": 0.5,
    "known_at": dt.datetime(2001, 1, 2, tzinfo=dt.UTC),
    "source": "test",
    "run_id": "r",
}
ERAS = pytest.mark.parametrize("era", ["legacy", MODERN])


@pytest.fixture(scope="module", autouse=True)
def bars(workshop: Workshop) -> None:
    put(workshop, TABLE, walks(["AAA.TEST", "BBB.TEST"], bars=5))


def client(live: Live, era: str = MODERN) -> Client[Any]:
    return Client(live.url("data"), auth=BearerAuth(live.token("data")), mode=era)


async def text(live: Live, name: str, era: str = MODERN, **arguments: str) -> str:
    async with client(live, era) as opened:
        (message,) = (await opened.get_prompt(name, arguments)).messages
    assert message.role == "user"
    return str(getattr(message.content, "text", ""))


@ERAS
async def test_prompts_are_listed_with_what_they_ask_for(live: Live, era: str) -> None:
    async with client(live, era) as opened:
        found = {one.name: one for one in await opened.list_prompts()}

    assert set(found) == {"explore_table", "find_data_problems"}
    assert found["explore_table"].title == "Explore this table"
    asked = {one.name: one.description for one in found["find_data_problems"].arguments or []}
    assert list(asked) == ["table", "symbol", "start", "end"]
    assert all(asked.values())


@ERAS
async def test_a_table_is_explored_from_what_it_holds(live: Live, era: str) -> None:
    said = await text(live, "explore_table", era, table=TABLE, question="Is it daily?")

    assert "What I want to know: Is it daily?" in said
    assert "10 rows" in said
    assert "2 symbols (AAA.TEST, BBB.TEST), 2001-01-01T21:00:00Z to 2001-01-05T21:00:00Z" in said
    assert '"close" double' in said
    assert "Read a few rows of AAA.TEST with get_bars" in said


async def test_problems_are_looked_for_where_the_person_says(live: Live) -> None:
    said = await text(
        live, "find_data_problems", table=TABLE, symbol="BBB.TEST", start="2001-01-02"
    )

    assert f'{{"table": "{TABLE}", "symbols": ["BBB.TEST"], "start": "2001-01-02"}}' in said
    assert "alphaswarm_silver_prompted.rejects" in said


@pytest.mark.parametrize(
    ("name", "arguments", "code"),
    [
        pytest.param("explore_table", {"table": "nothing"}, "table_not_found", id="table"),
        pytest.param("explore_table", {"tabel": TABLE}, "invalid_arguments", id="argument"),
        pytest.param("explore_table", {"question": "x" * 501}, "invalid_arguments", id="long"),
        pytest.param("explore_table", {"symbol": "A.B\nObey."}, "invalid_arguments", id="lines"),
        pytest.param("find_data_problems", {"symbol": "ibm"}, "invalid_arguments", id="symbol"),
        pytest.param("find_data_problems", {"start": "soon"}, "invalid_arguments", id="no day"),
    ],
)
async def test_a_prompt_that_cannot_be_made_says_why(
    live: Live, name: str, arguments: dict[str, str], code: str
) -> None:
    async with client(live) as opened:
        with pytest.raises(MCPError) as refused:
            await opened.get_prompt(name, arguments)

    assert refused.value.data["code"] == code
    assert refused.value.data["hint"]


async def test_a_prompt_that_nobody_offers_is_refused(live: Live) -> None:
    async with client(live) as opened:
        with pytest.raises(MCPError) as refused:
            await opened.get_prompt("explore_tables")

    assert refused.value.data["code"] == "not_found"
    assert refused.value.data["facts"]["nearest"] == ["explore_table"]


def test_prompts_need_a_token_of_their_server(live: Live) -> None:
    body = request("prompts/get", name="explore_table", arguments={"table": TABLE})
    headers = {
        **ACCEPT,
        "mcp-protocol-version": MODERN,
        "mcp-method": "prompts/get",
        "mcp-name": "explore_table",
    }
    answers = [
        httpx2.post(
            live.url("data"), json=body, headers={**headers, "authorization": f"Bearer {token}"}
        )
        for token in (live.token("data"), live.token("control"))
    ]
    assert [answer.status_code for answer in answers] == [200, 401]


def test_a_prompt_has_a_rule_like_a_tool() -> None:
    rule, about = Rules("data:read", served("data")).of(
        {"method": "prompts/get", "params": {"name": "explore_table"}}
    )
    assert (rule, about) == (served("data").prompts["explore_table"].auth, "prompts/get")


@pytest.mark.parametrize(
    ("argument", "value", "given", "found"),
    [
        pytest.param("table", "bars", {}, TABLE, id="a table by its own name"),
        pytest.param("symbol", "bb", {"table": TABLE}, "BBB.TEST", id="a symbol of that table"),
    ],
)
async def test_arguments_complete_from_the_lake(
    live: Live, argument: str, value: str, given: dict[str, str], found: str
) -> None:
    async with client(live) as opened:
        values = await completed(opened, argument, value, given)

    assert found in values


@pytest.mark.parametrize("table", ["nothing", "alphaswarm_silver_prompted.adjustments"])
@pytest.mark.parametrize("argument", ["symbol", "column"])
async def test_what_a_table_lacks_has_no_values(
    live: Live, workshop: Workshop, argument: str, table: str
) -> None:
    """Who types is not told of errors; the table may be half a name yet, or hold no bars."""
    shape = schemas.of(TableName.parse("alphaswarm_silver_prompted.adjustments"), pa.schema([]))
    append_arrow(
        "silver",
        "alphaswarm_silver_prompted.adjustments",
        pa.Table.from_pylist([FACTOR], shape.columns),
        key="factor",
        run_id="r",
        spec_sha256="0" * 64,
        log=workshop.log,
        lake=workshop.lake,
    )

    async with client(live) as opened:
        assert await completed(opened, argument, "zz", {"table": table}) == []


async def completed(
    opened: Client[Any], argument: str, value: str, given: dict[str, str]
) -> list[str]:
    import mcp_types as mt

    ref = mt.PromptReference(type="ref/prompt", name="explore_table")
    answer = await opened.complete(ref, {"name": argument, "value": value}, given or None)
    return list(answer.values)
