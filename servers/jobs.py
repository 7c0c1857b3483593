"""Runs of the ledger as tasks and as resources that change."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator
from functools import partial

import anyio.to_thread
from fastmcp.tools.base import ToolResult

from ledger import runs
from ledger.progress.follow import follow, last_frame, task
from servers import answers
from servers.calls import Guard
from servers.tasks import TaskState, TaskStatus
from tools import runs as seen
from tools.registry import Office, Served
from topology.clock import rfc3339
from topology.errors import AlphaSwarmError, FaultError, MissingError
from topology.frames import Frame
from topology.principal import Principal

RUN = "run://"
CANCEL = "cancel_run"

_STATUS: dict[str, TaskStatus] = {
    "succeeded": "completed",
    "failed": "completed",
    "halted": "completed",
    "cancelled": "cancelled",
}


class LedgerTasks:
    """The runs of one server, as tasks of who submitted them."""

    def __init__(self, office: Office, kind: str, offered: Served, guard: Guard) -> None:
        self._office = office
        self._kind = kind
        self._cancel = offered.tools.get(CANCEL)
        self._guard = guard

    async def state(self, task_id: str, caller: Principal) -> TaskState | None:
        """Return a task of this caller; a ledger that does not answer is the task's failure."""
        try:
            return await anyio.to_thread.run_sync(self._state, task_id, caller)
        except FaultError as error:
            now = rfc3339(self._office.clock.now())
            fault = {"code": -32603, "message": error.message, "data": answers.plain(error)}
            return TaskState(task_id, "failed", now, now, error=fault)

    async def cancel(self, task_id: str, caller: Principal) -> bool:
        """Ask for the end of a run by the tool that does it, rule and audit included."""
        if self._cancel is None:
            return False
        self._guard.check(self._cancel.auth, caller)
        return await anyio.to_thread.run_sync(self._end, task_id, caller)

    def _state(self, task_id: str, caller: Principal) -> TaskState | None:
        run = self._run(task_id, caller)
        if run is None:
            return None
        frame = last_frame(self._office.pool, task_id)
        status = _STATUS.get(run.status, "working")
        return TaskState(
            task_id,
            status,
            created_at=rfc3339(run.created_at),
            updated_at=frame.timestamp if frame else rfc3339(run.created_at),
            message=_said(frame),
            result=_result(run) if status == "completed" else None,
        )

    def _run(self, task_id: str, caller: Principal) -> runs.Run | None:
        try:
            info = task(self._office.pool, task_id)
        except MissingError:
            return None
        if info.kind != self._kind or info.requested_by != caller.subject:
            return None
        return runs.get(self._office.pool, info.run_id, info.kind)

    def _end(self, task_id: str, caller: Principal) -> bool:
        run = self._run(task_id, caller)
        if run is None or self._cancel is None:
            return False
        self._cancel.fn(run.run_id, office=self._office, caller=caller)
        return True


async def run_changes(office: Office, uri: str) -> AsyncGenerator[bool, None]:
    """Yield at each new frame of ``run://ID`` whether it is the last; nothing for other URIs."""
    if not uri.startswith(RUN):
        return
    run = await anyio.to_thread.run_sync(partial(runs.get, office.pool, uri.removeprefix(RUN)))
    known = await anyio.to_thread.run_sync(last_frame, office.pool, run.task_id)
    frames = follow(office.pool, office.bus, run.task_id, after=known.seq if known else 0)
    async with contextlib.aclosing(frames):
        async for frame in frames:
            if frame is not None:
                yield frame.terminal


def _said(frame: Frame | None) -> str:
    return "" if frame is None else f"{frame.stage}: {frame.message}"


def _result(run: runs.Run) -> ToolResult:
    """Return what ``get_run`` would say; of a run that did not succeed, its error."""
    if run.status == "succeeded":
        return answers.of_model(seen.view(run))
    error = dict(run.error or {})
    return answers.refusal(
        AlphaSwarmError(
            str(error.get("message") or f"The run was {run.status}."),
            hint=str(error.get("hint") or "get_run shows what it had."),
            code=str(error.get("code") or run.status),
            **{**dict(error.get("facts") or {}), "run_id": run.run_id},
        )
    )
