"""MCP sessions against servers that run: one audience each, errors as ours, progress."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from clients import login
from clients.cli.place import Place
from clients.session.calls import open_session
from clients.tokens import TokenStore
from tests.kit.client import Demonstrated, free_port
from topology import services
from topology.errors import AlphaSwarmError, BadInputError, MissingError


@pytest.fixture
def place(alphaswarm: Demonstrated) -> Place:
    return Place.find(alphaswarm.environ())


def token(place: Place, server: str) -> Callable[[], str]:
    """Return the stored sign-in at a server."""
    store, face = TokenStore(place.home), place.face(server)
    return lambda: store.access(face).access_token


def narrow(place: Place, server: str, scope: str) -> Callable[[], str]:
    """Return a sign-in that holds one scope only."""
    grant = login.locally(place.home, place.face(server), frozenset({scope}), now=time.time())
    return lambda: grant.access_token


async def test_a_call_returns_plain_json(place: Place) -> None:
    async with open_session(place.face("backtest"), token(place, "backtest")) as session:
        found = await session.call("list_strategies")
        assert {row["name"] for row in found["strategies"]} >= {"momentum", "sma_cross"}
        assert {tool["name"] for tool in await session.tools()} >= {"submit_backtest"}


async def test_a_resource_is_text_or_bytes(place: Place, alphaswarm: Demonstrated) -> None:
    run_id = alphaswarm.demo["run_id"]
    async with open_session(place.face("backtest"), token(place, "backtest")) as session:
        page = await session.read(f"backtest://runs/{run_id}/tearsheet")
        assert isinstance(page, str)
        assert page.lstrip().lower().startswith("<!doctype html>")


async def test_a_resource_that_is_not_there_is_missing(place: Place) -> None:
    async with open_session(place.face("backtest"), token(place, "backtest")) as session:
        with pytest.raises(AlphaSwarmError) as caught:
            await session.read("backtest://nothing/here")
    assert isinstance(caught.value, MissingError)


async def test_progress_grows_and_reaches_its_total(place: Place) -> None:
    seen: list[tuple[float, float | None, str | None]] = []

    async def report(current: float, total: float | None, message: str | None) -> None:
        seen.append((current, total, message))

    async with open_session(place.face("data"), token(place, "data")) as session:
        handle = await session.call("ingest", {"source": "sample"})
        run = await session.call(
            "get_run", {"run_id": handle["run_id"], "wait_s": 50}, report=report
        )
    assert run["status"] == "succeeded"
    values = [current for current, _, _ in seen]
    assert values == sorted(values)
    assert any("layer.done" in str(message) for _, _, message in seen)


async def test_an_error_object_is_raised_with_everything_it_holds(place: Place) -> None:
    async with open_session(place.face("backtest"), token(place, "backtest")) as session:
        with pytest.raises(AlphaSwarmError) as caught:
            await session.call("validate_spec", {"spec": {"kind": "backtest", "name": "x1"}})
        assert caught.value.wire_code == "invalid_spec"
        paths = {problem["path"] for problem in caught.value.facts["errors"]}
        assert {"universe", "data", "strategy"} <= paths
        # The session goes on after an error.
        assert await session.call("list_strategies")


async def test_an_unknown_tool_is_bad_input(place: Place) -> None:
    async with open_session(place.face("data"), token(place, "data")) as session:
        with pytest.raises(AlphaSwarmError) as caught:
            await session.call("list_tabels")
    assert caught.value.wire_code == "unknown_tool"


async def test_a_token_of_one_server_opens_no_other(place: Place) -> None:
    with pytest.raises(AlphaSwarmError) as caught:
        async with open_session(place.face("data"), token(place, "control")):
            raise AssertionError("opened")
    assert caught.value.wire_code == "sign_in_required"


async def test_a_scope_that_is_missing_is_named(place: Place) -> None:
    async with open_session(place.face("data"), narrow(place, "data", "data:read")) as session:
        assert (await session.call("list_tables"))["tables"]
        with pytest.raises(AlphaSwarmError) as caught:
            await session.call("ingest", {"source": "sample"})
    assert caught.value.wire_code == "insufficient_scope"
    assert "data:write" in caught.value.facts["scope"]


async def test_resume_wants_a_password_whatever_is_signed_in(place: Place) -> None:
    async with open_session(place.face("control"), token(place, "control")) as session:
        with pytest.raises(AlphaSwarmError) as caught:
            await session.call("resume", {"scope": "all", "reason": "because"})
    assert caught.value.wire_code in {"insufficient_scope", "step_up_required"}


async def test_a_server_that_is_not_there_is_unreachable(place: Place) -> None:
    elsewhere = services.load({}, port=free_port()).face("data")
    with pytest.raises(AlphaSwarmError) as caught:
        async with open_session(elsewhere, lambda: "word"):
            raise AssertionError("opened")
    assert caught.value.wire_code == "unreachable"


async def test_without_a_sign_in_nothing_is_dialled(place: Place) -> None:
    elsewhere = services.load({}, port=free_port()).face("data")
    store = TokenStore(place.home)
    with pytest.raises(AlphaSwarmError) as caught:
        async with open_session(elsewhere, lambda: store.access(elsewhere).access_token):
            raise AssertionError("opened")
    assert caught.value.wire_code == "sign_in_required"


async def test_arguments_that_do_not_fit_are_refused_by_path(place: Place) -> None:
    async with open_session(place.face("data"), token(place, "data")) as session:
        with pytest.raises(BadInputError) as caught:
            await session.call("query_sql", {"sql": "SELECT 1", "max_rows": -1})
    assert "max_rows" in str(caught.value.facts)
