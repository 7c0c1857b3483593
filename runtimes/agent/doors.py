"""The sessions of a run with the servers whose tools it holds: one audience, one token each."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

from clients.session.calls import Session, open_session
from runtimes.agent.toolbox import Doors
from runtimes.credentials import Tokens
from topology.errors import FaultError
from topology.services import Topology

KEY = "io.alphaswarm/idempotency-key"
"""Where in a request's ``_meta`` the key of a call stands."""


@dataclass
class SessionDoors:
    """Satisfies `runtimes.agent.toolbox.Doors` by sessions that are open while the run walks."""

    sessions: dict[str, Session] = field(default_factory=dict)

    async def tools(self, server: str) -> Sequence[Mapping[str, Any]]:
        """Return what a server lists."""
        return await self.sessions[server].tools()

    async def call(
        self, server: str, tool: str, arguments: Mapping[str, Any], *, key: str, timeout_s: float
    ) -> Mapping[str, Any]:
        """Call a tool; an answer later than ``timeout_s`` is ``unreachable``."""
        try:
            async with asyncio.timeout(timeout_s):
                return await self.sessions[server].call(tool, arguments, meta={KEY: key})
        except TimeoutError as error:
            raise FaultError(
                f"{server}.{tool} did not answer within {timeout_s:g} s.",
                hint="Give the tool more time in the spec (tools[].timeout_s), or ask for less.",
                code="unreachable",
                server=server,
                tool=tool,
            ) from error


class OpenDoors(Protocol):
    """Opens what a run may call."""

    def __call__(
        self, topology: Topology, tokens: Tokens, servers: Sequence[str]
    ) -> AbstractAsyncContextManager[Doors]:
        """Return the open doors of ``servers``, closed at the end of the block."""
        ...


@contextlib.asynccontextmanager
async def open_doors(
    topology: Topology, tokens: Tokens, servers: Sequence[str]
) -> AsyncIterator[SessionDoors]:
    """Open a session with each of ``servers``, in this task, and close them in it."""
    async with contextlib.AsyncExitStack() as stack:
        doors = SessionDoors()
        for server in sorted(set(servers)):
            session = open_session(topology.face(server), partial(tokens.for_server, server))
            doors.sessions[server] = await stack.enter_async_context(session)
        yield doors
