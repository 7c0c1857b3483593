"""The file that sends hold while they are under way, and how a press waits for them.

It lies beside the latch. Standard library only.
"""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

from topology.errors import LatchUnreadableError

DRAIN_S = 0.2
"""How long a press waits for sends that are under way; a send that hangs is not waited for."""

_FILE = "halt.sends"
_POLL_S = 0.0002


def drained(latch: Path) -> bool:
    """Return once no send is under way that had its look before now; False after 200 ms."""
    try:
        descriptor = opened(latch)
    except LatchUnreadableError:
        return False
    deadline = time.monotonic() + DRAIN_S
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    return False
                time.sleep(_POLL_S)
            else:
                return True
    except OSError:
        return False
    finally:
        os.close(descriptor)


def opened(latch: Path) -> int:
    """Return a descriptor of the file beside ``latch``, which is made where it is missing."""
    try:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        return os.open(latch.with_name(_FILE), flags, 0o600)
    except OSError as error:
        raise LatchUnreadableError(
            f"The file {_FILE!r} beside the halt latch cannot be used: {error.strerror}.",
            hint="Whatever sends orders is halted. Run `alphaswarm doctor`.",
            file=_FILE,
            why=str(error.strerror),
        ) from error
