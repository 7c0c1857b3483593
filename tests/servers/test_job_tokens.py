"""A worker's token is for one task (design list 62): no other task, no other run, no step-up."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from servers.gate import strayed
from tests.kit.faces import Door, door
from topology.principal import Principal

JOB = Principal("ada", "alphaswarm-worker", actor="alphaswarm-worker", task_id="t1", run_id="r1")


def message(**params: Any) -> dict[str, Any]:
    return {"method": "tools/call", "params": params}


@pytest.mark.parametrize(
    ("params", "away"),
    [
        pytest.param({"name": "get_run", "arguments": {"run_id": "r1"}}, False, id="its own run"),
        pytest.param({"name": "get_run", "arguments": {"run_id": "r2"}}, True, id="another run"),
        pytest.param({"name": "x", "arguments": {"task_id": "t1"}}, False, id="its own task"),
        pytest.param({"name": "x", "arguments": {"task_id": None}}, True, id="no task"),
        pytest.param({"name": "x", "arguments": {}}, False, id="nothing named"),
        pytest.param({"taskId": "t2"}, True, id="another task of the protocol"),
        pytest.param({"uri": "run://r1/frames"}, False, id="a resource of its run"),
        pytest.param({"uri": "run://r2"}, True, id="a resource of another run"),
        pytest.param({"uri": "data://tables/x"}, False, id="another resource"),
    ],
)
def test_what_a_job_may_name(params: dict[str, Any], away: bool) -> None:
    assert strayed(JOB, message(**params)) is away
    assert not strayed(Principal("ada", "cli"), message(**params)), "a person may name anything"


def test_a_message_without_parameters_names_nothing() -> None:
    assert not strayed(JOB, {"method": "ping"})
    assert not strayed(JOB, {"method": "tools/call", "params": {"arguments": [1]}})


@pytest.fixture
async def suite(tmp_path: Path) -> AsyncIterator[Door]:
    async with door(tmp_path) as opened:
        yield opened


async def test_the_gate_refuses_another_run(suite: Door) -> None:
    worker = {"act": {"sub": "alphaswarm-worker"}, "client_id": "alphaswarm-worker"}
    token = suite.token("data", "data:read", **worker, task_id="t1", run_id="r1")
    answer = await suite.call("data", "add", token=token, a=1, b=2)
    assert answer.json()["result"]["structuredContent"]["total"] == 3.0
    away = await suite.call("data", "add", token=token, a=1, b=2, run_id="r2")
    assert (away.status_code, away.json()["code"]) == (403, "access_denied")
    work = await suite.call("data", "write", token=suite.token("data", "data:write", **worker))
    assert work.json()["code"] == "access_denied", "what wants a person wants no worker"


@pytest.mark.parametrize(
    ("actor", "client"),
    [
        pytest.param("robot", "robot", id="an actor that the server does not know"),
        pytest.param("robot", "alphaswarm-worker", id="one who acts with a known client's token"),
        pytest.param("alphaswarm-worker", "kit", id="a known actor whose token another client has"),
        pytest.param("", "alphaswarm-worker", id="an actor without a name"),
    ],
)
async def test_nobody_else_acts_for_a_person(suite: Door, actor: str, client: str) -> None:
    token = suite.token("data", "data:read", act={"sub": actor}, client_id=client)
    answer = await suite.call("data", "add", token=token, a=1, b=2)
    assert (answer.status_code, answer.json()["code"]) == (403, "access_denied")
    listed = await suite.http.get(suite.url("data"), headers={"authorization": f"Bearer {token}"})
    assert listed.status_code == 403
