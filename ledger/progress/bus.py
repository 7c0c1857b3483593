"""Valkey as a hint: frames and notices reach those who wait; nothing is lost when it is gone."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Final

import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry

from ledger.progress.events import dump
from topology.frames import Frame

DATABASE: Final = 1
"""Database 0 is the broker's alone."""
PATIENCE_S: Final = 0.2
"""How long one answer may take: a hung Valkey must not freeze a backtest."""
PAUSE_S: Final = 5.0
"""How long the bus is left alone after a failure."""
KEEP_FRAMES: Final = 10_000
KEEP_S: Final = 86_400
_BLOCK_MARGIN_S: Final = 1.0

_log = logging.getLogger(__name__)


class Bus:
    """One process's way to the progress streams and notices; safe to share between threads.

    Give either the path of a Unix ``socket`` or a ``url``. Publishing takes at most about 0.25 s
    and never raises; after a failure it is skipped for 5 s, and readers find what they missed in
    the ledger.
    """

    def __init__(
        self,
        *,
        socket: str | None = None,
        url: str = "",
        password: str = "",
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._where: dict[str, Any] = {"password": password or None, "db": DATABASE}
        if socket is not None:
            self._where["unix_socket_path"] = socket
        self._url = None if socket is not None else url
        self._monotonic = monotonic
        self._asleep_until = -PAUSE_S
        self._publisher = self._client(PATIENCE_S)

    def publish(self, frames: Sequence[Frame]) -> bool:
        """Add numbered frames of one or more tasks to their streams; False when it was skipped."""
        if not frames:
            return True

        def send() -> None:
            pipe = self._publisher.pipeline(transaction=False)
            for frame in frames:
                pipe.xadd(
                    stream(frame.task_id),
                    {"f": dump(frame)},
                    id=f"{frame.seq}-0",
                    maxlen=KEEP_FRAMES,
                    approximate=True,
                )
            for task_id in {frame.task_id for frame in frames}:
                pipe.expire(stream(task_id), KEEP_S)
            pipe.execute(raise_on_error=False)  # an id seen before is refused, and that is fine

        return self._attempt(send)

    def notify(self, topic: str, notice: dict[str, Any]) -> bool:
        """Tell whoever listens to ``topic``; False when it was skipped."""
        text = json.dumps(notice)
        return self._attempt(lambda: self._publisher.publish(f"notice:{topic}", text))

    def reader(self) -> Reader:
        """Return a reader with a connection of its own, for one thread."""
        return Reader(self._client(_BLOCK_MARGIN_S + 1.0))

    def async_reader(self) -> AbstractAsyncContextManager[AsyncReader]:
        """Return a context that lends a reader for one coroutine."""
        return self._async_reader()

    @asynccontextmanager
    async def _async_reader(self) -> AsyncIterator[AsyncReader]:
        options = self._options(_BLOCK_MARGIN_S + 1.0)
        options["retry"] = AsyncRetry(NoBackoff(), 0)
        client: redis.asyncio.Redis = (
            redis.asyncio.Redis(**options)
            if self._url is None
            else redis.asyncio.Redis.from_url(self._url, **options)
        )
        try:
            yield AsyncReader(client)
        finally:
            # Whoever cancels a stream goes on cancelling; the connection is closed all the same.
            await asyncio.shield(client.aclose())

    def close(self) -> None:
        """Close the publisher's connections."""
        self._publisher.close()

    def _attempt(self, send: Callable[[], object]) -> bool:
        if self._monotonic() < self._asleep_until:
            return False
        try:
            send()
        except (redis.RedisError, OSError) as error:
            self._asleep_until = self._monotonic() + PAUSE_S
            _log.warning("the bus is skipped for %g s: %s", PAUSE_S, type(error).__name__)
            return False
        return True

    def _options(self, timeout_s: float) -> dict[str, Any]:
        return {
            **self._where,
            "socket_timeout": timeout_s,
            "socket_connect_timeout": PATIENCE_S,
            "decode_responses": True,
            "legacy_responses": False,
        }

    def _client(self, timeout_s: float) -> redis.Redis:
        options = {**self._options(timeout_s), "retry": Retry(NoBackoff(), 0)}
        if self._url is None:
            return redis.Redis(**options)
        return redis.Redis.from_url(self._url, **options)


class BusDownError(Exception):
    """Valkey does not answer; read the ledger instead."""


class Reader:
    """Blocking reads of progress streams."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client

    def read(self, task_id: str, after: int, *, block_ms: int = 1000) -> list[Frame]:
        """Return frames with ``seq > after``, or none when ``block_ms`` have passed."""
        key = stream(task_id)
        try:
            answer = self._client.xread({key: f"{after}-0"}, count=500, block=block_ms)
        except (redis.RedisError, OSError) as error:
            raise BusDownError from error
        return _frames(answer, key)

    def close(self) -> None:
        """Close the connection."""
        self._client.close()


class AsyncReader:
    """The same for a coroutine."""

    def __init__(self, client: redis.asyncio.Redis) -> None:
        self._client = client

    async def read(self, task_id: str, after: int, *, block_ms: int = 1000) -> list[Frame]:
        """Return frames with ``seq > after``, or none when ``block_ms`` have passed."""
        key = stream(task_id)
        try:
            answer = await self._client.xread({key: f"{after}-0"}, count=500, block=block_ms)
        except (redis.RedisError, OSError) as error:
            raise BusDownError from error
        return _frames(answer, key)


def stream(task_id: str) -> str:
    """Return the key of a task's stream."""
    return f"progress:{task_id}"


def _frames(answer: Any, key: str) -> list[Frame]:
    """Read ``{key: [(id, {"f": json}), ...]}``, what redis-py answers without legacy shapes."""
    entries = (answer or {}).get(key, [])
    return [Frame.model_validate_json(fields["f"]) for _, fields in entries]
