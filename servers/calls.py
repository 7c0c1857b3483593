"""From a plain function to an MCP tool: arguments checked, rule checked, errors answered."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, get_type_hints
from weakref import WeakValueDictionary

import anyio.to_thread
import mcp_types as mt
from fastmcp.server.dependencies import get_access_token, get_context
from fastmcp.tools.base import InputRequiredToolResult, ToolResult
from fastmcp.tools.function_tool import FunctionTool
from mcp.shared.exceptions import MCPError
from pydantic import BaseModel, PrivateAttr, TypeAdapter, ValidationError

from auth.policy import Allow, Challenge, Rule, decide
from servers import answers, confirm
from servers.bearer import VerifiedToken
from servers.schemas import output_schema, terse
from tools.registry import INJECTED, Office, ToolSpec
from topology.clock import Clock
from topology.errors import AlphaSwarmError, RefusedError
from topology.principal import ANONYMOUS, Principal

EACH = 4
"""Calls of one caller that work at the same time in this process: threads are for everybody."""
JOB = "job"
"""Key of a tool's ``_meta``: "optional" for what returns a run handle, or a task if asked."""


class Guard:
    """Who calls, and whether he may: the gate's decision once more, for every transport.

    An open guard lets everybody do everything; only the conformance fixture has one.
    """

    def __init__(self, clock: Clock, *, is_open: bool = False) -> None:
        self._clock = clock
        self._open = is_open
        self._places: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    def caller(self) -> Principal:
        """Return the caller of the request that is being served."""
        token = get_access_token()
        return token.principal if isinstance(token, VerifiedToken) else ANONYMOUS

    @asynccontextmanager
    async def place(self, caller: Principal) -> AsyncIterator[None]:
        """Hold one of the caller's `EACH` places while the block runs; who has none waits."""
        who = f"{caller.subject} {caller.actor or caller.client_id}"
        places = self._places.setdefault(who, asyncio.Semaphore(EACH))
        async with places:
            yield

    def check(self, rule: Rule, caller: Principal) -> None:
        """Return if the caller satisfies the rule, else raise `RefusedError`."""
        if self._open:
            return
        # What a bound token and a job's are for, the gate has judged: it sees the call as sent.
        now = self._clock.now().timestamp()
        verdict = decide(rule, caller, now, action=caller.bound, run=caller.run_id)
        if not isinstance(verdict, Allow):
            raise refused(verdict)


def refused(challenge: Challenge) -> RefusedError:
    """Return what a person reads of a challenge."""
    if challenge.error == "insufficient_scope":
        return RefusedError(
            "The access token does not hold the scopes that this needs.",
            hint=f"Sign in again and allow: {challenge.scope}.",
            code="insufficient_scope",
            scope=challenge.scope,
        )
    if challenge.error == "insufficient_user_authentication":
        return RefusedError(
            "This needs a fresh sign-in by a person.",
            hint=f"Sign in again; it counts for {challenge.max_age} seconds.",
            code="step_up_required",
            acr_values=challenge.acr_values,
            max_age=challenge.max_age,
            scope=challenge.scope,
        )
    return RefusedError("This is not allowed.", hint="Ask a person to do it, signed in anew.")


class Call:
    """One function with what it is handed: checks arguments by its signature and runs it."""

    def __init__(
        self,
        fn: Callable[..., Any],
        rule: Rule,
        office: Office,
        guard: Guard,
        *,
        works: bool = False,
    ) -> None:
        hints = get_type_hints(fn, include_extras=True)
        parameters = inspect.signature(fn).parameters
        shown = [p for name, p in parameters.items() if name not in INJECTED]
        self.returns: Any = hints.get("return")
        self.signature = inspect.Signature(
            [p.replace(annotation=hints.get(p.name, Any)) for p in shown],
            return_annotation=self.returns,
        )
        self.injected = INJECTED & parameters.keys()
        self._fn = fn
        self._rule = rule
        self._office = office
        self._guard = guard
        self._is_async = inspect.iscoroutinefunction(fn)
        self._works = works or not self._is_async

    async def __call__(self, arguments: dict[str, Any], rule: Rule | None = None) -> Any:
        """Run the function with checked arguments; a plain ``def`` runs in a thread.

        ``rule`` is what these arguments need, where that differs. What works in threads (``works``
        says it of an ``async def``) needs one of its caller's places; what only waits needs none.
        """
        caller = self._guard.caller()
        self._guard.check(rule or self._rule, caller)
        given = {name: self._given(name, caller) for name in self.injected}
        if not self._works:
            return await self._fn(**arguments, **given)
        async with self._guard.place(caller):
            if self._is_async:
                return await self._fn(**arguments, **given)
            return await anyio.to_thread.run_sync(partial(self._fn, **arguments, **given))

    def stub(self, name: str) -> Callable[..., Any]:
        """Return a function of the shown signature that returns its arguments by name."""

        def stub(**arguments: Any) -> Any:
            return arguments

        stub.__name__ = stub.__qualname__ = name
        stub.__signature__ = self.signature  # type: ignore[attr-defined]  # read by inspect
        stub.__annotations__ = {
            **{p.name: p.annotation for p in self.signature.parameters.values()},
            "return": dict[str, Any],
        }
        return stub

    def _given(self, name: str, caller: Principal) -> Any:
        if name == "office":
            return self._office
        return caller if name == "caller" else report


