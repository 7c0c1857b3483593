"""Who wants to hear of a resource hears of it: the listen stream, and the older subscribe.

``run://ID`` follows the run's frames: at most one notice a second, and one at its end. Nothing is
replayed; a client that lost its stream listens again and reads the resource.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import Any

import mcp_types as mt
from fastmcp import FastMCP
from mcp.server.context import ServerRequestContext
from mcp.server.subscriptions import InMemorySubscriptionBus, ListenHandler, ResourceUpdated

MOST_STREAMS = 256
MOST_URIS = 64
QUIET_S = 1.0
"""Least time between two notices about one resource; the last one never waits."""

Changes = Callable[[str], AsyncGenerator[bool, None]]
"""Yield for each change of a resource whether it is the last; ends at once for a dead one."""
Deliver = Callable[[str], Awaitable[None]]
Context = ServerRequestContext[Any, Any]


class Subscriptions:
    """The subscriptions of one server."""

    def __init__(self, mcp: FastMCP, changes: Changes) -> None:
        self._mcp = mcp
        self._changes = changes
        self.bus = InMemorySubscriptionBus()
        self._listen = ListenHandler(self.bus, max_subscriptions=MOST_STREAMS)
        self._listeners: Counter[str] = Counter()
        self._publishers: dict[str, asyncio.Task[None]] = {}
        self._followers: dict[tuple[int, str], asyncio.Task[None]] = {}

    def install(self) -> None:
        """Register the three methods, of which the library has none."""
        low = self._mcp._mcp_server
        low.add_request_handler(
            "subscriptions/listen", mt.SubscriptionsListenRequestParams, self._on_listen
        )
        low.add_request_handler(
            "resources/subscribe", mt.SubscribeRequestParams, self._on_subscribe
        )
        low.add_request_handler(
            "resources/unsubscribe", mt.UnsubscribeRequestParams, self._on_unsubscribe
        )

    def close(self) -> None:
        """End every stream and every follower."""
        self._listen.close()
        for task in [*self._followers.values(), *self._publishers.values()]:
            task.cancel()

    async def _on_listen(
        self, context: Context, params: mt.SubscriptionsListenRequestParams
    ) -> mt.SubscriptionsListenResult:
        wanted = params.notifications.resource_subscriptions or []
        uris = [uri for uri in list(wanted)[:MOST_URIS] if await self._readable(uri)]
        honoured = params.notifications.model_copy(update={"resource_subscriptions": uris or None})
        async with contextlib.AsyncExitStack() as stack:
            for uri in uris:
                await stack.enter_async_context(self._published(uri))
            return await self._listen(
                context, params.model_copy(update={"notifications": honoured})
            )

    async def _on_subscribe(
        self, context: Context, params: mt.SubscribeRequestParams
    ) -> mt.EmptyResult:
        uri, session = str(params.uri), context.session
        if await self._readable(uri):
            self._drop(session, uri)
            if len(self._followers) < MOST_STREAMS:
                follower = asyncio.create_task(self._follow(uri, session.send_resource_updated))
                self._followers[_place(session, uri)] = follower
                follower.add_done_callback(lambda _: self._forget(session, uri, follower))
        return mt.EmptyResult()

    async def _on_unsubscribe(
        self, context: Context, params: mt.UnsubscribeRequestParams
    ) -> mt.EmptyResult:
        self._drop(context.session, str(params.uri))
        return mt.EmptyResult()

    async def _readable(self, uri: str) -> bool:
        if await self._mcp.get_resource(uri) is not None:
            return True
        return await self._mcp.get_resource_template(uri) is not None

    @contextlib.asynccontextmanager
    async def _published(self, uri: str) -> AsyncIterator[None]:
        """Have a resource followed once, however many streams listen to it."""
        self._listeners[uri] += 1
        if self._listeners[uri] == 1:
            self._publishers[uri] = asyncio.create_task(self._follow(uri, self._publish))
        try:
            yield
        finally:
            self._listeners[uri] -= 1
            if not self._listeners[uri]:
                del self._listeners[uri]
                self._publishers.pop(uri).cancel()

    async def _publish(self, uri: str) -> None:
        await self.bus.publish(ResourceUpdated(uri=uri))

    async def _follow(self, uri: str, deliver: Deliver) -> None:
        told = 0.0
        # A listener that went away, or a store that did: the client listens again.
        with contextlib.suppress(Exception):
            async with contextlib.aclosing(self._changes(uri)) as changes:
                async for last in changes:
                    if last or time.monotonic() - told >= QUIET_S:
                        told = time.monotonic()
                        await deliver(uri)

    def _drop(self, session: Any, uri: str) -> None:
        follower = self._followers.pop(_place(session, uri), None)
        if follower is not None:
            follower.cancel()

    def _forget(self, session: Any, uri: str, follower: asyncio.Task[None]) -> None:
        if self._followers.get(_place(session, uri)) is follower:
            del self._followers[_place(session, uri)]


def _place(session: Any, uri: str) -> tuple[int, str]:
    """Return a key of a transport session; the library makes a new object per request."""
    connection = getattr(session, "_connection", session)
    return id(connection), uri
