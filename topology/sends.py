"""The last look before an order leaves: halt, dead man and send, in one critical section.

A press waits until every send that had its look before it is over, and only then stamps the latch:
so no send is ever later than the time of a halt that covers it. Standard library only.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator, Sequence
from typing import Any

from topology import drain
from topology.errors import HaltedError, LatchUnreadableError
from topology.latch import Latch


class Sends:
    """What an order gateway holds: one per thread that sends, beside its own open latch."""

    def __init__(self, latch: Latch, scopes: Sequence[str], *, heartbeat_s: float) -> None:
        self._latch, self._scopes, self._heartbeat_s = latch, tuple(scopes), heartbeat_s
        self._descriptor = drain.opened(latch.path)

    def close(self) -> None:
        """Let go of the file; the latch stays its owner's."""
        os.close(self._descriptor)

    def __enter__(self) -> Sends:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextlib.contextmanager
    def sending(self) -> Iterator[None]:
        """Hold off every press while the block hands one order over; keep the block short.

        Raises `HaltedError` where a halt covers the sender, the latch cannot be read, or the
        control process has been silent for longer than ``heartbeat_s``: then nothing may be sent.
        """
        fcntl.flock(self._descriptor, fcntl.LOCK_SH)
        try:
            refuse(self._latch, self._scopes, heartbeat_s=self._heartbeat_s)
            yield
        finally:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)


def refuse(latch: Latch, scopes: Sequence[str], *, heartbeat_s: float) -> None:
    """Raise `HaltedError` unless something that takes risk may go on now."""
    try:
        latch.check()
        pressed = latch.pressed(scopes)
    except LatchUnreadableError as error:
        raise _halted(f"The halt latch cannot be read: {error.facts['why']}.", "all", 0) from error
    if pressed is not None:
        raise _halted(f"A halt of {pressed.scope!r} is in force.", pressed.scope, pressed.epoch)
    if (silence := latch.silence_s()) > heartbeat_s:
        raise _halted(
            f"The control process has said nothing for more than {heartbeat_s:g} s.",
            "all",
            0,
            silence_s=round(silence, 3) if silence != float("inf") else None,
        )


def _halted(message: str, scope: str, epoch: int, **facts: float | None) -> HaltedError:
    hint = "Nothing may be sent now; `alphaswarm halt status` says why."
    found: dict[str, Any] = {"scope": scope, "epoch": epoch, **facts}
    return HaltedError(message, hint=hint, **found)
