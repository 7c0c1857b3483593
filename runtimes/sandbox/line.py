"""The engine's end of a line to a cell: bounded frames, and never a wait without a look."""

from __future__ import annotations

import json
import socket
from typing import Any

from runtimes.sandbox import wire
from runtimes.sandbox.errors import died, nonsense
from topology.frames import Progress

MOST = 2**20
"""Bytes of one frame from a cell."""
LOOK_S = 0.05
"""Longest time between two looks at whether the run may go on."""


class Line:
    """Sends and receives whole frames; ``progress.checkpoint`` ends every wait."""

    def __init__(self, line: socket.socket, progress: Progress) -> None:
        self._line, self._progress, self._read = line, progress, bytearray()
        line.settimeout(LOOK_S)

    def send(self, *frames: bytes) -> None:
        """Send frames; a cell that has ended raises `StrategyError`."""
        left = memoryview(b"".join(frames))
        while left:
            try:
                left = left[self._line.send(left) :]
            except TimeoutError:
                self._progress.checkpoint()
            except (BrokenPipeError, ConnectionResetError):
                raise died() from None

    def receive(self) -> Any:
        """Return the JSON of the next frame; what is none raises `StrategyError`."""
        (length,) = wire.HEAD.unpack(self._taken(wire.HEAD.size))
        if length > MOST:
            raise nonsense(f"a frame of {length} bytes")
        try:
            return json.loads(self._taken(length))
        except (ValueError, RecursionError):
            raise nonsense("a frame that is no JSON") from None

    def close(self) -> None:
        """Close this end."""
        self._line.close()

    def _taken(self, length: int) -> bytes:
        while len(self._read) < length:
            self._progress.checkpoint()
            try:
                more = self._line.recv(wire.PIECE)
            except TimeoutError:
                continue
            except ConnectionResetError:
                raise died() from None
            if not more:
                raise died()
            self._read += more
        taken = bytes(self._read[:length])
        del self._read[:length]
        return taken
