"""Frames of several runs on one stream: each once, resumed by one cursor, over when all are."""

from __future__ import annotations

import json

import pytest

from ledger import runs
from servers.console.frames import MOST, cursor_of, merged
from tests.kit.ledger import Desk
from tests.kit.live import Live
from topology.errors import BadInputError

A, B = "0" * 25 + "a", "0" * 25 + "b"


@pytest.mark.parametrize(
    ("tasks", "last", "seen"),
    [
        pytest.param(A, "", {A: 0}, id="from the first frame"),
        pytest.param(f"{A}:3,{B}", "", {A: 3, B: 0}, id="behind the third"),
        pytest.param(f"{A},{B}", f"{A}:7,{B}:2", {A: 7, B: 2}, id="the browser comes back"),
        pytest.param(f"{A}:9", f"{A}:7,{B}:2", {A: 9}, id="the later of the two, tasks as asked"),
    ],
)
def test_a_cursor_says_how_far_each_task_was_seen(
    tasks: str, last: str, seen: dict[str, int]
) -> None:
    assert cursor_of(tasks, last) == seen


@pytest.mark.parametrize("tasks", ["", "x", f"{A}:x", f"{A}:-1", f"{A} {B}", f"{A}:\u0661"])
def test_what_names_no_task_is_refused(tasks: str) -> None:
    with pytest.raises(BadInputError):
        cursor_of(tasks, "")


def test_a_stream_is_of_so_many_tasks() -> None:
    many = [f"{number:026d}" for number in range(MOST + 1)]
    assert len(cursor_of(",".join(many[:MOST]), "")) == MOST
    with pytest.raises(BadInputError):
        cursor_of(",".join(many), "")


async def heard(live: Live, seen: dict[str, int]) -> list[str]:
    token = live.token("control")
    return [line async for line in merged(live.topology.base_url, token, seen)]


async def test_the_frames_of_two_runs_arrive_each_once_and_then_the_end(
    live: Live, desk: Desk
) -> None:
    pair = [desk.submit(name="merged") for _ in range(2)]
    for run in pair:
        runs.cancel(desk.pool, run.run_id, by="tester", bus=None)
    tasks = [run.task_id for run in pair]
    lines = await heard(live, dict.fromkeys(tasks, 0))
    assert lines[-1] == "event: end\ndata: {}\n\n"
    frames = [json.loads(line.partition("data: ")[2]) for line in lines[:-1] if line[0] != ":"]
    assert sorted(frame["task_id"] for frame in frames) == sorted(tasks)
    assert {frame["stage"] for frame in frames} == {"cancelled"}
    cursor = cursor_of(",".join(tasks), lines[-2].partition("\n")[0].removeprefix("id: "))
    assert await heard(live, cursor) == ["event: end\ndata: {}\n\n"]


async def test_a_stream_with_a_dead_token_ends_without_an_end(live: Live, desk: Desk) -> None:
    run = desk.submit(name="merged")
    assert [line async for line in merged(live.topology.base_url, "x", {run.task_id: 0})] == []