async def report(current: float, total: float | None, message: str) -> None:
    """Tell the client how far we are; nothing happens where it did not ask."""
    await get_context().report_progress(current, total, message)


def _meta(spec: ToolSpec) -> dict[str, Any] | None:
    """Return what a client is told beside the schema: that it may be a task, and its page."""
    meta: dict[str, Any] = {JOB: "optional"} if spec.job else {}
    if spec.app is not None:
        meta["ui"] = {"resourceUri": spec.app, "visibility": ["model", "app"]}
    return meta or None


class FaceTool(FunctionTool):
    """A tool that never raises: whatever happens becomes a result or one error object."""

    _call: Call = PrivateAttr()
    _arguments: TypeAdapter[Any] = PrivateAttr()
    _spec: ToolSpec = PrivateAttr()

    @classmethod
    def of(cls, spec: ToolSpec, office: Office, guard: Guard) -> FaceTool:
        """Return the tool of a spec; its result must be a pydantic model."""
        call = Call(spec.fn, spec.auth, office, guard, works=spec.job)
        if not (inspect.isclass(call.returns) and issubclass(call.returns, BaseModel)):
            msg = f"{spec.server}.{spec.name} must name the pydantic model it returns."
            raise TypeError(msg)
        stub: Any = call.stub(spec.name)
        tool = cls.from_function(
            stub,
            name=spec.name,
            title=spec.title,
            description=spec.description,
            annotations=mt.ToolAnnotations(
                title=spec.title,
                read_only_hint=spec.read_only,
                destructive_hint=spec.destructive,
                idempotent_hint=spec.idempotent,
                open_world_hint=spec.open_world,
            ),
            output_schema=output_schema(call.returns),
            meta=_meta(spec),
        )
        tool.parameters = terse(tool.parameters)
        assert isinstance(tool, cls)  # noqa: S101 - from_function builds cls, its signature forgets it
        tool._call = call
        tool._arguments = TypeAdapter(stub)
        tool._spec = spec
        return tool

    def get_meta(self) -> dict[str, Any] | None:  # type: ignore[override]  # None is left out
        """Return our own metadata only; the library's costs tokens and says nothing."""
        return self.meta

    async def run(self, arguments: dict[str, Any]) -> ToolResult:
        """Check the arguments, run the function and answer."""
        try:
            checked = self._arguments.validate_python(arguments)
        except ValidationError as error:
            known = self.parameters.get("properties", {})
            return answers.refusal(answers.invalid_arguments(error, known))
        try:
            question = await self._question(checked)
            if question is not None:
                return InputRequiredToolResult(question)
            return answers.of_model(await self._call(checked, self._spec.rule(checked)))
        except AlphaSwarmError as error:
            return answers.of_error(error)
        except MCPError:
            raise
        except Exception as error:  # noqa: BLE001 - the last line: a caller never sees a trace
            return answers.of_crash(error)

    async def _question(self, checked: dict[str, Any]) -> mt.InputRequiredResult | None:
        """Return what the person must be asked first; None where there is nothing, or a yes."""
        spec = self._spec
        target = spec.confirm(checked) if spec.confirm else None
        if target is None:
            return None
        return await confirm.ask(get_context(), spec.name, spec.title, target, checked)
