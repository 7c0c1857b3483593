"""The bridge: what a client finds behind stdin and stdout is what it would find over HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import os
import subprocess
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any, cast

import mcp_types as mt
import pytest
from fastmcp import Client
from fastmcp.client.auth import BearerAuth
from fastmcp.client.elicitation import ElicitResult
from mcp import Client as SdkClient
from mcp import ClientSession, MCPError, StdioServerParameters
from mcp.client.stdio import stdio_client

from auth.policy import Rule
from clients.connect import entries, places
from clients.device import Code
from clients.errors import sign_in
from clients.session.bridge import bridge
from clients.session.entering import Entrance
from clients.session.prefixed import owns
from clients.tokens import Grant, TokenStore
from servers.actions import Actions
from servers.bearer import Bearer
from servers.compose import build
from servers.everything import Parts, root
from tests.clients.test_device import decide
from tests.kit.client import COMMAND, Person
from tests.kit.faces import MODERN, Door, Sum, listening, served, suite, token_of, tool
from tests.kit.fixture_server import free_port
from tests.kit.identity import USERNAME
from tests.kit.live import Live
from tools.registry import Office, Served
from topology import services
from topology.clock import SystemClock
from topology.home import Home
from topology.processes import until
from topology.services import Face, Topology

ERAS = pytest.mark.parametrize("era", ["legacy", MODERN])
VIEW = "ui://backtest/tearsheet.html"


@pytest.fixture(scope="module")
def kit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    """Serve three small servers with real identity in front."""
    with listening(tmp_path_factory.mktemp("kit")) as door:
        door.scene.enrol()
        yield door


def signed_in(folder: Path, topology: Topology, tokens: dict[str, str]) -> Home:
    """Return a home that holds these tokens, by server."""
    home = Home(folder / "home")
    home.ensure()
    for server, token in tokens.items():
        face = topology.face(server)
        grant = Grant(server, face.audience, face.issuer, "all", token, time.time() + 600)
        TokenStore(home).keep(face, grant)
    return home


def entry(home: Home, topology: Topology, server: str) -> dict[str, Any]:
    """Return what ``connect claude-desktop`` writes for a server."""
    environ = {
        "ALPHASWARM_HOME": str(home.root),
        "ALPHASWARM_PORT": str(topology.listen.port),
        "HOME": str(home.root),
    }
    place = places.place("claude-desktop", None, project=home.root, environ=environ)
    want = entries.wanted(place, [topology.face(server)], command=COMMAND, environ=environ)
    found: dict[str, Any] = want.entries[f"alphaswarm-{server}"]
    return found


@contextlib.asynccontextmanager
async def started(written: dict[str, Any], era: str) -> AsyncIterator[ClientSession]:
    """Start a bridge as a client does and give the session of the public SDK."""
    parameters = StdioServerParameters(**written)
    if era == MODERN:
        async with SdkClient(parameters) as client:
            yield client.session
        return
    async with stdio_client(parameters) as streams, ClientSession(*streams) as session:
        await session.initialize()
        yield session


def plain(found: Any) -> Any:
    """Return a result as JSON values, without what belongs to one connection."""
    body = found.model_dump(mode="json", by_alias=True, exclude_none=True)
    for key in ("_meta", "ttlMs", "cacheScope"):
        body.pop(key, None)
    return body


@ERAS
async def test_a_bridge_shows_what_http_shows(live: Live, tmp_path: Path, era: str) -> None:
    home = signed_in(tmp_path, live.topology, {"backtest": live.token("backtest")})
    auth = BearerAuth(live.token("backtest"))
    written = entry(home, live.topology, "backtest")
    async with (
        Client(live.url("backtest"), auth=auth, mode=era) as direct,
        started(written, era) as bridged,
    ):
        http = direct.session
        assert bridged.protocol_version == http.protocol_version
        assert plain(await bridged.list_tools()) == plain(await http.list_tools())
        assert plain(await bridged.list_resources()) == plain(await http.list_resources())
        assert plain(await bridged.list_prompts()) == plain(await http.list_prompts())
        templates = plain(await bridged.list_resource_templates())
        assert templates == plain(await http.list_resource_templates())

        view, same = await bridged.read_resource(VIEW), await http.read_resource(VIEW)
        assert plain(view) == plain(same)
        assert plain(view)["contents"][0]["mimeType"] == "text/html;profile=mcp-app"

        for tool, arguments in (
            ("list_strategies", {}),
            ("get_run", {"run_id": "01ARZ3NDEKTSV4RRFFQ69G5FAV"}),  # there is none
            ("list_runs", {"limit": "many"}),  # no number
            ("list_strategys", {}),  # no tool
        ):
            answer = await bridged.call_tool(tool, arguments)
            assert plain(answer) == plain(await http.call_tool(tool, arguments))
            assert answer.structured_content

        with pytest.raises(MCPError) as caught:
            await bridged.read_resource("backtest://strategies/nobody")
        with pytest.raises(MCPError) as expected:
            await http.read_resource("backtest://strategies/nobody")
        assert caught.value.error == expected.value.error


class Wire:
    """A bridge at the end of two pipes; every line that it writes must be JSON-RPC."""

    def __init__(self, written: dict[str, Any]) -> None:
        self.process = subprocess.Popen(
            [written["command"], *written["args"]],
            env={**os.environ, **written["env"]},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._count = 0

    def ask(self, method: str, **params: Any) -> dict[str, Any]:
        self._count += 1
        self._say({"id": self._count, "method": method, "params": params})
        assert self.process.stdout
        for line in self.process.stdout:
            message = json.loads(line)
            assert message["jsonrpc"] == "2.0"
            if message.get("id") == self._count:
                return dict(message)
        raise AssertionError("the bridge has ended")

    def call(self, tool: str, **arguments: Any) -> dict[str, Any]:
        answer = self.ask("tools/call", name=tool, arguments=arguments)["result"]
        return dict(answer["structuredContent"])

    def greet(self) -> dict[str, Any]:
        client = {"name": "kit", "version": "1"}
        answer = self.ask(
            "initialize", protocolVersion="2025-11-25", capabilities={}, clientInfo=client
        )
        self._say({"method": "notifications/initialized"})
        return answer

    def end(self) -> int:
        assert self.process.stdin
        self.process.stdin.close()
        assert self.process.stdout
        assert self.process.stdout.read() == ""
        with self.process as process:  # closes the pipes
            return process.wait(60)

    def _say(self, message: dict[str, Any]) -> None:
        assert self.process.stdin
        self.process.stdin.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
        self.process.stdin.flush()


def test_a_bridge_outlives_what_fails_behind_it(kit: Door, tmp_path: Path) -> None:
    topology = kit.topology
    away = entry(Home(tmp_path / "home"), topology, "data")
    wire = Wire(away)
    try:
        assert wire.greet()["result"]["serverInfo"]["name"] == "data"
        assert wire.call("add", a=1, b=2)["code"] == "sign_in_required"
        refused = wire.ask("tools/list")["error"]
        assert refused["data"]["code"] == "sign_in_required"
        assert "alphaswarm login" in refused["message"]

        signed_in(tmp_path, topology, {"data": kit.token("data", "data:read")})
        assert wire.call("add", a=1, b=2)["total"] == 3
        assert wire.call("write")["code"] == "insufficient_scope"
    finally:
        assert wire.end() == 0


@contextlib.asynccontextmanager
async def through(
    faces: list[Face], token: Callable[[Face], str], era: str, **more: Any
) -> AsyncIterator[Client[Any]]:
    """Connect to a bridge without a process around it."""
    front = bridge(faces, lambda face: lambda: token(face))
    async with Client(front, mode=era, **more) as client:
        yield client


def reading(kit: Door) -> Callable[[Face], str]:
    return lambda face: kit.token(face.name, f"{face.name}:read")


async def code_of(client: Client[Any], tool: str, **arguments: Any) -> str:
    """Return the code of the error object that a call gets."""
    answer = await client.call_tool_mcp(tool, arguments)
    assert answer.is_error
    assert answer.structured_content
    return str(answer.structured_content["code"])


async def test_a_server_that_stops_is_tried_again_at_the_next_call(tmp_path: Path) -> None:
    async with contextlib.AsyncExitStack() as stack:
        with listening(tmp_path) as kit:
            face = kit.topology.face("data")
            front = through([face], reading(kit), MODERN)
            client = await stack.enter_async_context(front)
            assert (await client.call_tool_mcp("add", {"a": 1, "b": 2})).structured_content
        assert await code_of(client, "add", a=1, b=2) == "unreachable"
        with pytest.raises(MCPError) as caught:
            await client.list_tools()
        assert caught.value.error.data["code"] == "unreachable"
        again, _ = suite(kit.scene, kit.topology, SystemClock())
        with served(again, kit.topology):
            answer = await client.call_tool_mcp("add", {"a": 1, "b": 2})
        assert answer.structured_content == {"total": 3, "caller": "ada"}


@ERAS
async def test_progress_comes_through(kit: Door, era: str) -> None:
    seen: list[tuple[float, float | None, str | None]] = []

    async def note(progress: float, total: float | None, message: str | None) -> None:
        seen.append((progress, total, message))

    async with through([kit.topology.face("data")], reading(kit), era) as client:
        await client.call_tool_mcp("count", {"to": 3}, progress_handler=note)
    assert seen == [(1, 3, "step 1"), (2, 3, "step 2"), (3, 3, "step 3")]


async def test_calls_at_once_get_their_own_answers(kit: Door) -> None:
    async with through([kit.topology.face("data")], reading(kit), MODERN) as client:
        calls = [client.call_tool_mcp("add", {"a": i, "b": 0}) for i in range(8)]
        refused = asyncio.create_task(code_of(client, "write"))
        answers = await asyncio.gather(*calls)
        assert await refused == "insufficient_scope"
    totals = [(answer.structured_content or {})["total"] for answer in answers]
    assert totals == list(range(8))


@ERAS
async def test_a_token_that_has_ended_asks_for_a_sign_in(kit: Door, era: str) -> None:
    old = kit.token("data", "data:read", exp=kit.scene.now() - 600)
    async with through([kit.topology.face("data")], lambda _: old, era) as client:
        assert await code_of(client, "add", a=1, b=2) == "sign_in_required"


async def test_several_servers_stand_behind_one_bridge(live: Live) -> None:
    faces = [live.topology.face(name) for name in ("data", "backtest")]
    async with through(faces, lambda face: live.token(face.name), MODERN) as client:
        tools = {tool.name: tool for tool in await client.list_tools()}
        assert {"data_list_tables", "backtest_tear_sheet", "data_get_run"} <= tools.keys()
        assert not [name for name, tool in tools.items() if "ui" in (tool.meta or {})]
        assert VIEW in {str(one.uri) for one in await client.list_resources()}
        (page,) = await client.read_resource(VIEW)
        assert page.mime_type == "text/html;profile=mcp-app"
        found = await client.call_tool_mcp("backtest_list_strategies", {})
        assert found.structured_content
        assert await code_of(client, "list_strategies") == "unknown_tool"
        with pytest.raises(MCPError):
            await client.read_resource("run://01ARZ3NDEKTSV4RRFFQ69G5FAV")


async def test_a_silent_server_does_not_hide_the_others(kit: Door) -> None:
    def token(face: Face) -> str:
        if face.name == "backtest":
            raise sign_in(face.name)
        return reading(kit)(face)

    faces = [kit.topology.face(name) for name in ("data", "backtest")]
    async with through(faces, token, MODERN) as client:
        assert {tool.name.partition("_")[0] for tool in await client.list_tools()} == {"data"}
        assert await code_of(client, "backtest_add", a=1, b=2) == "sign_in_required"
    async with through([*faces[1:], kit.topology.face("control")], _nobody, MODERN) as client:
        with pytest.raises(MCPError) as caught:
            await client.list_tools()
    assert caught.value.error.data["code"] == "sign_in_required"


def _nobody(face: Face) -> str:
    raise sign_in(face.name)


async def test_without_a_sign_in_a_code_is_shown_until_somebody_allows_it(
    kit: Door, tmp_path: Path
) -> None:
    face, home = kit.topology.face("data"), signed_in(tmp_path, kit.topology, {})
    store, seen = TokenStore(home), threading.Event()
    allowed: list[Code] = []

    def sleep(_: float) -> None:
        assert seen.wait(20)
        if not allowed:
            decide(code, "allow")
            allowed.append(code)

    entrance = Entrance([face], store, sleep=sleep)
    front = bridge([face], lambda face: lambda: store.access(face).access_token, entrance)
    async with Client(front) as client:
        first = (await client.call_tool_mcp("add", {"a": 1, "b": 2})).structured_content or {}
        assert first["code"] == "sign_in_required"
        code = Code("", first["facts"]["user_code"], first["facts"]["url"], 0)
        assert code.complete_url in first["hint"]
        with pytest.raises(MCPError, match=code.user_code):  # one code, however often it is asked
            await client.list_tools()
        seen.set()
        assert await asyncio.to_thread(until, lambda: store.find(face) is not None, 20)
        answer = await client.call_tool_mcp("add", {"a": 1, "b": 2})
    assert answer.structured_content == {"total": 3, "caller": USERNAME}


def test_addresses_name_their_server() -> None:
    assert owns("data", "data://tables/x")
    assert owns("backtest", VIEW)
    assert not owns("data", VIEW)
    assert not owns("data", "run://x")


@ERAS
@pytest.mark.parametrize("tool", ["halt", "resume"])
async def test_a_client_that_opens_addresses_is_led_to_the_second_factor(
    kit: Door, era: str, tool: str
) -> None:
    person, opened = Person(codes=kit.scene.recovery_codes), list[str]()

    async def opens(message: str, kind: Any, params: Any, context: Any) -> ElicitResult[Any]:
        assert isinstance(params, mt.ElicitRequestURLParams)
        assert "second factor" in message
        opened.append(params.url)
        asyncio.get_running_loop().run_in_executor(None, person.visit, params.url)
        return ElicitResult(action="accept")

    face = kit.topology.face("control")
    async with through([face], reading(kit), era, elicitation_handler=opens) as client:
        answer = await client.call_tool_mcp(tool, {})
    assert answer.structured_content == {"total": 0, "caller": "ada"}
    assert len(opened) == 1
    assert f"{face.issuer}/authorize" in opened[0]


async def test_another_client_is_told_the_address_and_calls_again(kit: Door) -> None:
    person = Person(codes=kit.scene.recovery_codes)
    face = kit.topology.face("control")
    async with through([face], reading(kit), MODERN) as client:
        first = await client.call_tool_mcp("halt", {})
        assert first.structured_content
        assert first.structured_content["code"] == "step_up_required"
        url = first.structured_content["facts"]["url"]
        assert url in first.structured_content["hint"]
        second = await client.call_tool_mcp("halt", {})
        assert second.structured_content == first.structured_content  # nobody has been there
        await asyncio.to_thread(person.visit, url)
        third = await client.call_tool_mcp("halt", {})
        for _ in range(20):  # the page is left before its answer is here
            if third.is_error:
                third = await client.call_tool_mcp("halt", {})
        assert third.structured_content == {"total": 0, "caller": "ada"}
        assert await code_of(client, "halt") == "step_up_required"  # it was for that call


def erase(target: str) -> Sum:
    """Do what a person must confirm."""
    return Sum(total=1, caller=target)


@pytest.fixture
def careful(kit: Door) -> Iterator[Face]:
    """Serve one tool that asks before it does anything."""
    topology, clock = services.load({}, port=free_port()), SystemClock()
    scene, face = kit.scene, topology.face("data")
    spec = tool("data", erase, Rule(scopes=("data:read",)), read_only=False)
    asking = dataclasses.replace(spec, confirm=lambda arguments: str(arguments["target"]))
    built = build(
        face,
        Served(tools={"erase": asking}),
        cast("Office", None),
        version="0",
        clock=clock,
        bearer=Bearer(scene.identity.verifier(face.audience), clock, Actions(scene.store)),
    )
    with served(root(topology, Parts(servers=[built])), topology):
        yield face


@ERAS
async def test_what_a_server_asks_reaches_the_person_or_is_not_asked(
    kit: Door, careful: Face, era: str
) -> None:
    async def agrees(message: str, kind: Any, params: Any, context: Any) -> ElicitResult[Any]:
        assert "all of it" in message
        return ElicitResult(action="accept", content={"confirm": True})

    token = token_of(kit.scene, careful.audience, "data:read")
    async with through([careful], lambda _: token, era, elicitation_handler=agrees) as client:
        answer = await client.call_tool_mcp("erase", {"target": "all of it"})
    assert answer.structured_content == {"total": 1, "caller": "all of it"}
    async with through([careful], lambda _: token, era) as client:
        assert await code_of(client, "erase", target="all of it") == "confirmation_required"


@ERAS
async def test_a_person_who_says_no_ends_it(kit: Door, era: str) -> None:
    async def declines(message: str, kind: Any, params: Any, context: Any) -> ElicitResult[Any]:
        return ElicitResult(action="decline")

    face = kit.topology.face("control")
    async with through([face], reading(kit), era, elicitation_handler=declines) as client:
        assert await code_of(client, "halt") == "declined"
