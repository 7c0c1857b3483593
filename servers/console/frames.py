"""Frames of several tasks on one same-origin stream: a browser cannot send a token with its own.

Each event's id is the cursor of them all (``TASK:SEQ,TASK:SEQ``), so that a stream that broke goes
on where it was. A page needs one connection, however many runs it shows.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator
from dataclasses import dataclass

import httpx2

from clients.frames import TERMINAL
from clients.session.calls import http_factory
from topology.errors import BadInputError
from topology.ids import is_id

MOST = 12
"""Tasks of one stream."""
BEAT_S = 10.0
SILENCE_S = 30.0
PATH = "/chat/stream/"


@dataclass(frozen=True, slots=True)
class Told:
    """What a task's own stream said: a frame, or (None) that it is over, ``ended`` or cut off."""

    task_id: str
    frame: str | None
    seq: int = 0
    ended: bool = False


def cursor_of(tasks: str, last: str) -> dict[str, int]:
    """Return how far each task has been seen: ``tasks`` names them, ``last`` is the newest id.

    Both are ``TASK:SEQ`` with commas, ``:SEQ`` may be missing. At most 12; anything else raises
    `BadInputError`.
    """
    seen = _parsed(tasks)
    if not 1 <= len(seen) <= MOST:
        raise BadInputError(
            f"A stream is of 1 to {MOST} tasks.", hint="Name them: ?tasks=TASK,TASK:SEQ."
        )
    newer = _parsed(last)
    return {task: max(after, newer.get(task, 0)) for task, after in seen.items()}


async def merged(base_url: str, token: str, seen: dict[str, int]) -> AsyncGenerator[str, None]:
    """Yield server-sent events until every task has ended, or until one stream is cut off."""
    told: asyncio.Queue[Told] = asyncio.Queue()
    position, ended = dict(seen), 0
    async with http_factory(base_url)(timeout=httpx2.Timeout(SILENCE_S)) as wire:
        following = [
            asyncio.create_task(_follow(wire, base_url, token, task, after, told))
            for task, after in seen.items()
        ]
        try:
            while ended < len(following):
                one = await _next(told)
                if one is None:
                    yield ": still here\n\n"
                elif one.frame is not None:
                    position[one.task_id] = one.seq
                    yield f"id: {_cursor(position)}\ndata: {one.frame}\n\n"
                elif one.ended:
                    ended += 1
                else:
                    return  # the browser opens a new stream behind the last id
            yield "event: end\ndata: {}\n\n"
        finally:
            for task in following:
                task.cancel()
            await asyncio.gather(*following, return_exceptions=True)


async def _next(told: asyncio.Queue[Told]) -> Told | None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(BEAT_S):
            return await told.get()
    return None


async def _follow(
    wire: httpx2.AsyncClient,
    base_url: str,
    token: str,
    task: str,
    after: int,
    told: asyncio.Queue[Told],
) -> None:
    url = f"{base_url}{PATH}{task}?after={after}"
    headers = {"Accept": "text/event-stream", "Authorization": f"Bearer {token}"}
    ended = False
    with contextlib.suppress(httpx2.HTTPError):
        async with wire.stream("GET", url, headers=headers) as response:
            ended = response.status_code in (204, 404)  # seen to its end, or never there
            if response.status_code == 200:
                async for line in response.aiter_lines():
                    if line.startswith("data:"):
                        text = line[5:].strip()
                        frame = json.loads(text)
                        ended = frame.get("stage") in TERMINAL
                        await told.put(Told(task, text, int(frame.get("seq", 0))))
    await told.put(Told(task, None, ended=ended))


def _cursor(position: dict[str, int]) -> str:
    return ",".join(f"{task}:{seq}" for task, seq in position.items())


def _parsed(text: str) -> dict[str, int]:
    found: dict[str, int] = {}
    for part in filter(None, text[:1_000].split(",")):
        task, _, after = part.partition(":")
        if not is_id(task) or not (after.isascii() and (after or "0").isdigit()):
            raise BadInputError(
                f"{part[:40]!r} is not the position of a task.", hint="Write TASK or TASK:SEQ."
            )
        found[task] = int(after[:18] or 0)
    return found
