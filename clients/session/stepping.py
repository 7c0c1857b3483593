"""Stepping up for one call of a bridge: the person is led to a page, and the call is made again.

The page asks for the second factor and shows what would be done; its answer comes to a loopback
port. The token serves this one call and is stored nowhere.
"""

from __future__ import annotations

import asyncio
import threading
import time
import uuid
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import mcp_types as mt
from fastmcp.server.context import Context
from fastmcp.server.dependencies import get_context
from fastmcp.tools.base import InputRequiredToolResult, ToolResult

from clients import login
from clients.tokens import Grant
from topology.canonical import sha256
from topology.errors import AlphaSwarmError, RefusedError
from topology.services import Face

KEY = "step_up"
"""Name of the answer where the protocol has answers by name."""
RETURN_S = 1.0
"""How long a repeated call waits for a person who has just left the page."""
Carry = Callable[[str | None], Awaitable[ToolResult]]


@dataclass(slots=True)
class Pending:
    """A step-up under way: the address to open, and the grant that its page leads to."""

    tool: str
    url: Future[str] = field(default_factory=Future)
    grant: Future[Grant] = field(default_factory=Future)

    @property
    def failed(self) -> bool:
        """Tell whether nothing can come of it any more."""
        return self.grant.done() and self.grant.exception() is not None

    def wait(self, face: Face, scopes: frozenset[str], action: login.StepUp) -> None:
        """Listen for the answer of the page until it comes or 300 s are over; blocks."""
        try:
            wanted = [(face, scopes | {face.read_scope})]
            shown = self.url.set_result
            self.grant.set_result(login.in_browser(wanted, shown, now=time.time, step_up=action)[0])
        except Exception as error:  # noqa: BLE001  who waits for the grant gets it
            for future in (self.url, self.grant):
                if not future.done():
                    future.set_exception(error)


class StepUps:
    """The step-ups that calls of one server wait for, by the hash of tool and arguments."""

    def __init__(self, face: Face) -> None:
        self._face = face
        self._pending: dict[str, Pending] = {}

    async def carried(self, tool: str, arguments: dict[str, Any], call: Carry) -> ToolResult:
        """Make a call, and again with another token where the server wants the person stepped up.

        A client that opens addresses is asked to; another gets ``step_up_required`` with the
        address, and makes the same call again when the person has been there.
        """
        key = sha256({"tool": tool, "arguments": arguments})
        pending = self._pending.get(key)
        repeated = pending is not None and not pending.failed
        if pending is None or pending.failed:
            try:
                return await call(None)
            except AlphaSwarmError as error:
                scopes = wanted(error)
                if not scopes:
                    raise
            pending = self._begun(key, scopes, login.StepUp(tool, arguments))
        question = await self._asked(key, pending, repeated=repeated)
        if question is not None:
            return InputRequiredToolResult(question)
        try:
            grant = await asyncio.shield(asyncio.wrap_future(pending.grant))
        finally:
            self._pending.pop(key, None)
        return await call(grant.access_token)

    def _begun(self, key: str, scopes: frozenset[str], action: login.StepUp) -> Pending:
        pending = self._pending[key] = Pending(action.tool)
        # A daemon, as all that it starts: a client that leaves does not wait for the person.
        threading.Thread(
            target=pending.wait, args=(self._face, scopes, action), name="step-up", daemon=True
        ).start()
        return pending

    async def _asked(
        self, key: str, pending: Pending, *, repeated: bool
    ) -> mt.InputRequiredResult | None:
        """Return None once the person is on the way or back, or the question to send."""
        if pending.grant.done():
            return None
        url, context = await asyncio.shield(asyncio.wrap_future(pending.url)), get_context()
        if not _opens(context):
            if repeated and await _returned(pending):
                return None
            raise _required(pending.tool, url)
        text = f"{pending.tool} needs your second factor. The page shows what would be done."
        if context._is_modern_protocol():
            answer = (context.input_responses or {}).get(KEY)
            if answer is None:
                params = mt.ElicitRequestURLParams(message=text, url=url)
                question = mt.ElicitRequest(params=params)
                return mt.InputRequiredResult(input_requests={KEY: question})
        else:
            answer = await context.session.elicit_url(
                text, url, uuid.uuid4().hex, related_request_id=context.request_id
            )
        if getattr(answer, "action", "") != "accept":
            self._pending.pop(key, None)
            raise RefusedError(
                f"The person did not step up for {pending.tool}.",
                hint="Nothing was done.",
                code="declined",
                tool=pending.tool,
            )
        return None


def wanted(error: AlphaSwarmError) -> frozenset[str]:
    """Return the scopes to step up for; empty where ``error`` is about something else."""
    scopes = frozenset(str(error.facts.get("scope", "")).split())
    stepped = scopes & login.STEP_UP
    if error.wire_code == "insufficient_scope":
        return stepped
    return scopes if error.wire_code == "step_up_required" else frozenset()


async def _returned(pending: Pending) -> bool:
    done, _ = await asyncio.wait([asyncio.wrap_future(pending.grant)], timeout=RETURN_S)
    return bool(done)


def _opens(context: Context) -> bool:
    capabilities = context.session.client_capabilities
    offered = capabilities.elicitation if capabilities is not None else None
    return offered is not None and offered.url is not None


def _required(tool: str, url: str) -> RefusedError:
    return RefusedError(
        f"{tool} needs a second factor, shown for this call.",
        hint=f"Ask the person to open {url} on this machine, then make the same call again.",
        code="step_up_required",
        tool=tool,
        url=url,
    )
