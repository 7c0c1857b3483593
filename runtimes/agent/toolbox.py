"""The only hands of an agent: intent row, call under its own token, result row, in that order."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal, Protocol

from ledger import call_approvals, tool_calls
from ledger.calls import At
from ledger.pool import Pool
from ledger.runs import Claim
from ledger.tool_calls import Done, Intent
from runtimes.agent.offers import AS_OF, DISPATCH_KEY, Offer, offer
from runtimes.changes import OutcomeUnknownError
from runtimes.gateway.words import ReplayError
from runtimes.specs.agency import HeldTool
from topology.canonical import canonical
from topology.clock import rfc3339
from topology.errors import AlphaSwarmError, FaultError, HaltedError, LeaseLostError
from topology.frames import Progress

OWN = "own/"
"""Beginning of the nodes of what the runtime asks for itself; no role's path begins so."""
_AGAIN = 1_000
"""Occurrences from here on are later approvals of the call at the occurrence below."""


Make = Callable[[str], Awaitable[Mapping[str, Any]]]
"""Makes a call under its idempotency key."""


class ApprovalNeeded(Exception):  # noqa: N818  it is no error: the run waits
    """A person must decide about a call before it is made."""

    def __init__(self, intent: Intent, at: At) -> None:
        super().__init__(intent.tool)
        self.intent = intent
        self.at = at
        """The place that the answer names."""


class Doors(Protocol):
    """The servers that a run may call, each by a session of its own audience."""

    async def tools(self, server: str) -> Sequence[Mapping[str, Any]]:
        """Return what a server lists."""
        ...

    async def call(
        self, server: str, tool: str, arguments: Mapping[str, Any], *, key: str, timeout_s: float
    ) -> Mapping[str, Any]:
        """Call a tool; ``key`` goes into the request's ``_meta``."""
        ...


