"""Frames of a task as the server streams them: SSE, resumed by ``seq`` until the last frame."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from clients.errors import from_body, refusal, unreachable
from clients.wire import client, json_of, reaching
from topology.errors import AlphaSwarmError, BadInputError
from topology.ids import is_id

SILENCE_S = 30.0
"""A stream that says nothing, not even a heartbeat, for this long is opened again."""
ATTEMPTS = 5
PAUSE_S = 0.5
TERMINAL = frozenset({"done", "failed", "halted", "cancelled"})
Frame = dict[str, Any]


@dataclass(slots=True)
class Stream:
    """The frames of one task; ``tokens`` gives an access token for ``control`` or the owner."""

    base_url: str
    task_id: str
    tokens: Callable[[], str]
    after: int = 0
    sleep: Callable[[float], None] = field(default=time.sleep)
    _over: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        if not is_id(self.task_id):
            raise BadInputError(
                f"{self.task_id[:64]!r} is not a task id.",
                hint="Take it from a run handle, or name the run: `alphaswarm runs list`.",
            )

    def frames(self) -> Iterator[Frame]:
        """Yield every frame after ``after`` in order, until the terminal one."""
        return (frame for frame in self.watch() if frame is not None)

    def watch(self) -> Iterator[Frame | None]:
        """Like `frames`, with None whenever the stream is caught up and waits (about 1 s).

        A broken connection is opened again behind the last frame seen, at most `ATTEMPTS` times
        in a row without a new frame; then ``unreachable`` is raised.
        """
        failures = 0
        while True:
            try:
                for frame in self._connection():
                    if frame is not None:
                        failures, self.after = 0, max(self.after, int(frame.get("seq", 0)))
                    yield frame
                    if frame is not None and frame.get("stage") in TERMINAL:
                        return
            except AlphaSwarmError as error:
                if error.wire_code != "unreachable" or failures >= ATTEMPTS:
                    raise
            if self._over:
                return
            if failures >= ATTEMPTS:
                raise unreachable("The stream of frames", "it ends before the run does")
            failures += 1
            self.sleep(PAUSE_S * failures)

    def _connection(self) -> Iterator[Frame | None]:
        headers = {"Accept": "text/event-stream", "Authorization": f"Bearer {self.tokens()}"}
        path = f"/chat/stream/{self.task_id}?after={self.after}"
        with (
            reaching("The stream of frames"),
            client(self.base_url, timeout_s=SILENCE_S) as wire,
            wire.stream("GET", path, headers=headers) as response,
        ):
            self._over = response.status_code == 204  # the last frame lies before ``after``
            if self._over:
                return
            if response.status_code != 200:
                response.read()
                raise _refused(response)
            yield from events(response.iter_lines())


def events(lines: Iterable[str]) -> Iterator[Frame | None]:
    """Parse server-sent events; a comment, which is a heartbeat, yields None.

    WHATWG HTML s.9.2.6: ``data`` lines of one event are joined by line feeds; an event that the
    end of the stream cuts off is dropped.
    """
    data: list[str] = []
    for line in lines:
        if line.startswith(":"):
            yield None
        elif line.startswith("data:"):
            data.append(line[5:].removeprefix(" "))
        elif not line and data:
            yield json.loads("\n".join(data))
            data = []


def _refused(response: Any) -> AlphaSwarmError:
    body = json_of(response)
    if response.status_code in (401, 403):
        challenge = response.headers.get("www-authenticate", "")
        return refusal(response.status_code, challenge, body, server="control")
    return from_body(body)
