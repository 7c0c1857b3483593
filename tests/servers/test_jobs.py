"""Runs of the ledger as tasks, and as resources that change."""

from __future__ import annotations

import asyncio
import dataclasses

import pytest

from ledger import runs
from ledger.pool import open_pool
from servers.calls import Guard
from servers.jobs import LedgerTasks, run_changes
from tests.kit.ledger import Desk
from tools.registry import Office, served
from topology.clock import SystemClock
from topology.errors import RefusedError
from topology.ids import new_id
from topology.principal import Principal

TESTER = Principal(
    subject="tester", client_id="kit", scopes=frozenset({"backtest:run"}), jti="t", sid="s"
)
READER = dataclasses.replace(TESTER, scopes=frozenset({"backtest:read"}))
SOMEBODY = dataclasses.replace(TESTER, subject="somebody")


def tasks(office: Office, kind: str = "backtest") -> LedgerTasks:
    return LedgerTasks(office, kind, served(kind), Guard(SystemClock()))


def end(office: Office, claim: runs.Claim, status: str, stage: str, **error: str) -> None:
    runs.finish(
        office.pool,
        claim,
        status=status,
        frames=[],
        stage=stage,
        message="over",
        extras={"run_id": claim.run.run_id},
        error=error or None,
        bus=office.bus,
    )


async def test_a_queued_run_works(office: Office, desk: Desk) -> None:
    run = desk.submit()
    state = await tasks(office).state(run.task_id, TESTER)
    assert state is not None
    assert (state.status, state.result, state.error) == ("working", None, None)


async def test_a_succeeded_run_is_completed_with_what_get_run_says(
    office: Office, desk: Desk
) -> None:
    claim = desk.claimed()
    end(office, claim, "succeeded", "done")
    state = await tasks(office).state(claim.run.task_id, TESTER)
    assert state is not None
    assert state.status == "completed"
    assert state.message == "done: over"
    assert state.result is not None
    assert (state.result.structured_content or {})["run_id"] == claim.run.run_id
    assert state.result.is_error is False


@pytest.mark.parametrize(("status", "stage"), [("failed", "failed"), ("halted", "halted")])
async def test_a_run_that_did_not_succeed_is_completed_with_its_error(
    office: Office, desk: Desk, status: str, stage: str
) -> None:
    claim = desk.claimed()
    end(office, claim, status, stage, code=f"was_{status}", message="No.", hint="Look.")
    state = await tasks(office).state(claim.run.task_id, TESTER)
    assert state is not None
    assert state.status == "completed"
    assert state.result is not None
    assert state.result.is_error is True
    body = state.result.structured_content or {}
    assert (body["code"], body["hint"]) == (f"was_{status}", "Look.")
    assert body["facts"]["run_id"] == claim.run.run_id


async def test_foreign_and_unknown_tasks_look_alike(office: Office, desk: Desk) -> None:
    run = desk.submit()
    assert await tasks(office).state(run.task_id, SOMEBODY) is None
    assert await tasks(office, "data").state(run.task_id, TESTER) is None
    assert await tasks(office).state(new_id(SystemClock().now()), TESTER) is None
    assert await tasks(office).cancel(run.task_id, SOMEBODY) is False


async def test_cancelling_needs_the_work_scope(office: Office, desk: Desk) -> None:
    run = desk.submit()
    with pytest.raises(RefusedError):
        await tasks(office).cancel(run.task_id, READER)
    assert runs.get(office.pool, run.run_id).status == "queued"


async def test_a_cancelled_run_is_a_cancelled_task_and_stays_one(
    office: Office, desk: Desk
) -> None:
    run = desk.submit()
    for _ in range(2):
        assert await tasks(office).cancel(run.task_id, TESTER) is True
    state = await tasks(office).state(run.task_id, TESTER)
    assert state is not None
    assert state.status == "cancelled"


async def test_a_ledger_that_is_away_is_our_failure(office: Office) -> None:
    gone = open_pool("postgresql://nobody@/none?host=/nonexistent", name="gone", min_size=0)
    gone.timeout = 0.2
    try:
        cut = dataclasses.replace(office, pool=gone)
        state = await tasks(cut).state(new_id(SystemClock().now()), TESTER)
    finally:
        gone.close()
    assert state is not None
    assert state.status == "failed"
    assert (state.error or {})["data"]["code"] == "store_unreachable"


async def test_a_run_changes_with_its_frames_and_ends_with_the_last(
    office: Office, desk: Desk
) -> None:
    claim = desk.claimed()
    heard: list[bool] = []

    async def listen() -> None:
        heard.extend([last async for last in run_changes(office, f"run://{claim.run.run_id}")])

    listener = asyncio.create_task(listen())
    await asyncio.sleep(0.3)
    await asyncio.to_thread(end, office, claim, "succeeded", "done")
    await asyncio.wait_for(listener, 10)
    assert heard[-1] is True
    assert heard.count(True) == 1


async def test_other_resources_do_not_change(office: Office) -> None:
    assert [last async for last in run_changes(office, "data://providers")] == []
