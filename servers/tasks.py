"""The tasks extension over whatever keeps the tasks: a run handle becomes a task where asked for.

Only clients of 2026-07-28 that declare the extension get tasks; all others keep the handle.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import mcp_types as mt
from fastmcp.server.context import Context
from fastmcp.server.extensions import MethodBinding, ServerExtension, ToolCallContinuation
from fastmcp.tools.base import ToolResult
from mcp.server.context import ServerRequestContext
from mcp.shared.exceptions import MCPError
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import BaseModel, ConfigDict, Field

from servers.answers import protocol_error
from servers.calls import Guard
from topology.errors import AlphaSwarmError
from topology.principal import Principal

EXTENSION = "io.modelcontextprotocol/tasks"
TTL_MS = 3_600_000
POLL_MS = 1_000
HEADER_MISMATCH = -32020
MISSING_CAPABILITY = -32021

TaskStatus = Literal["working", "completed", "failed", "cancelled"]


@dataclass(frozen=True, slots=True)
class TaskState:
    """A task as a client sees it; ``result`` is a CallToolResult, ``error`` a JSON-RPC error."""

    task_id: str
    status: TaskStatus
    created_at: str
    updated_at: str
    message: str = ""
    result: ToolResult | None = None
    error: Mapping[str, Any] | None = None

    def wire(self, result_type: str) -> dict[str, Any]:
        """Return the flat JSON of a task."""
        body: dict[str, Any] = {
            "resultType": result_type,
            "taskId": self.task_id,
            "status": self.status,
            "createdAt": self.created_at,
            "lastUpdatedAt": self.updated_at,
            "ttlMs": TTL_MS,
            "pollIntervalMs": POLL_MS,
        }
        if self.message:
            body["statusMessage"] = self.message
        if self.result is not None:
            body["result"] = _call_result(self.result)
        if self.error is not None:
            body["error"] = dict(self.error)
        return body


class Tasks(Protocol):
    """Where tasks are kept; the ledger, or memory in the conformance fixture."""

    async def state(self, task_id: str, caller: Principal) -> TaskState | None:
        """Return a task of this caller, or None: unknown and foreign are the same."""

    async def cancel(self, task_id: str, caller: Principal) -> bool:
        """Ask for the end of a task; False when there is none. An ended one stays as it is."""


class TaskExtension(ServerExtension):
    """Offers ``tasks/get``, ``tasks/update`` and ``tasks/cancel``, and turns handles into tasks."""

    identifier = EXTENSION

    def __init__(self, tasks: Tasks, guard: Guard, *, jobs: Collection[str]) -> None:
        """``jobs`` are the tools that return a handle with a ``task_id``."""
        self._tasks = tasks
        self._guard = guard
        self._jobs = frozenset(jobs)

    def methods(self) -> Sequence[MethodBinding]:
        """Return the three methods, for the modern era only."""
        handlers = {"get": self._get, "update": self._update, "cancel": self._cancel}
        return [
            MethodBinding(
                method=f"tasks/{verb}",
                params_type=_TaskParams,
                handler=handler,
                protocol_versions=frozenset(MODERN_PROTOCOL_VERSIONS),
            )
            for verb, handler in handlers.items()
        ]

    async def intercept_tool_call(
        self, params: mt.CallToolRequestParams, context: Context, call_next: ToolCallContinuation
    ) -> ToolResult | BaseModel:
        """Return a task instead of a handle to a client that declared the extension."""
        asked = (
            context._is_modern_protocol()
            and context.client_extension_settings(EXTENSION) is not None
        )
        outcome = await call_next()
        if params.name not in self._jobs or not asked:
            return outcome
        if not isinstance(outcome, ToolResult) or outcome.is_error:
            return outcome
        task_id = str((outcome.structured_content or {}).get("task_id"))
        state = await self._tasks.state(task_id, self._guard.caller())
        return outcome if state is None else _Wire(**state.wire("task"))

    async def _get(self, context: ServerRequestContext[Any, Any], params: _TaskParams) -> BaseModel:
        self._check(context, params)
        state = await self._tasks.state(params.task_id, self._guard.caller())
        if state is None:
            raise _unknown()
        return _Wire(**state.wire("complete"))

    async def _update(
        self, context: ServerRequestContext[Any, Any], params: _TaskParams
    ) -> BaseModel:
        """Acknowledge: no task of ours asks for input, so there is nothing to answer."""
        await self._get(context, params)
        return _Wire(resultType="complete")

    async def _cancel(
        self, context: ServerRequestContext[Any, Any], params: _TaskParams
    ) -> BaseModel:
        self._check(context, params)
        try:
            known = await self._tasks.cancel(params.task_id, self._guard.caller())
        except AlphaSwarmError as error:
            raise protocol_error(error) from error
        if not known:
            raise _unknown()
        return _Wire(resultType="complete")

    def _check(self, context: ServerRequestContext[Any, Any], params: _TaskParams) -> None:
        if self.client_settings(context) is None:
            raise _missing_capability()
        headers = getattr(context.request, "headers", {})
        named = headers.get("mcp-name")
        if named is not None and named != params.task_id:
            raise MCPError(
                code=HEADER_MISMATCH, message="Header Mcp-Name does not match params.taskId"
            )


class _TaskParams(mt.RequestParams):
    task_id: str = Field(alias="taskId")


class _Wire(BaseModel):
    model_config = ConfigDict(extra="allow")


def _call_result(result: ToolResult) -> dict[str, Any]:
    called = mt.CallToolResult(
        content=result.content,
        structured_content=result.structured_content,
        is_error=result.is_error,
    )
    return called.model_dump(mode="json", by_alias=True, exclude_none=True)


def _missing_capability() -> MCPError:
    return MCPError(
        code=MISSING_CAPABILITY,
        message=f"This needs the client extension {EXTENSION}.",
        data={"requiredCapabilities": {"extensions": {EXTENSION: {}}}},
    )


def _unknown() -> MCPError:
    return MCPError(code=mt.INVALID_PARAMS, message="unknown task")