@dataclass
class Toolbox:
    """The tools that a run holds, by the names that its models call.

    ``cassette`` is the run that is replayed up to step ``until``; ``strict`` forbids calls that it
    does not hold. ``doors`` is None where nothing may be called at all.
    """

    pool: Pool
    claim: Claim
    progress: Progress
    doors: Doors | None
    as_of: datetime | None = None
    cassette: str | None = None
    until: int | None = None
    strict: bool = False
    live: int = 0
    """Calls that this attempt made itself."""
    offers: dict[str, Offer] = field(default_factory=dict)

    async def hold(self, tools: Sequence[HeldTool]) -> None:
        """List the servers of ``tools`` and refuse drift; a replay takes the recorded lists."""
        for number, server in enumerate(sorted({tool.server for tool in tools})):
            listed = await self._listed(At(f"{OWN}tools", 0, number), server)
            for tool in tools:
                if tool.server == server:
                    made = offer(tool, listed, as_of=self.as_of is not None)
                    self.offers[made.name] = made

    async def own(
        self, server: str, tool: str, make: Callable[[], Mapping[str, Any]]
    ) -> Mapping[str, Any]:
        """Return what the runtime asked for itself, as a row that a replay finds again."""
        intent = Intent(At(f"{OWN}{server}", 0), server, tool, "0" * 64, "read", "{}")
        found = await self._recorded(intent)
        if found is None:
            found = await self._made(intent, lambda _: asyncio.to_thread(make), free=True)
        return found

    async def call(self, at: At, held: Offer, given: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the result of one call, from the record or from its server.

        What a server refuses is a result too: the model reads it. Raises `ApprovalNeeded`,
        `OutcomeUnknownError`, ``replay_diverged``, ``unreachable`` and what a checkpoint raises.
        """
        intent = self._intent(at, held, given)
        found = await self._recorded(intent)
        if found is not None:
            return found
        self.progress.checkpoint()
        approval = await self._allowed(intent, held)
        if approval is not None and approval.decision == "decline":
            return await self._made(_with(intent, approval), _declined)
        return await self._made(
            _with(intent, approval), lambda key: self._dialled(held, given, key)
        )

    async def _listed(self, at: At, server: str) -> Sequence[Mapping[str, Any]]:
        intent = Intent(at, server, "list", "0" * 64, "read", "{}")
        found = await self._recorded(intent)
        if found is None:
            found = await self._made(intent, lambda _: self._list(server), free=True)
        listed = found.get("tools")
        return listed if isinstance(listed, list) else []

    async def _list(self, server: str) -> Mapping[str, Any]:
        assert self.doors is not None  # noqa: S101  checked by _made
        return {"tools": list(await self.doors.tools(server))}

    def _intent(self, at: At, held: Offer, given: Mapping[str, Any]) -> Intent:
        args = dict(given)
        if self.as_of is not None and held.takes(AS_OF):
            args[AS_OF] = rfc3339(self.as_of)
        tool = held.tool
        return Intent(
            at=at,
            server=tool.server,
            tool=tool.name,
            schema_sha256=tool.schema_sha256 or "0" * 64,
            effect=tool.effect or "destructive",
            args=canonical(args).decode(),
        )

    async def _recorded(self, intent: Intent) -> Mapping[str, Any] | None:
        """Return the recorded result of this very call; another call at its place diverges."""
        found = await asyncio.to_thread(tool_calls.find, self.pool, self.claim.run_id, intent.at)
        if found is None and self.cassette is not None and self._held(intent.at):
            found = await asyncio.to_thread(tool_calls.find, self.pool, self.cassette, intent.at)
        if found is None:
            if self.strict:
                raise _diverged(intent, "holds no call at this place", "$")
            return None
        if (found.intent.server, found.intent.tool) != (intent.server, intent.tool):
            raise _diverged(intent, f"called {found.intent.tool!r} here", "$.tool")
        if found.intent.args_sha256 != intent.args_sha256:
            raise _diverged(intent, "was asked with other arguments here", "$.args")
        await asyncio.to_thread(tool_calls.copy, self.pool, self.claim, found)
        return _read(found)

    def _held(self, at: At) -> bool:
        return self.until is None or at.step < self.until

    async def _allowed(self, intent: Intent, held: Offer) -> call_approvals.Answer | None:
        """Settle what an attempt before this one left, then return the decision, if one is needed.

        A read that never came back is made again; a write only under a key that its server knows;
        what destroys goes back to its approval.
        """
        run_id = self.claim.run_id
        left = await asyncio.to_thread(tool_calls.unfinished, self.pool, run_id, intent.at)
        repeats = intent.effect == "read" or held.takes(DISPATCH_KEY)
        if left is not None:
            status: Literal["failed", "unknown"] = "failed" if repeats else "unknown"
            await asyncio.to_thread(
                tool_calls.end, self.pool, self.claim, intent.at, left, status=status
            )
        if not held.tool.asks:
            if left is not None and not repeats:
                raise _unknown(intent)
            return None
        attempt = await asyncio.to_thread(tool_calls.attempts, self.pool, run_id, intent.at)
        at = At(intent.at.node, intent.at.step, intent.at.occurrence + _AGAIN * attempt)
        answer = await asyncio.to_thread(call_approvals.find, self.pool, run_id, at)
        if answer is None or answer.args_sha256 != intent.args_sha256:
            raise ApprovalNeeded(intent, at)
        return answer

    async def _made(self, intent: Intent, make: Make, *, free: bool = False) -> Mapping[str, Any]:
        """Write the intent, make the call, write its result; a ``free`` one is not counted."""
        if self.doors is None:
            raise _diverged(intent, "holds no call at this place", "$")
        attempt = await asyncio.to_thread(
            tool_calls.begin, self.pool, self.claim, intent, free=free
        )
        self.live += not free
        started = time.perf_counter()
        try:
            result = await make(intent.key(self.claim.run_id))
        except (HaltedError, LeaseLostError, FaultError):
            await asyncio.to_thread(
                tool_calls.end, self.pool, self.claim, intent.at, attempt, status="failed"
            )
            raise
        except AlphaSwarmError as error:
            result = {"error": error.body()}
        done = Done(
            intent,
            canonical(_plain(result)).decode(),
            _snapshots(result),
            (time.perf_counter() - started) * 1e3,
        )
        await asyncio.to_thread(tool_calls.settle, self.pool, self.claim, done, attempt)
        self.progress.emit(
            "tool.done",
            f"{intent.server}.{intent.tool}",
            server=intent.server,
            tool=intent.tool,
            node=intent.at.node,
            step=intent.at.step,
        )
        return _read(done)

    async def _dialled(self, held: Offer, given: Mapping[str, Any], key: str) -> Mapping[str, Any]:
        """Call the server; what only reads is asked again where it does not answer."""
        assert self.doors is not None  # noqa: S101  checked by _made
        tool = held.tool
        arguments = dict(given)
        if self.as_of is not None and held.takes(AS_OF):
            arguments[AS_OF] = rfc3339(self.as_of)
        if held.takes(DISPATCH_KEY):
            arguments[DISPATCH_KEY] = key
        tries = tool.retry.max_attempts if tool.effect == "read" else 1
        for number in range(1, tries + 1):
            try:
                return await self.doors.call(
                    tool.server, tool.name, arguments, key=key, timeout_s=tool.timeout_s
                )
            except FaultError:
                if number == tries:
                    raise
                await asyncio.sleep(tool.retry.backoff_s * number)
        raise AssertionError


async def _declined(key: str) -> Mapping[str, Any]:
    del key
    return {
        "error": {
            "code": "declined",
            "message": "A person declined this call.",
            "hint": "Go on without it.",
            "facts": {},
        }
    }


def _with(intent: Intent, approval: call_approvals.Answer | None) -> Intent:
    return intent if approval is None else replace(intent, approval=approval.token)


def _read(done: Done) -> Mapping[str, Any]:
    found: Mapping[str, Any] = json.loads(done.result)
    return found


def _plain(result: Any) -> Any:
    """Return a result whose numbers RFC 8785 can write: whole ones beyond 2^53 become text."""
    if isinstance(result, Mapping):
        return {str(key): _plain(value) for key, value in result.items()}
    if isinstance(result, list | tuple):
        return [_plain(value) for value in result]
    if isinstance(result, int | float) and not isinstance(result, bool) and abs(result) >= 2**53:
        return str(result)
    return result


def _snapshots(result: Mapping[str, Any]) -> dict[str, str]:
    found = result.get("snapshot_ids")
    if not isinstance(found, Mapping):
        return {}
    return {str(table): str(snapshot) for table, snapshot in found.items()}


def _diverged(intent: Intent, what: str, path: str) -> ReplayError:
    return ReplayError(
        f"The record {what} ({intent.at.node}, step {intent.at.step}: {intent.tool}).",
        hint="A prompt, a tool or the code has changed; replay `what_if` from here.",
        **intent.at.body(),
        path=path,
    )


def _unknown(intent: Intent) -> OutcomeUnknownError:
    return OutcomeUnknownError(
        f"A worker died while it called {intent.server}.{intent.tool}; nobody knows whether it "
        "took effect.",
        hint="Look at the server's own record, then submit the run again.",
        server=intent.server,
        tool=intent.tool,
        **intent.at.body(),
    )
