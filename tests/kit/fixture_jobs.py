"""Jobs kept in memory, for the tasks extension: what a run is in the ledger, without one."""

from __future__ import annotations

import asyncio
from typing import Any

from pydantic import BaseModel

from auth.policy import Rule
from servers import answers
from servers.tasks import TaskState, TaskStatus
from tools.registry import ToolSpec
from topology.clock import Clock, rfc3339
from topology.errors import AlphaSwarmError, FaultError, RefusedError
from topology.ids import new_id
from topology.principal import Principal

REFUSED = "9" * 26
"""A task that nobody may cancel."""
RULE = Rule(scopes=("data:read",), actor="any")


class Handle(BaseModel):
    """What a job returns at once."""

    task_id: str


class Said(BaseModel):
    """What a job comes to."""

    text: str


class Jobs:
    """Satisfies `servers.tasks.Tasks`; each job is a coroutine of this process."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._states: dict[str, TaskState] = {}
        self._running: dict[str, asyncio.Task[None]] = {}

    def start(self, seconds: float, words: str, error: AlphaSwarmError | None = None) -> Handle:
        """Begin a job that ends after ``seconds`` with ``words`` or with ``error``."""
        task_id = new_id(self._clock.now())
        self._note(task_id, "working", message="start: the job runs")
        self._running[task_id] = asyncio.create_task(self._run(task_id, seconds, words, error))
        return Handle(task_id=task_id)

    async def state(self, task_id: str, caller: Principal) -> TaskState | None:
        del caller
        return self._states.get(task_id)

    async def cancel(self, task_id: str, caller: Principal) -> bool:
        del caller
        if task_id == REFUSED:
            raise RefusedError("Not this one.", hint="Leave it.")
        known = self._states.get(task_id)
        if known is None:
            return False
        if known.status == "working":
            self._running[task_id].cancel()
            self._note(task_id, "cancelled", message="cancelled: as asked")
        return True

    async def _run(
        self, task_id: str, seconds: float, words: str, error: AlphaSwarmError | None
    ) -> None:
        await asyncio.sleep(seconds)
        if isinstance(error, FaultError):
            self._note(task_id, "failed", error={"code": -32603, "message": error.message})
        elif error is not None:
            self._note(task_id, "completed", result=answers.refusal(error))
        else:
            self._note(task_id, "completed", result=answers.of_model(Said(text=words)))

    def _note(self, task_id: str, status: TaskStatus, **more: Any) -> None:
        now = rfc3339(self._clock.now())
        before = self._states.get(task_id)
        created = before.created_at if before else now
        self._states[task_id] = TaskState(task_id, status, created, now, **more)


def tools(jobs: Jobs) -> dict[str, ToolSpec]:
    """Return the suite's job tools: one that ends, two that fail in their own ways."""

    async def slow_compute(seconds: float, label: str = "job") -> Handle:
        """Compute for some seconds."""
        return jobs.start(seconds, f"{label} is done")

    async def failing_job() -> Handle:
        """Fail as a tool does."""
        return jobs.start(0.1, "", AlphaSwarmError("The job failed.", code="job_failed"))

    async def protocol_error_job() -> Handle:
        """Fail as a machine does."""
        return jobs.start(0.1, "", FaultError("The machine failed."))

    async def add(a: int, b: int) -> Said:
        """Add two numbers."""
        return Said(text=str(a + b))

    functions = (slow_compute, failing_job, protocol_error_job, add)
    return {
        fn.__name__: ToolSpec(
            server="data",
            name=fn.__name__,
            fn=fn,
            auth=RULE,
            title=fn.__name__.replace("_", " "),
            description=fn.__doc__ or "",
            read_only=fn is add,
            destructive=False,
            idempotent=True,
            open_world=False,
            job=fn.__name__.endswith(("job", "compute")),
        )
        for fn in functions
    }
